//! The wire contract: the JSON that travels between services and their clients.
//!
//! Owns the shapes and their field names, nothing else. Must not know any I/O, any framework, or
//! how a service stores or computes what it says. Absent values are left out, never `null`; ids
//! are UUIDv7 strings; times are RFC 3339 in UTC; money in prices is a decimal string.

pub mod author;
pub mod book;
pub mod comparison;
pub mod import;
pub mod llm_providers;
pub mod llm_usage;
pub mod page;
pub mod problem;
pub mod run;
pub mod summary;
pub mod trend;

pub use author::{Author, AuthorRef, PatchAuthor, WriteAuthor};
pub use book::{Book, PatchBook, PatchPrice, Price, WriteBook};
pub use comparison::{
    ComparedMetric, ComparedPair, ComparedSide, Comparison, ComparisonPlan, ComparisonState,
    MetricComparison, StartComparison, Verdict,
};
pub use import::{ImportFailure, ImportJob, ImportReport, ImportRow, ImportState, RowOutcome};
pub use llm_providers::{
    Estimate, Experiment, ExperimentArm, Experiments, LlmBreaker, LlmLastError, LlmPrice, LlmProbe,
    LlmProviderStatus, LlmProviders,
};
pub use llm_usage::{LimitState, LlmTotals, LlmUsage, LlmUsageItem};
pub use page::Page;
pub use problem::{FieldError, Problem};
pub use run::{
    Outcome, Run, RunEstimate, RunPhase, RunProgress, RunState, RunSummary, Scenario, StartRun,
    ThresholdResult,
};
pub use summary::{Attempt, Generation, Summary, SummaryDelta, SummaryStarted, Usage, UsageSource};
pub use trend::{Trend, TrendPoint};
