//! Runs that never were: pairs of figures with the noise of a shared machine, for measuring how often
//! verdicts are false and how small an effect they find.
//!
//! Owns the model. Each pair has a load of its own that drifts and jumps, the later run of a pair may be
//! slower, noise has a memory from run to run, and some runs lie far out. Latencies of a run hang together.

use common_models::RunSummary;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::judgement::{Judgement, Look, Pair, Question, judge};
use super::plan::{self, Next};

/// How much of what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Standard deviation of a run's logarithm of latency.
    pub spread: f64,
    /// How much of a run's noise is left in the next.
    pub memory: f64,
    /// Change of the logarithm from pair to pair, always in one direction.
    pub drift: f64,
    /// Chance of a jump between two pairs, to a level that stays.
    pub jumps: f64,
    /// Chance that a run lies far out: up to three times as slow.
    pub outliers: f64,
    /// By how much the later run of a pair is slower.
    pub later: f64,
}

/// A source of pairs.
pub struct Source {
    draws: ChaCha8Rng,
    noise: Noise,
    /// What the candidate's latency is multiplied with, less one.
    effect: f64,
    level: f64,
    rest: f64,
}

impl Source {
    /// One in which the candidate is slower by this fraction.
    #[must_use]
    pub fn new(noise: Noise, effect: f64, seed: u64) -> Self {
        Self { draws: ChaCha8Rng::seed_from_u64(seed), noise, effect, level: 0.0, rest: 0.0 }
    }

    /// The next pair.
    pub fn pair(&mut self) -> Pair {
        self.level += self.noise.drift;
        if self.chance(self.noise.jumps) {
            self.level += self.normal() * 0.3;
        }
        let baseline_first = self.chance(0.5);
        let first = self.run(0.0, if baseline_first { 0.0 } else { self.effect });
        let second = self.run(self.noise.later, if baseline_first { self.effect } else { 0.0 });
        let (baseline, candidate) = if baseline_first { (first, second) } else { (second, first) };
        Pair { baseline, candidate }
    }

    fn run(&mut self, later: f64, effect: f64) -> RunSummary {
        let noise = self.noise;
        self.rest = noise.memory * self.rest + (1.0 - noise.memory * noise.memory).sqrt() * self.normal();
        let far = if self.chance(noise.outliers) { self.uniform() * 3.0_f64.ln() } else { 0.0 };
        let slow = self.level + later + noise.spread * self.rest + far;
        let mut latency =
            |base: f64, own: f64| base * (slow + own * noise.spread * self.normal()).exp() * (1.0 + effect);
        let (p50_ms, p95_ms, p99_ms) = (latency(2.0, 0.3), latency(8.0, 0.6), latency(20.0, 1.2));
        // As many as users with a pause between two make.
        let rps = 1_000.0 / (50.0 + p50_ms);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred")]
        let requests = (rps * 15.0) as u64;
        let failed = u64::from(self.chance(0.1));
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let failed_rate = failed as f64 / requests.max(1) as f64;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
        let output_tokens = (requests as f64 * (15.0 + self.normal())).max(0.0) as u64;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let list_cost_usd = Some(output_tokens as f64 * 1e-6);
        RunSummary {
            requests,
            failed_rate,
            rps,
            p50_ms,
            p95_ms,
            p99_ms,
            output_tokens,
            cost_usd: Some(0.0),
            list_cost_usd,
            ..RunSummary::default()
        }
    }

    /// From 0 to 1, without 1.
    fn uniform(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let bits = (self.draws.next_u64() >> 11) as f64;
        bits / (1_u64 << 53) as f64
    }

    fn chance(&mut self, chance: f64) -> bool {
        self.uniform() < chance
    }

    /// A standard normal (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// A whole comparison, as the use case makes it: `next` gives a pair, or none where there are no more.
pub fn compare(
    question: &Question,
    (least, most): (usize, usize),
    mut next: impl FnMut() -> Option<Pair>,
) -> (Judgement, usize) {
    let mut pairs = Vec::new();
    while let Some(pair) = next() {
        pairs.push(pair);
        if let Next::Enough(look) = plan::next(question, (least, most), &pairs) {
            return (judge(question, &pairs, look, &[]), pairs.len());
        }
    }
    (judge(question, &pairs, Look::Last, &[]), pairs.len())
}
