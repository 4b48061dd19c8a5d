//! Comparisons of two targets: interleaved pairs of runs, and what they say.
//!
//! Owns the order of runs, when there are enough, and what counts for nothing. Must not know HTTP, files,
//! Docker or processes.

pub mod judgement;
pub mod metrics;
pub mod noise;
pub mod plan;
