//! How a run stands right now, for whoever watches it: the terminal, and live events later.
//!
//! Owns the shape. Must not know who watches.

use common_models::RunState;
use serde::{Deserialize, Serialize};

use crate::aggregate::Standing;

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it stands.
    pub state: RunState,
    /// Which engine and which k6 it uses, in words; absent until that is known.
    pub k6: Option<String>,
    /// What is being waited for before k6 runs, in words.
    pub waiting_for: Option<String>,
    /// Seconds of measured load that it is to have, where known.
    pub total_seconds: Option<u32>,
    /// Its figures so far.
    pub standing: Standing,
}

impl Progress {
    /// That of a run that has just been accepted.
    #[must_use]
    pub fn new(total_seconds: Option<u32>) -> Self {
        Self {
            state: RunState::Queued,
            k6: None,
            waiting_for: None,
            total_seconds,
            standing: Standing::default(),
        }
    }
}
