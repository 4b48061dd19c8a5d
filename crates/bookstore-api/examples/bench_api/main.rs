//! `make bench-api`: what a cached read costs, layer by layer and through Redis; what unknown paths
//! leave behind; how lists grow with the store.
//!
//! Prints ratios of things measured side by side in one run, in turn, beside an A/A control that
//! shows the machine's noise; asserts nothing. Servers are processes of their own, so that the
//! client's work is not counted as theirs. Load goes to 127.0.0.1 only.
//!
//! `bench_api [layers|gzip|redis|series|lists|telemetry|scrape|collector]…` measures what is named, or all of it.

use std::error::Error;

mod gzip;
mod layers;
mod lists;
mod load;
mod process;
mod redis;
mod series;
mod server;
mod telemetry;

pub(crate) type Fallible<T> = Result<T, Box<dyn Error>>;

/// The value in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of how many times as much the first of each pair is.
pub(crate) fn ratio(values: &[f64], base: &[f64]) -> f64 {
    let ratios: Vec<f64> = values.iter().zip(base).map(|(value, base)| value / base).collect();
    median(&ratios)
}

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [kind, layer, port, answer] = arguments.as_slice()
        && kind == "server"
    {
        return server::run(layer, port.parse()?, answer.as_ref());
    }
    let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if wanted("layers") {
            layers::measure().await?;
        }
        if wanted("gzip") {
            gzip::measure().await?;
        }
        if wanted("redis") {
            redis::measure().await?;
        }
        if wanted("series") {
            series::measure().await?;
        }
        if wanted("lists") {
            lists::measure().await?;
        }
        if wanted("telemetry") {
            telemetry::measure().await?;
        }
        if wanted("scrape") {
            telemetry::scrape().await?;
        }
        if wanted("collector") {
            telemetry::dead_or_slow().await?;
        }
        Ok(())
    })
}
