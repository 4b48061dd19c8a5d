//! Pure statistics: what verdicts, reports and fitted latency profiles compute with.
//!
//! Owns quantile sketches and distributions. Must not know any I/O, clock, framework or unit of
//! the domain: callers say what a value means.

pub mod log_normal;
pub mod quantiles;

pub use log_normal::LogNormal;
pub use quantiles::Quantiles;
