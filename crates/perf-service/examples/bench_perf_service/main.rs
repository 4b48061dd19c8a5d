//! `make bench-perf-service`: what perf-service costs beside a plain `k6 run`, how much memory the
//! summary of 10 million samples takes, and how large and how quick to open the report of them is.
//!
//! Prints figures of things measured in turn in one run; asserts nothing. Load goes to 127.0.0.1 only.
//!
//! `bench_perf_service [samples|runs]…` measures what is named, or all of it. `SAMPLES` sets how many
//! samples there are; `PAIRS`, `SECONDS` and `USERS` how often and how hard the two ways of starting k6
//! are measured; `K6_BIN` is needed for runs, `CHROMIUM_BIN` for the opening of the report.

use std::error::Error;
use std::path::PathBuf;

mod lines;
mod runs;
mod summary;
mod target;

pub(crate) type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The value in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The folder of the binaries of this build.
pub(crate) fn binaries() -> Fallible<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(2).ok_or("no target folder")?.to_owned())
}

/// A path from the environment.
pub(crate) fn given_path(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the benchmark's own setting")]
    std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// A number from the environment.
pub(crate) fn given(name: &str, default: u64) -> Fallible<u64> {
    #[expect(clippy::disallowed_methods, reason = "the benchmark's own setting")]
    let text = std::env::var(name);
    match text {
        Ok(text) if !text.is_empty() => {
            text.parse().map_err(|_| format!("{name} is no number: {text}").into())
        }
        _ => Ok(default),
    }
}

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, report] = arguments.as_slice()
        && kind == "summarise"
    {
        return summary::summarise(report.as_ref());
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    if wanted("samples") {
        summary::measure(given("SAMPLES", 10_000_000)?)?;
    }
    if wanted("runs") {
        runs::measure(given("PAIRS", 5)?, given("SECONDS", 15)?, given("USERS", 100)?)?;
    }
    Ok(())
}
