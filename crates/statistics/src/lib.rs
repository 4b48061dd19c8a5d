//! Pure statistics: what verdicts, reports and fitted latency profiles compute with.
//!
//! Owns quantile sketches and tables, distributions, tests and intervals. Must not know any I/O,
//! clock, framework or unit of the domain: callers say what a value means. Nothing here is random:
//! what needs draws is handed them, or is computed exactly.

pub mod bootstrap;
pub mod broken_line;
pub mod holm;
pub mod intervals;
pub mod kaplan_meier;
pub mod kolmogorov;
pub mod least_squares;
pub mod log_normal;
pub mod planning;
pub mod quantile_table;
pub mod quantiles;
pub mod ranks;
pub mod signed_rank;
pub mod spearman;

pub use kaplan_meier::Survival;
pub use least_squares::Line;
pub use log_normal::LogNormal;
pub use quantile_table::{QuantileTable, TableError};
pub use quantiles::Quantiles;
pub use signed_rank::{Shift, SignedRanks};
pub use spearman::Correlation;
