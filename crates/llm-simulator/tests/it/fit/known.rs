//! A provider whose distributions are known, and how what is simulated after a fit compares with it.
//! Used by the tests and by the soak.

use chrono::{DateTime, TimeDelta};
use llm_simulator::call::Protocol;
use llm_simulator::draws::{Draws, Quantity};
use llm_simulator::fit;
use llm_simulator::latency::Schedule;
use llm_simulator::profile::{Circumstances, Drawn, Profile};
use llm_simulator::recording::{End, RecordedRequest, RecordedStop, RecordedUsage, Recording, VERSION};
use statistics::kolmogorov;

/// A call by itself.
pub const ALONE: Circumstances = Circumstances { input_tokens: 50, concurrency: 1 };

/// A source of draws for a seed.
pub fn draws(seed: u64) -> Draws {
    let mut question = [0; 32];
    question[..8].copy_from_slice(&seed.to_le_bytes());
    question[31] = 77;
    Draws::of(&question, Quantity::Text)
}

/// A draw from a distribution.
pub type Drawing = fn(&mut Draws) -> f64;

/// The five distributions, each by its inverse distribution function or a mixture of such.
pub const DISTRIBUTIONS: [(&str, Drawing); 5] = [
    ("log-normal", |d| (d.standard_normal() * 0.6 + 5.0).exp()),
    // Pareto with exponent 1.5: its variance is infinite.
    ("Pareto", |d| 20.0 * (1.0 - d.uniform()).powf(-1.0 / 1.5)),
    ("bimodal", |d| {
        let late = d.uniform() < 0.3;
        let z = d.standard_normal();
        if late { 800.0 + 60.0 * z } else { 120.0 + 15.0 * z }
    }),
    ("exponential", |d| 2.0 - 90.0 * (1.0 - d.uniform()).ln()),
    // Weibull with shape 0.7: falling from the start, and a long tail.
    ("Weibull", |d| 1.0 + 50.0 * (-(1.0 - d.uniform()).ln()).powf(1.0 / 0.7)),
];

/// A recording of a streamed answer.
pub fn recording(at: i64, first: f64, gap: f64, tokens: u64, circumstances: Circumstances) -> Recording {
    let chunk_ms: Vec<f64> = (0..tokens).map(|i| first + gap * i as f64).collect();
    Recording {
        version: VERSION,
        at: DateTime::UNIX_EPOCH + TimeDelta::milliseconds(at),
        protocol: Protocol::OpenAi,
        route: "/v1/chat/completions".to_owned(),
        model: "known".to_owned(),
        stream: true,
        request: RecordedRequest {
            fingerprint: String::new(),
            turns: Vec::new(),
            tokens: circumstances.input_tokens,
            max_output_tokens: None,
            conversation: None,
        },
        concurrency: u32::try_from(circumstances.concurrency).unwrap(),
        status: 200,
        chunk_bytes: vec![4; chunk_ms.len()],
        total_ms: chunk_ms.last().copied().unwrap_or(first),
        chunk_ms,
        usage: Some(RecordedUsage { output_tokens: tokens, ..RecordedUsage::default() }),
        stop: Some(RecordedStop::Finished),
        end: End::Complete,
        unheard: false,
        text: None,
        error: None,
    }
}

/// The profile of these calls.
pub fn profile_of(recordings: &[Recording]) -> Profile {
    fit::profile(&fit::of_one_model(recordings, None).unwrap(), 200).unwrap()
}

/// One simulated call: what was drawn, and its schedule's first token and duration in milliseconds.
pub fn simulated(profile: &Profile, seed: u64, circumstances: Circumstances) -> (Drawn, f64, f64) {
    let mut question = [0; 32];
    question[..8].copy_from_slice(&seed.to_le_bytes());
    let drawn = profile.draw(&question, &circumstances);
    let tokens = usize::try_from(drawn.output_tokens).unwrap();
    let schedule = Schedule::draw(&question, profile, &drawn, tokens);
    let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1_000.0;
    (drawn, ms(schedule.first_token()), ms(schedule.whole(tokens)))
}

/// Fits to `n` calls whose first token and gap follow a distribution, and compares `n` simulated
/// ones with `n` fresh ones: the p-values of both.
pub fn refit(of: Drawing, n: usize, seed: u64) -> (f64, f64) {
    let (mut known, mut fresh) = (draws(seed * 2), draws(seed * 2 + 1));
    let recordings: Vec<Recording> = (0..n)
        .map(|i| {
            let (first, gap) = (of(&mut known), of(&mut known) / 10.0);
            recording(i64::try_from(i).unwrap(), first, gap, 2 + known.below(3) as u64, ALONE)
        })
        .collect();
    let profile = profile_of(&recordings);
    let calls: Vec<_> = (0..n as u64).map(|i| simulated(&profile, i + seed * 1_000_000, ALONE)).collect();
    let first: Vec<f64> = calls.iter().map(|call| call.1).collect();
    let gaps: Vec<f64> =
        calls.iter().map(|call| (call.2 - call.1) / (call.0.output_tokens - 1) as f64).collect();
    let mut fresh = |scale: f64| -> Vec<f64> { (0..n).map(|_| of(&mut fresh) * scale).collect() };
    let p = |seen: &[f64], fresh: &[f64]| kolmogorov::two_samples(seen, fresh).unwrap().p_value;
    (p(&first, &fresh(1.0)), p(&gaps, &fresh(0.1)))
}
