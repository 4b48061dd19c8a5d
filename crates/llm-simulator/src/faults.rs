//! Faults on purpose: which requests fail, and how.
//!
//! Must not know a wire protocol nor a clock of its own.

use crate::failure::{Failure, Trouble};

/// What a rule does to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not answered.
    Failure(Failure),
    /// It is answered, and something goes wrong with the answer.
    Trouble(Trouble),
}

impl Fault {
    /// A short, stable name: the label in metrics and the kind in settings.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Failure(failure) => failure.kind(),
            Self::Trouble(trouble) => trouble.kind(),
        }
    }
}

/// The rules in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    rules: Vec<Fault>,
}

/// Why a text holds no rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("faults cannot be read yet")]
pub struct FaultsError;

impl Faults {
    /// The rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Fault] {
        &self.rules
    }

    /// Reads rules as `PUT /admin/faults` takes them.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn from_json(_: &str) -> Result<Self, FaultsError> {
        Err(FaultsError)
    }
}
