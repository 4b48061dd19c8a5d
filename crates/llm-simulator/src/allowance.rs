//! How much a model may be asked: requests and tokens per minute, as providers limit them and tell
//! it in their headers.
//!
//! Must not know a wire protocol.

use std::time::Duration;

/// What is left of a limit per minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The limit.
    pub limit: u64,
    /// What is left of it after this request.
    pub remaining: u64,
    /// Until all of it is there again.
    pub reset: Duration,
}

/// What a request's answer says about the limits of its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests per minute.
    pub requests: Left,
    /// Tokens per minute.
    pub tokens: Left,
}
