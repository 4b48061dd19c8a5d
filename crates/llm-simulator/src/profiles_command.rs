//! `llm-simulator profiles`: the built-in profiles and where their figures come from.

use std::io::{self, Write};

use crate::profile::Profile;

/// Runs the command.
///
/// # Errors
/// When nothing can be written.
pub fn run() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for name in Profile::BUILT_IN {
        if let Some(profile) = Profile::built_in(name) {
            writeln!(out, "{name:<12} {}", profile.source)?;
        }
    }
    Ok(())
}
