//! `make bench-simulator`: how many complete answers a second at zero latency, beside bare axum; how
//! late the chunks of 2,000 streams at once are; how much memory that takes.
//!
//! Prints figures of things measured in turn in one run, beside an A/A control that shows the
//! machine's noise; asserts nothing. The servers are processes of their own; the client shares the
//! machine with them, so what it does is the smallest there is. Load goes to 127.0.0.1 only.
//!
//! `bench_simulator [complete|streams]…` measures what is named, or all of it. `STREAMS` and
//! `SECONDS` set how many streams there are at once, and for how long.

use std::error::Error;

mod bare;
mod client;
mod complete;
mod process;
mod streams;

pub(crate) type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The value in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value at or under which this share of the values lies.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// A number from the environment.
pub(crate) fn given(name: &str, default: usize) -> Fallible<usize> {
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
    if let [kind, port, answer] = arguments.as_slice()
        && kind == "bare"
    {
        return bare::run(port.parse()?, answer.as_ref());
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if wanted("complete") {
            complete::measure().await?;
        }
        if wanted("streams") {
            streams::measure(given("STREAMS", 2_000)?, given("SECONDS", 30)?).await?;
        }
        Ok(())
    })
}
