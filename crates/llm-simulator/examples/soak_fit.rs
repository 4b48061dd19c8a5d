//! How often a fit is good enough; `make soak-fit` prints it.
//!
//! Without arguments, against known distributions: for each of five and each of 40 seeds, record
//! 10,000 calls, fit, simulate 10,000, and test them against 10,000 fresh draws, at 1 %. A profile
//! that is exactly the recorded sample passes less often than 99 %, for the sample itself is subject
//! to chance: the share that theory expects of it is printed beside.
//!
//! With recordings, against calls that were held out: over random halves, how often a simulated
//! quantile lies inside the 95 % interval of the other half's own, beside how often the quantile of
//! the fitted half itself does. That is the most one can ask of a profile.

#[path = "../tests/it/fit/known.rs"]
#[expect(clippy::unwrap_used, reason = "shared with the tests")]
mod known;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use llm_simulator::fit::{self, Sample};
use llm_simulator::recording::{self, Broken, Recording};
use statistics::kolmogorov;

/// Calls of each sample.
const CALLS: usize = 10_000;
/// Seeds of each distribution.
const SEEDS: u64 = 40;
/// Random halves.
const SPLITS: u64 = 60;

fn main() -> Result<(), Box<dyn Error>> {
    let recordings: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if recordings.is_empty() {
        known_distributions();
        Ok(())
    } else {
        halves(&recordings)
    }
}

/// How often something came true.
#[derive(Default)]
struct Share(u64, u64);

impl Share {
    fn count(&mut self, came_true: bool) {
        self.0 += u64::from(came_true);
        self.1 += 1;
    }

    fn percent(&self) -> f64 {
        self.0 as f64 / self.1.max(1) as f64 * 100.0
    }
}

fn known_distributions() {
    // The two-sample test counts the chance in two samples; here are three of equal size.
    let expected = 1.0 - kolmogorov::survival(1.627_62 / 1.5_f64.sqrt());
    println!("{CALLS} calls, {SEEDS} seeds: passes at 1 %");
    let mut all = Share::default();
    for ((name, of), index) in known::DISTRIBUTIONS.into_iter().zip(0..) {
        let (mut first, mut gap) = (Share::default(), Share::default());
        for seed in 0..SEEDS {
            let (first_p, gap_p) = known::refit(of, CALLS, 100 + seed * 5 + index);
            for (share, p) in [(&mut first, first_p), (&mut gap, gap_p)] {
                share.count(p > 0.01);
                all.count(p > 0.01);
            }
        }
        println!("{name:<12} first token {} of {SEEDS}, mean gap {} of {SEEDS}", first.0, gap.0);
    }
    println!(
        "all          {:.1} %; expected of the recorded sample itself: {:.1} %",
        all.percent(),
        expected * 100.0
    );
}

fn halves(files: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    let read = recording::read(files, Broken::Skip)?;
    let calls: Vec<Recording> = read.calls.into_iter().map(|(_, call)| call).collect();
    let calls = fit::of_one_model(&calls, None)?;
    let mut inside: BTreeMap<(String, u32), (Share, Share)> = BTreeMap::new();
    let (mut every, mut every_own) = (Share::default(), Share::default());
    for split in 0..SPLITS {
        let mut draws = known::draws(split);
        let (one, other): (Vec<&Recording>, Vec<&Recording>) =
            calls.iter().copied().partition(|_| draws.uniform() < 0.5);
        let (one, other) = (Sample::of(one), Sample::of(other));
        let (_, by_profile) = fit::against(&one, &other)?;
        let by_half = fit::halves(&one, &other);
        let mut all = (true, true);
        for (profile, half) in by_profile.quantities.iter().zip(&by_half) {
            for (simulated, own) in profile.quantiles.iter().zip(&half.quantiles) {
                let (a, b) = (simulated.inside(), own.inside());
                let key = (profile.name.clone(), (simulated.q * 100.0) as u32);
                let shares = inside.entry(key).or_default();
                shares.0.count(a);
                shares.1.count(b);
                if ["first_token_ms", "duration_ms"].contains(&profile.name.as_str()) {
                    all = (all.0 && a, all.1 && b);
                }
            }
        }
        every.count(all.0);
        every_own.count(all.1);
    }
    println!("{SPLITS} random halves of {} calls: inside the other half's 95 % interval", calls.len());
    println!("{:<22} {:>10} {:>22}", "quantile", "simulated", "the fitted half's own");
    for ((name, q), (simulated, own)) in &inside {
        println!("{name:<17} p{q:<3} {:>9.0} % {:>20.0} %", simulated.percent(), own.percent());
    }
    println!(
        "all six of first token and duration at once: {:.0} %, the half's own: {:.0} %",
        every.percent(),
        every_own.percent()
    );
    Ok(())
}
