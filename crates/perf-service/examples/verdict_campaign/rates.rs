//! Rates of words: comparisons drawn from the pool and from simulated noise.

use std::fmt::Write;

use common_models::{ComparedMetric, RunSummary, Verdict};
use perf_service::comparisons::judgement::{Judgement, Look, Pair, Question, judge, percent};
use perf_service::comparisons::noise::{Noise, Source, compare};
use perf_service::comparisons::{metrics, plan};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use statistics::intervals;

use crate::Fallible;
use crate::pool::{Arm, Block};

/// Comparisons at each effect that is tried out.
const TRIES: u64 = 1_000;
/// How often an effect is to be found.
const FOUND: f64 = 0.95;
/// Effects tried out: 1 % to this many.
const LARGEST: u32 = 60;

const fn question(primary: ComparedMetric) -> Question {
    Question { primary, level: 0.95, minimum_effect: 0.05 }
}

/// How often each word was said.
#[derive(Default)]
struct Words {
    better: u64,
    worse: u64,
    same: u64,
    open: u64,
    pairs: usize,
}

impl Words {
    fn add(&mut self, (judgement, pairs): &(Judgement, usize)) {
        match judgement.verdict {
            Verdict::Better => self.better += 1,
            Verdict::Worse => self.worse += 1,
            Verdict::Same => self.same += 1,
            Verdict::NotEnoughEvidence => self.open += 1,
        }
        self.pairs += pairs;
    }

    const fn all(&self) -> u64 {
        self.better + self.worse + self.same + self.open
    }

    fn row(&self, name: &str) -> String {
        let all = self.all().max(1);
        let share = |count: u64| percent(fraction(count, all));
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let pairs = self.pairs as f64 / all as f64;
        format!(
            "| {name} | {} | {} | {} | {} | {pairs:.1} |\n",
            share(self.better),
            share(self.worse),
            share(self.same),
            share(self.open)
        )
    }

    fn false_alarms(&self, of: &str) -> Fallible<String> {
        let (alarms, all) = (self.better + self.worse, self.all());
        let (low, high) = intervals::wilson(alarms, all, 0.95).ok_or("no comparisons")?;
        let held = if fraction(alarms, all) <= 0.05 { "at or under" } else { "**above**" };
        Ok(format!(
            "False alarms{of}: {alarms} of {all}, {:.2} % (95 % interval {:.2} % to {:.2} %), {held} the 5 % stated.\n\n",
            fraction(alarms, all) * 100.0,
            low * 100.0,
            high * 100.0
        ))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn fraction(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

const HEAD: &str = "| compared | better | worse | same | not enough evidence | pairs on average |\n|---|---:|---:|---:|---:|---:|\n";

/// Draws blocks without putting them back, in an order of its own.
struct Drawn<'a> {
    blocks: Vec<&'a Block>,
    draws: ChaCha8Rng,
}

impl<'a> Drawn<'a> {
    fn new(blocks: &'a [Block], seed: u64) -> Self {
        Self { blocks: blocks.iter().collect(), draws: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn next(&mut self) -> Option<&'a Block> {
        let left = u64::try_from(self.blocks.len()).ok().filter(|left| *left > 0)?;
        // The bias of the remainder is under 2^-57.
        let place = usize::try_from(self.draws.next_u64() % left).ok()?;
        Some(self.blocks.swap_remove(place))
    }

    fn coin(&mut self) -> bool {
        self.draws.next_u64() & 1 == 1
    }

    /// The next pair: a run of the build as it is, by a coin A or A′, and another one.
    fn pair(&mut self, other: Option<Arm>) -> Option<Pair> {
        let block = self.next()?;
        let (one, two) = if self.coin() { (Arm::A, Arm::Again) } else { (Arm::Again, Arm::A) };
        Some(Pair { baseline: block.of(one)?.clone(), candidate: block.of(other.unwrap_or(two))?.clone() })
    }
}

fn resampled(
    blocks: &[Block],
    primary: ComparedMetric,
    (comparisons, seed): (u64, u64),
    other: Option<Arm>,
    slowed: f64,
) -> Words {
    let question = question(primary);
    let (least, most) = plan::bounds(&question, None);
    let bounds = (least, most.min(most_pairs(blocks)));
    let mut words = Words::default();
    for at in 0..comparisons {
        let mut drawn = Drawn::new(blocks, seed.wrapping_mul(1_000_003).wrapping_add(at));
        let found = compare(&question, bounds, || {
            drawn.pair(other).map(|pair| Pair { candidate: slower(&pair.candidate, slowed), ..pair })
        });
        words.add(&found);
    }
    words
}

/// Pairs of a comparison drawn from the pool: as by default, or as many as there are.
pub(crate) fn most_pairs(blocks: &[Block]) -> usize {
    plan::MOST.min(blocks.len())
}

/// All blocks with the names that they had: were the two not alike, by their place or by the campaign
/// itself, this would show it, and drawn names would hide it.
fn as_made(blocks: &[Block], primary: ComparedMetric) -> Fallible<String> {
    let pair = |block: &Block| {
        let (baseline, candidate) = (block.of(Arm::A)?.clone(), block.of(Arm::Again)?.clone());
        Some(Pair { baseline, candidate })
    };
    let pairs: Vec<Pair> = blocks.iter().filter_map(pair).collect();
    let found = judge(&question(primary), &pairs, Look::Last, &[]);
    let shown = found.metrics.first().ok_or("no figure")?;
    Ok(format!(
        "As they were made, A′ beside A over all {} blocks: {} (p = {:.3}). Once in twenty campaigns p is under \
         0.05 of itself.\n\n",
        pairs.len(),
        found.reason,
        shown.p
    ))
}

fn slower(run: &RunSummary, by: f64) -> RunSummary {
    let factor = 1.0 + by;
    RunSummary {
        p50_ms: run.p50_ms * factor,
        p95_ms: run.p95_ms * factor,
        p99_ms: run.p99_ms * factor,
        with_llm_p95_ms: run.with_llm_p95_ms.map(|p95| p95 * factor),
        without_llm_p95_ms: run.without_llm_p95_ms.map(|p95| p95 * factor),
        ..run.clone()
    }
}

/// What comparisons drawn from the pool say.
pub(crate) fn of_pool(
    blocks: &[Block],
    primary: ComparedMetric,
    comparisons: u64,
    seed: u64,
) -> Fallible<String> {
    let name = metrics::name(primary);
    let draws = (comparisons, seed);
    let same = resampled(blocks, primary, draws, None, 0.0);
    let mut text = format!(
        "## {comparisons} comparisons drawn from the pool, {name} deciding\n\n{}",
        noise(blocks, primary) + &as_made(blocks, primary)?
    );
    text.push_str(HEAD);
    text.push_str(&same.row("A and A′, a coin says which is the candidate"));
    let half = resampled(blocks, primary, draws, None, 0.025);
    text.push_str(&half.row("the same, the candidate's latencies 2.5 % longer"));
    for (arm, name) in [(Arm::Slower5, "A and A slowed by 5 %"), (Arm::Slower20, "A and A slowed by 20 %")] {
        text.push_str(&resampled(blocks, primary, draws, Some(arm), 0.0).row(name));
    }
    write!(text, "\n{}", same.false_alarms("")?)?;
    let is_found = |percent: u32| {
        let words = resampled(blocks, primary, (TRIES, seed), None, f64::from(percent) / 100.0);
        fraction(words.worse, words.all()) >= FOUND
    };
    // A larger one is found more often.
    let (mut missed, mut enough) = (0, LARGEST + 1);
    while enough - missed > 1 {
        let middle = u32::midpoint(missed, enough);
        if is_found(middle) {
            enough = middle;
        } else {
            missed = middle;
        }
    }
    let smallest = (enough <= LARGEST).then_some(enough);
    let found = match smallest {
        Some(percent) => format!("{percent} %"),
        None => format!("none up to {LARGEST} %"),
    };
    writeln!(
        text,
        "Smallest slowdown of all latencies that is found in 95 % of comparisons of at most {} pairs: {found}.\n",
        most_pairs(blocks)
    )?;
    Ok(text)
}

/// How far two runs of the same build lie apart in the pool.
fn noise(blocks: &[Block], primary: ComparedMetric) -> String {
    let values = |arm: Arm| blocks.iter().filter_map(move |block| metrics::value(primary, block.of(arm)?));
    let pairs: Vec<(f64, f64)> = values(Arm::A).zip(values(Arm::Again)).collect();
    let spread = metrics::differences(primary, &pairs)
        .and_then(|differences| statistics::planning::spread(&differences))
        .unwrap_or(f64::NAN);
    let medians: Vec<String> = [Arm::A, Arm::Again, Arm::Slower5, Arm::Slower20]
        .into_iter()
        .map(|arm| format!("{:.3}", metrics::median(values(arm).collect()).unwrap_or(f64::NAN)))
        .collect();
    format!(
        "Medians of the pool (A, A′, slowed by 5 %, by 20 %): {} ms; two runs of the same build lie {} apart \
         (a robust standard deviation).\n\n",
        medians.join(", "),
        percent(spread)
    )
}

/// What comparisons of simulated noise say.
pub(crate) fn of_noise(comparisons: u64, seed: u64) -> Fallible<String> {
    let quiet = Noise { spread: 0.03, memory: 0.0, drift: 0.0, jumps: 0.0, outliers: 0.0, later: 0.0 };
    let kinds = [
        ("drift, the later run slower", Noise { drift: 0.01, later: 0.02, ..quiet }),
        ("memory and jumps", Noise { memory: 0.8, jumps: 0.2, ..quiet }),
        ("a tenth lies far out", Noise { spread: 0.10, outliers: 0.1, ..quiet }),
        (
            "all of it",
            Noise { spread: 0.06, memory: 0.5, drift: 0.005, jumps: 0.1, outliers: 0.05, later: 0.03 },
        ),
    ];
    let question = question(ComparedMetric::P95Ms);
    let bounds = plan::bounds(&question, None);
    let mut total = Words::default();
    let (mut rows, mut alarms) = (String::new(), String::new());
    for ((name, noise), at) in kinds.into_iter().zip(0_u64..) {
        let mut words = Words::default();
        for number in 0..comparisons / 4 {
            let seed = (seed << 32) + (at << 28) + number;
            let mut source = Source::new(noise, 0.0, seed);
            let found = compare(&question, bounds, || Some(source.pair()));
            words.add(&found);
            total.add(&found);
        }
        rows.push_str(&words.row(name));
        alarms.push_str(&words.false_alarms(&format!(", {name}"))?);
    }
    Ok(format!(
        "## {} comparisons of simulated noise, no difference in it, p95Ms deciding\n\n{HEAD}{rows}\n{alarms}{}",
        total.all(),
        total.false_alarms(" in all of them")?
    ))
}
