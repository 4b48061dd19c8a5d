//! `llm-simulator fit`: recordings in, a profile and how well it fits out.
//!
//! Owns the files and what is printed. Must not know how a profile is estimated.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::fit::{self, FitError};
use crate::profile::{Goodness, Profile, ProfileError};
use crate::recording::{self, Broken, BrokenLine, Recording, RecordingError};
use crate::settings::FitArguments;

/// What takes longer than this says that it goes on, and again each time as long has gone by.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many lines that were left out are named.
const MOST_NAMED: usize = 5;

/// Why no profile was written.
#[derive(Debug, thiserror::Error)]
pub enum FitCommandError {
    /// The recordings cannot be used.
    #[error(transparent)]
    Recordings(#[from] RecordingError),
    /// They give no profile.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The profile cannot be put into JSON.
    #[error("the profile cannot be written: {0}")]
    Profile(#[from] ProfileError),
    /// The file would take the place of its own recordings.
    #[error("{0} is one of the recordings; name another file for the profile with --output")]
    Overwrites(PathBuf),
    /// The file cannot be written.
    #[error("{0} cannot be written: {1}")]
    Output(PathBuf, #[source] io::Error),
}

impl FitCommandError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Recordings(_) => "recordings",
            Self::Fit(error) => error.kind(),
            Self::Profile(error) => error.kind(),
            Self::Overwrites(_) => "overwrites",
            Self::Output(..) => "output",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When no profile was written.
pub fn run(arguments: &FitArguments) -> Result<(), FitCommandError> {
    let (profile, skipped) = with_progress(|stage| fitted(arguments, stage))?;
    let output = &arguments.output;
    let failed = |error| FitCommandError::Output(output.clone(), error);
    write(output, &profile.to_json()?).map_err(failed)?;
    let mut told = report(&profile, &skipped);
    let _ = writeln!(told, "wrote {}: {}", output.display(), profile.source);
    // The profile is there, whether anyone reads of it or not.
    let _ = io::stdout().lock().write_all(told.as_bytes());
    Ok(())
}

fn fitted(
    arguments: &FitArguments,
    stage: &dyn Fn(&'static str),
) -> Result<(Profile, Vec<BrokenLine>), FitCommandError> {
    let FitArguments { recordings, output, only_model, skip_broken, min_calls } = arguments;
    if let Some(same) = recordings.iter().find(|file| is_same(file, output)) {
        return Err(FitCommandError::Overwrites(same.clone()));
    }
    stage("reading the recordings");
    let broken = if *skip_broken { Broken::Skip } else { Broken::Refuse };
    let recording::Recordings { calls, skipped } = recording::read(recordings, broken)?;
    stage("fitting");
    let calls: Vec<Recording> = calls.into_iter().map(|(_, call)| call).collect();
    let chosen = fit::of_one_model(&calls, only_model.as_deref())?;
    Ok((fit::profile(&chosen, *min_calls)?, skipped))
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

/// Does something that may take long, and says on standard error what it is at.
fn with_progress<T: Send>(work: impl FnOnce(&dyn Fn(&'static str)) -> T + Send) -> T {
    let stage = Mutex::new("starting");
    let started = Instant::now();
    let (done, wait) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(|| {
            let wait = wait;
            while wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let stage = *stage.lock().unwrap_or_else(PoisonError::into_inner);
                eprintln!("llm-simulator: {stage}, {} s", started.elapsed().as_secs());
            }
        });
        let result = work(&|next| *stage.lock().unwrap_or_else(PoisonError::into_inner) = next);
        drop(done);
        result
    })
}

/// Writes a file whole or not at all.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// What is told of a fitted profile.
fn report(profile: &Profile, skipped: &[BrokenLine]) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    for line in skipped.iter().take(MOST_NAMED) {
        let _ = writeln!(out, "left out {line}");
    }
    if skipped.len() > MOST_NAMED {
        let _ = writeln!(out, "left out {} lines in all", skipped.len());
    }
    if let Some(fit) = &profile.fit {
        out.push_str(&table(fit));
    }
    out
}

/// The goodness of fit as a table.
#[must_use]
pub fn table(fit: &Goodness) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "How well one half ({} calls) foretells the other ({}); the profile itself is of all {}:\n",
        fit.fitted, fit.held_out, fit.calls
    );
    let _ = writeln!(
        out,
        "{:<17} {:>6} {:>6} {:>6}  {:>4} {:>10} {:>10} {:>8}  95 % interval of held-out",
        "quantity", "n", "KS", "p", "", "held-out", "simulated", "error"
    );
    for quantity in &fit.quantities {
        let head = format!(
            "{:<17} {:>6} {:>6.3} {:>6.3}",
            quantity.name, quantity.n, quantity.distance, quantity.p_value
        );
        for (index, quantile) in quantity.quantiles.iter().enumerate() {
            let error = quantile.error().map_or_else(String::new, |error| format!("{:+.1} %", error * 100.0));
            let _ = writeln!(
                out,
                "{:<38}  {:>4} {:>10} {:>10} {error:>8}  {} to {}, {}",
                if index == 0 { head.as_str() } else { "" },
                format!("p{:.0}", quantile.q * 100.0),
                figure(quantile.held_out),
                figure(quantile.simulated),
                figure(quantile.interval.0),
                figure(quantile.interval.1),
                if quantile.inside() { "inside" } else { "OUTSIDE" },
            );
        }
    }
    let _ = writeln!(out, "\nerrors: {}", if fit.errors.is_empty() { "none" } else { "" });
    for error in &fit.errors {
        let _ = writeln!(
            out,
            "  {:<15} fitted {:.2} %, held-out {:.2} % ({:.2} to {:.2} %)",
            error.kind,
            error.fitted * 100.0,
            error.held_out * 100.0,
            error.interval.0 * 100.0,
            error.interval.1 * 100.0
        );
    }
    let _ = writeln!(out, "depends on: {}", if fit.dependences.is_empty() { "nothing" } else { "" });
    for found in &fit.dependences {
        let slope = found.slope.map_or_else(String::new, |slope| format!(", power {slope:.2}"));
        let _ = writeln!(
            out,
            "  {:<17} on {:<17} Spearman {:+.2} (p {:.1e}){slope}",
            found.of, found.on, found.rho, found.p_value
        );
    }
    for note in &fit.notes {
        let _ = writeln!(out, "note: {note}");
    }
    let _ = writeln!(
        out,
        "p counts the chance in both halves and in the simulation. Of two halves that differ by chance \
         only, one's\nquantile lies inside the other's interval in about five cases of six.\n"
    );
    out
}

/// Four significant digits, or the whole number.
fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1_000.0 || size == 0.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::{figure, write};

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile.json");
        write(&path, "one").unwrap();
        write(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        // A folder in its place cannot be replaced, and nothing is left behind.
        let taken = folder.path().join("taken");
        std::fs::create_dir_all(taken.join("full")).unwrap();
        assert!(write(&taken, "three").is_err());
        assert!(write(std::path::Path::new("/"), "four").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn figures_have_about_four_digits() {
        assert_eq!(
            [0.0, 0.12345, 12.345, 123.45, 12345.6].map(figure),
            ["0", "0.123", "12.35", "123.5", "12346"]
        );
    }
}
