//! `llm-simulator fit`: recordings in, a profile and how well it fits out.

use crate::settings::FitArguments;

/// Why no profile was written.
#[derive(Debug, thiserror::Error)]
#[error("fit is not there yet")]
pub struct FitError;

/// Runs the command.
///
/// # Errors
/// When no profile was written.
pub fn run(_: &FitArguments) -> Result<(), FitError> {
    Err(FitError)
}
