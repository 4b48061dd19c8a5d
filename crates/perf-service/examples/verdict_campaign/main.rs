//! `make verdict-campaign`: how often verdicts are false, and how small an effect they find.
//!
//! Makes a pool of real runs of one build (A, A again, A slowed by 5 % and by 20 %), interleaved in random
//! order, each with a service started afresh; draws comparisons from it, and as many from simulated noise.
//! Sends load to 127.0.0.1 only. `--pool FILE` reads an earlier pool instead of making one.

mod pool;
mod rates;
mod slowed;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use clap::Parser;
use common_models::ComparedMetric;

pub(crate) type Fallible<T> = Result<T, Box<dyn Error>>;

/// What the campaign is told.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Blocks of four runs.
    #[arg(long, default_value_t = 45)]
    blocks: usize,
    /// Seconds of measured load of each run.
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Virtual users.
    #[arg(long, default_value_t = 6)]
    users: u32,
    /// Comparisons of each kind.
    #[arg(long, default_value_t = 10_000)]
    comparisons: u64,
    /// Decides every order and draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The local k6.
    #[arg(long)]
    k6: Option<PathBuf>,
    /// Folder of the binaries [default: where this one lies]
    #[arg(long)]
    binaries: Option<PathBuf>,
    /// Folder for services, runs and the pool.
    #[arg(long, default_value = ".run/verdict-campaign")]
    folder: PathBuf,
    /// Take this pool.
    #[arg(long)]
    pool: Option<PathBuf>,
    /// Where the summary goes, beside standard output.
    #[arg(long)]
    summary: Option<PathBuf>,
}

fn main() -> Fallible<()> {
    let options = Options::parse();
    let blocks = match &options.pool {
        Some(file) => pool::read(file)?,
        None => pool::make(&options)?,
    };
    let mut text = format!(
        "# How far verdicts can be trusted\n\n\
         Made by `make verdict-campaign`; not edited by hand.\n\n\
         Pool: {} blocks of four runs of one release build, in random order within a block, each run with a \
         service started afresh from the same state: the build (A), the same again (A′), and the same behind a \
         proxy that holds each answer for another 5 % and 20 % of the time it took. A and A′ pass the same \
         proxy, which holds nothing. Holding has steps of about 0.1 ms of its own, so 5 % of short answers is \
         nearer to 10 %. Each run is {} s of smoke by {} users, each block with a seed of its own; answers of a \
         simulator. A comparison drawn from the pool takes at most {} of its blocks, without putting them back.\n\n\
         \"Worse\" and \"better\" need a difference of at least the smallest change that matters, 5 %: what \
         differs by less is a false alarm as well.\n\n",
        blocks.len(),
        options.seconds,
        options.users,
        rates::most_pairs(&blocks)
    );
    for primary in [ComparedMetric::P95Ms, ComparedMetric::WithoutLlmP95Ms, ComparedMetric::P50Ms] {
        text.push_str(&rates::of_pool(&blocks, primary, options.comparisons, options.seed)?);
    }
    text.push_str(&rates::of_noise(options.comparisons, options.seed)?);
    let mut out = std::io::stdout();
    write!(out, "{text}")?;
    if let Some(path) = options.summary {
        std::fs::write(path, text)?;
    }
    Ok(())
}
