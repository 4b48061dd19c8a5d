//! What can go wrong on purpose: the vocabulary that draws, faults and replay share and that every
//! protocol puts into its own words. Pure.

use std::time::Duration;

use crate::answer::Usage;

/// A request that is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Too many requests or tokens: 429.
    #[error("simulated rate limit; ask again in {} s", retry_after.as_secs_f64())]
    RateLimited {
        /// When asking again makes sense.
        retry_after: Duration,
    },
    /// The provider broke: 500.
    #[error("simulated failure inside the provider; ask again")]
    ServerError,
    /// The provider is not there: 503.
    #[error("simulated outage; ask again")]
    Unavailable {
        /// When asking again makes sense, where the provider says so.
        retry_after: Option<Duration>,
    },
    /// The provider has too much to do: 529, which only Anthropic has; 503 elsewhere.
    #[error("simulated overload; ask again")]
    Overloaded,
    /// The connection is reset before anything was answered.
    #[error("simulated reset of the connection")]
    Reset,
    /// Nothing is said until a gateway on the way gives up: 504.
    #[error("simulated timeout after {} s; ask again", after.as_secs_f64())]
    Timeout {
        /// How long after the request that is.
        after: Duration,
    },
    /// The question does not fit into the model's context window: 400.
    #[error("the question has {tokens} tokens, the model takes {most}")]
    ContextLength {
        /// Tokens of the question.
        tokens: u64,
        /// Tokens that the model takes.
        most: u64,
    },
    /// Nothing was recorded for this question: 404.
    #[error("no recording answers this request: {nearest}")]
    NotRecorded {
        /// What was nearest, and where it differs.
        nearest: String,
    },
    /// What the provider said when it was recorded.
    #[error("recorded failure with status {status}")]
    Recorded {
        /// The HTTP status.
        status: u16,
        /// When asking again makes sense, where the provider said so.
        retry_after: Option<Duration>,
        /// The body, as it came.
        body: String,
    },
}

impl Failure {
    /// A short, stable name: the label in metrics and the kind in settings of faults.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "rate_limited",
            Self::ServerError => "server_error",
            Self::Unavailable { .. } => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Reset => "reset",
            Self::Timeout { .. } => "timeout",
            Self::ContextLength { .. } => "context_length",
            Self::NotRecorded { .. } => "not_recorded",
            Self::Recorded { .. } => "recorded",
        }
    }
}

impl Failure {
    /// Seconds after which asking again makes sense, for a `Retry-After` header, where any are said.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let wait = match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::Unavailable { retry_after } | Self::Recorded { retry_after, .. } => *retry_after,
            _ => None,
        };
        // The header knows whole seconds.
        wait.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
    }
}

/// What goes wrong with an answer that is given. `after` counts the chunks before it; an answer that
/// does not come in chunks is hit in its middle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The first token comes this much later.
    SlowFirstToken(Duration),
    /// Nothing comes for this long.
    Stall {
        /// Chunks before it.
        after: usize,
        /// How long.
        pause: Duration,
    },
    /// The connection is closed before the end of the answer.
    Cut {
        /// Chunks before it.
        after: usize,
    },
    /// An event that cannot be read.
    Malformed {
        /// Chunks before it.
        after: usize,
    },
    /// The connection is reset in the middle of the answer.
    Reset {
        /// Chunks before it.
        after: usize,
    },
    /// The provider breaks off a stream and says so in it: an event that is an error, under a status
    /// that said all is well. An answer that comes whole has no place for it and is cut.
    StreamError {
        /// Chunks before it.
        after: usize,
        /// What it says.
        failure: Failure,
    },
    /// The answer ends early, as though the client had allowed no longer one: the protocol's stop
    /// reason for it, and a text that breaks off.
    Truncated {
        /// Chunks that come.
        after: usize,
    },
    /// The answer tells this usage in place of the real one.
    WrongUsage(Usage),
    /// The model refuses to answer: an empty text and the protocol's stop reason for it.
    Refusal,
}

impl Trouble {
    /// A short, stable name: the label in metrics and the kind in settings of faults.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SlowFirstToken(_) => "slow_first_token",
            Self::Stall { .. } => "stall",
            Self::Cut { .. } => "cut",
            Self::Malformed { .. } => "malformed",
            Self::Reset { .. } => "reset",
            Self::StreamError { .. } => "stream_error",
            Self::Truncated { .. } => "truncated",
            Self::WrongUsage(_) => "wrong_usage",
            Self::Refusal => "refusal",
        }
    }
}
