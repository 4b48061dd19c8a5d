//! Fitting: recordings of a known provider in, and out comes a simulator that is like it.

pub mod known;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use llm_simulator::answer::Answer;
use llm_simulator::draws::Draws;
use llm_simulator::fit::{self, FitError};
use llm_simulator::profile::{Circumstances, Covariate, ErrorKind, Profile};
use llm_simulator::question::{Question, Turn};
use llm_simulator::recording::{RecordedError, RecordedStop, RecordedUsage, Recording};
use statistics::{kolmogorov, spearman};

use self::known::{ALONE, DISTRIBUTIONS, draws, profile_of, recording, refit, simulated};

fn failed(at: i64, status: u16, retry_after_seconds: Option<f64>) -> Recording {
    Recording {
        status,
        chunk_ms: Vec::new(),
        chunk_bytes: Vec::new(),
        total_ms: 25.0,
        usage: None,
        stop: None,
        error: Some(RecordedError { retry_after_seconds, body: "{}".to_owned() }),
        ..recording(at, 1.0, 1.0, 0, ALONE)
    }
}

#[test]
fn what_is_simulated_passes_for_five_known_distributions() {
    // A fit as good as its own sample passes one such test in 94 of 100; `make soak-fit` counts them.
    for ((name, of), seed) in DISTRIBUTIONS.into_iter().zip(0..) {
        let (first, gap) = refit(of, 10_000, seed);
        assert!(first > 0.01 && gap > 0.01, "{name}: {first} {gap}");
    }
}

#[test]
fn another_distribution_does_not_pass() {
    let (log_normal, other) = (DISTRIBUTIONS[0].1, |d: &mut Draws| (d.standard_normal() * 0.7 + 5.0).exp());
    let recordings: Vec<Recording> = {
        let mut d = draws(1);
        (0..10_000).map(|i| recording(i, other(&mut d), 1.0, 2, ALONE)).collect()
    };
    let profile = profile_of(&recordings);
    let first: Vec<f64> = (0..10_000).map(|i| simulated(&profile, i, ALONE).1).collect();
    let mut d = draws(2);
    let fresh: Vec<f64> = (0..10_000).map(|_| log_normal(&mut d)).collect();
    assert!(kolmogorov::two_samples(&first, &fresh).unwrap().p_value < 0.01);
}

/// Calls of a provider where everything hangs together: longer questions have later first tokens and
/// longer answers, more calls at once slow everything, and a slow call is slow throughout.
fn entangled(n: usize, seed: u64) -> Vec<Recording> {
    let mut d = draws(seed);
    (0..n)
        .map(|i| {
            let input_tokens = (20.0 * 100_f64.powf(d.uniform())) as u64;
            let concurrency = 1 + d.below(32);
            let slow = (0.4 * d.standard_normal()).exp();
            let load = (concurrency as f64 / 4.0).max(1.0).powf(0.7);
            let first = (80.0 + 0.4 * input_tokens as f64) * load * slow;
            let gap = 10.0 * load * slow * (0.1 * d.standard_normal()).exp();
            let tokens = 40.0 * (input_tokens as f64 / 20.0).powf(0.3) * (0.5 * d.standard_normal()).exp();
            let circumstances = Circumstances { input_tokens, concurrency };
            recording(
                i64::try_from(i).unwrap(),
                first,
                gap,
                tokens.round().clamp(1.0, 3_000.0) as u64,
                circumstances,
            )
        })
        .collect()
}

fn quantile(values: &[f64], q: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    statistics::ranks::quantile(&values, q).unwrap()
}

#[test]
fn what_hangs_together_still_does() {
    let (known, fresh) = (entangled(8_000, 3), entangled(8_000, 4));
    let profile = profile_of(&known);
    let at = |call: &Recording| Circumstances {
        input_tokens: call.request.tokens,
        concurrency: call.concurrency as usize,
    };
    let column = |of: &dyn Fn(usize) -> f64| -> Vec<f64> { (0..fresh.len()).map(of).collect() };
    let calls: Vec<_> = fresh.iter().zip(0..).map(|(call, i)| simulated(&profile, i, at(call))).collect();
    let tokens = |i: usize| fresh[i].usage.unwrap().output_tokens as f64;
    let pairs: [(&str, Vec<f64>, Vec<f64>); 4] = [
        ("duration", column(&|i| fresh[i].total_ms), column(&|i| calls[i].2)),
        ("first token", column(&|i| fresh[i].chunk_ms[0]), column(&|i| calls[i].1)),
        ("tokens", column(&tokens), column(&|i| calls[i].0.output_tokens as f64)),
        ("rest", column(&|i| fresh[i].total_ms - fresh[i].chunk_ms[0]), column(&|i| calls[i].2 - calls[i].1)),
    ];
    for (name, real, simulated) in &pairs {
        // Three samples are subject to chance here: those of the fit, the comparison and the simulation.
        let found = kolmogorov::two_samples(real, simulated).unwrap().distance;
        let p = kolmogorov::survival(found * (real.len() as f64 / 3.0).sqrt());
        assert!(p > 0.001, "{name}: {found} {p}");
        for (q, most) in [(0.05, 0.1), (0.5, 0.05), (0.9, 0.08), (0.99, 0.12), (0.999, 0.3)] {
            let (real, simulated) = (quantile(real, q), quantile(simulated, q));
            assert!((simulated / real - 1.0).abs() < most, "{name} {q}: {simulated} for {real}");
        }
    }
    let input = column(&|i| fresh[i].request.tokens as f64);
    let load = column(&|i| f64::from(fresh[i].concurrency));
    let rho = |one: &[f64], other: &[f64]| spearman::correlation(one, other).unwrap().rho;
    for (name, real, simulated) in &pairs {
        for (other, by) in [("input", &input), ("load", &load)] {
            let (real, simulated) = (rho(real, by), rho(simulated, by));
            assert!((real - simulated).abs() < 0.05, "{name} by {other}: {simulated} for {real}");
        }
        let (real, simulated) = (rho(real, &pairs[1].1), rho(simulated, &pairs[1].2));
        assert!((real - simulated).abs() < 0.05, "{name} by first token: {simulated} for {real}");
    }
    // Under one call at a time and few tokens it is what such calls were.
    let few: Vec<usize> = (0..fresh.len()).filter(|i| load[*i] <= 4.0 && input[*i] < 60.0).collect();
    let of = |from: &[f64]| quantile(&few.iter().map(|i| from[*i]).collect::<Vec<_>>(), 0.5);
    assert!((of(&pairs[0].2) / of(&pairs[0].1) - 1.0).abs() < 0.08, "{}", of(&pairs[0].2));
}

#[test]
fn tails_that_do_not_scale_with_the_middle_come_back() {
    // Reading the question takes its time, and one call in five waits for others besides, however long
    // its own question is.
    let calls = |seed: u64| -> Vec<Recording> {
        let mut d = draws(seed);
        (0..4_000)
            .map(|i| {
                let input_tokens = (20.0 * 100_f64.powf(d.uniform())) as u64;
                let concurrency = 1 + d.below(4);
                let waits = if d.uniform() < 0.2 { concurrency as f64 } else { 0.1 };
                let wait = -300.0 * waits * (1.0 - d.uniform()).ln();
                let first = 20.0 + 0.5 * input_tokens as f64 + 5.0 * d.uniform() + wait;
                recording(i, first, 2.0 + d.uniform(), 20, Circumstances { input_tokens, concurrency })
            })
            .collect()
    };
    let (profile, fresh) = (profile_of(&calls(11)), calls(12));
    assert!(profile.ranks.by().contains(&Covariate::InputTokens));
    let at = |call: &Recording| Circumstances {
        input_tokens: call.request.tokens,
        concurrency: call.concurrency as usize,
    };
    let seen: Vec<f64> = fresh.iter().zip(0..).map(|(call, i)| simulated(&profile, i, at(call)).1).collect();
    let real: Vec<f64> = fresh.iter().map(|call| call.chunk_ms[0]).collect();
    for (q, most) in [(0.1, 0.06), (0.5, 0.1), (0.9, 0.08), (0.99, 0.12)] {
        let off = quantile(&seen, q) / quantile(&real, q) - 1.0;
        assert!(off.abs() < most, "{q}: {off}");
    }
    let input: Vec<f64> = fresh.iter().map(|call| call.request.tokens as f64).collect();
    let rho = |values: &[f64]| spearman::correlation(values, &input).unwrap().rho;
    assert!((rho(&seen) - rho(&real)).abs() < 0.05, "{} for {}", rho(&seen), rho(&real));
}

#[test]
fn answers_cut_by_the_client_do_not_shorten_the_others() {
    let mut d = draws(5);
    let recordings: Vec<Recording> = (0..4_000)
        .map(|i| {
            let whole = (60.0 * (0.6 * d.standard_normal()).exp()).round().max(1.0) as u64;
            // Half of the clients ask for at most 50 tokens, half for at most 400.
            let most = if i % 2 == 0 { 50 } else { 400 };
            let mut call = recording(i, 100.0 + d.uniform(), 5.0, whole.min(most), ALONE);
            call.request.max_output_tokens = Some(most);
            if whole >= most {
                call.stop = Some(RecordedStop::Length);
            }
            call
        })
        .collect();
    let profile = profile_of(&recordings);
    for (q, truth) in [(0.25, 40.0), (0.5, 60.0), (0.9, 129.5), (0.95, 161.0)] {
        let got = profile.output_tokens.table.value_at(q);
        assert!((got / truth - 1.0).abs() < 0.06, "{q}: {got} instead of {truth}");
    }
}

#[test]
fn failures_come_as_often_as_recorded_and_more_under_load() {
    let mut d = draws(6);
    let recordings: Vec<Recording> = (0..6_000)
        .map(|i| {
            let concurrency = 1 + d.below(20);
            let (u, load) = (d.uniform(), concurrency as f64 / 10.0);
            let mut call = if u < 0.05 * load {
                failed(i, 429, Some(7.0))
            } else if u < 0.06 * load {
                failed(i, 502, None)
            } else if u > 0.99 {
                // The client's own mistakes say nothing of the provider.
                failed(i, 400, None)
            } else {
                recording(i, 100.0 + d.uniform(), 5.0, 20, ALONE)
            };
            call.concurrency = u32::try_from(concurrency).unwrap();
            call
        })
        .collect();
    let profile = profile_of(&recordings);
    let rate = |kind| profile.errors.kinds.iter().find(|e| e.kind == kind).unwrap().rate;
    assert!((rate(ErrorKind::RateLimited) - 0.0525).abs() < 0.01);
    assert!((rate(ErrorKind::Status(502)) - 0.0105).abs() < 0.005);
    assert_eq!(profile.errors.kinds.len(), 2);
    let effect = profile.errors.effect.as_ref().unwrap();
    assert_eq!(effect.covariate, Covariate::Concurrency);
    assert!(effect.factor(2.0) < 0.5 && effect.factor(19.0) > 1.5, "{effect:?}");
    let limited = profile.errors.kinds.iter().find(|e| e.kind == ErrorKind::RateLimited).unwrap();
    assert!((limited.after.value_at(0.5) - 25.0).abs() < 1e-6);
    assert!((limited.retry_after.as_ref().unwrap().value_at(0.5) - 7.0).abs() < 1e-6);
    let fit = profile.fit.unwrap();
    assert!(fit.errors.iter().any(|error| error.kind == "status 502"), "{:?}", fit.errors);
    assert!(fit.notes.iter().any(|note| note.contains("mistake of the client")), "{:?}", fit.notes);
}

#[test]
fn an_answer_has_the_tokens_and_chunks_that_were_drawn() {
    let mut d = draws(7);
    let recordings: Vec<Recording> = (0..1_000)
        .map(|i| {
            let chunks = 5 + d.below(20) as u64;
            let mut call = recording(i, 30.0 + d.uniform(), 2.0 + d.uniform(), chunks, ALONE);
            call.usage = Some(RecordedUsage { output_tokens: chunks * 3, ..RecordedUsage::default() });
            call.total_ms += 40.0;
            call
        })
        .collect();
    let profile = profile_of(&recordings);
    for i in 0..50 {
        let question = Question {
            turns: vec![Turn { role: "user".to_owned(), text: format!("Title: Book {i}") }],
            ..Question::default()
        };
        let fingerprint = question.fingerprint(1);
        let circumstances = Circumstances { input_tokens: question.input_tokens(), concurrency: 1 };
        let drawn = profile.draw(&fingerprint, &circumstances);
        let answer = Answer::draw(&question, &fingerprint, &profile, 1);
        assert_eq!(answer.usage().output_tokens, drawn.output_tokens);
        assert_eq!(answer.chunks() as u64, (drawn.output_tokens as f64 / 3.0).round() as u64);
        let (timing, gaps) = (answer.timing(), (answer.chunks() - 1) as f64);
        let ms = timing.whole.as_secs_f64() * 1_000.0;
        assert!((ms - (drawn.first_token + drawn.gap * gaps + 40.0)).abs() < 0.01, "{ms} {drawn:?}");
    }
}

#[test]
fn the_figures_of_a_good_fit_say_so() {
    let profile = profile_of(&entangled(4_000, 8));
    let fit = profile.fit.as_ref().unwrap();
    assert_eq!((fit.calls, fit.fitted, fit.held_out), (4_000, 2_000, 2_000));
    let names: Vec<&str> = fit.quantities.iter().map(|quantity| quantity.name.as_str()).collect();
    assert_eq!(names, ["output_tokens", "first_token_ms", "gap_ms", "duration_ms", "tokens_per_chunk"]);
    for quantity in &fit.quantities {
        assert!(quantity.p_value > 0.001 && quantity.distance < 0.06, "{quantity:?}");
        assert!(quantity.quantiles.iter().all(|q| q.error().unwrap().abs() < 0.25), "{quantity:?}");
    }
    let slope = |of: &str, on: &str| {
        fit.dependences.iter().find(|d| d.of == of && d.on == on).unwrap_or_else(|| panic!("{of} on {on}"))
    };
    assert!((slope("output_tokens", "input_tokens").slope.unwrap() - 0.3).abs() < 0.05);
    assert!(slope("first_token_ms", "concurrency").rho > 0.3);
    assert!(slope("gap_ms", "first_token_ms").rho > 0.6);
    assert!(!fit.dependences.iter().any(|d| d.of == "output_tokens" && d.on == "concurrency"));
    assert!(profile.source.contains("4000 calls of known over openai"), "{}", profile.source);
}

#[test]
fn what_was_not_heard_to_its_end_does_not_count() {
    let mut calls: Vec<Recording> = (0..40).map(|at| recording(at, 10.0, 1.0, 20, ALONE)).collect();
    calls[7].unheard = true;
    assert_eq!(fit::Sample::of(&calls).counted(), 39);
}

#[test]
fn odd_recordings_are_borne_or_refused_with_what_is_missing() {
    let fits = |recordings: &[Recording]| {
        fit::of_one_model(recordings, None).and_then(|calls| fit::profile(&calls, 200))
    };
    let kind = |recordings: &[Recording]| fits(recordings).unwrap_err().kind();
    assert_eq!(kind(&[]), "empty");
    assert_eq!(kind(&[recording(0, 1.0, 1.0, 5, ALONE)]), "too_few");
    assert_eq!(kind(&(0..500).map(|i| failed(i, 500, None)).collect::<Vec<_>>()), "too_few");
    let whole: Vec<Recording> =
        (0..500).map(|i| Recording { stream: false, ..recording(i, 9.0, 1.0, 1, ALONE) }).collect();
    let error = fits(&whole).unwrap_err();
    assert!(
        matches!(error, FitError::TooFew { found: 0, needed: 200, .. })
            && error.to_string().contains("streamed")
    );
    let single: Vec<Recording> = (0..500).map(|i| recording(i, 9.0, 1.0, 1, ALONE)).collect();
    assert!(fits(&single).unwrap_err().to_string().contains("two or more chunks"));
    let mut two = vec![recording(0, 1.0, 1.0, 5, ALONE); 3];
    two[1].model = "other".to_owned();
    assert!(fits(&two).unwrap_err().to_string().contains(r#""known" (2 calls), "other" (1 calls)"#));
    assert_eq!(fit::of_one_model(&two, Some("other")).unwrap().len(), 1);
    assert_eq!(fit::of_one_model(&two, Some("none")).unwrap_err().kind(), "no_such_model");
    // Constant figures, zero gaps, no tokens reported, an absurd count of calls at once.
    let odd: Vec<Recording> = (0..500)
        .map(|i| {
            let mut call = recording(i, 0.0, 0.0, 4, Circumstances { input_tokens: 0, concurrency: 0 });
            call.usage = None;
            call.concurrency = if i == 7 { u32::MAX } else { 0 };
            call
        })
        .collect();
    let profile = fits(&odd).unwrap();
    let (drawn, first, whole) = simulated(&profile, 1, ALONE);
    assert_eq!((drawn.output_tokens, first, whole), (4, 0.0, 0.0));
    // As few as there may ever be.
    let few: Vec<Recording> = (0..20).map(|i| recording(i, 5.0 + i as f64, 1.0, 3, ALONE)).collect();
    assert!(fit::profile(&fit::of_one_model(&few, None).unwrap(), 1).is_ok());
    assert!(fit::profile(&fit::of_one_model(&few[..19], None).unwrap(), 1).is_err());
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let done =
        Command::new(env!("CARGO_BIN_EXE_llm-simulator")).env_clear().args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.code(), text(done.stdout), text(done.stderr))
}

fn write(path: &Path, recordings: &[Recording], more: &str) {
    let mut file = std::fs::File::create(path).unwrap();
    for recording in recordings {
        writeln!(file, "{}", serde_json::to_string(recording).unwrap()).unwrap();
    }
    file.write_all(more.as_bytes()).unwrap();
}

#[test]
fn the_command_writes_a_profile_that_serves_and_says_how_well_it_fits() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write(Path::new(&at("calls")), &entangled(600, 9), "{\"version\":1\n{\"version\":7}\n");
    let (code, _, said) = run(&["fit", &at("calls"), "-o", &at("profile.json")]);
    assert_eq!(code, Some(1));
    assert!(said.contains("calls:601") && said.contains("--skip-broken"), "{said}");
    assert!(!Path::new(&at("profile.json")).exists());
    let (code, told, said) = run(&["fit", &at("calls"), "-o", &at("profile.json"), "--skip-broken"]);
    assert_eq!(code, Some(0), "{said}");
    for part in
        ["left out", "calls:602", "duration_ms", "p99", "95 % interval", "depends on", "600 calls of known"]
    {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    let profile = Profile::from_json(&std::fs::read_to_string(at("profile.json")).unwrap()).unwrap();
    assert_eq!(profile.fit.unwrap().calls, 600);
    // It fits itself into the settings.
    let (code, _, said) = run(&["--profile", &at("profile.json"), "--error-rate", "3"]);
    assert!(code == Some(2) && !said.contains("SIM_PROFILE"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn the_command_refuses_with_a_reason_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write(Path::new(&at("calls")), &entangled(30, 9), "");
    write(Path::new(&at("empty")), &[], "\n\n");
    std::fs::write(at("kept.json"), "kept").unwrap();
    let refused = |arguments: &[&str], why: &str| {
        let output = at("kept.json");
        let (code, _, said) = run(&[&["fit", "-o", &output], arguments].concat());
        assert!(code == Some(1) && said.contains(why), "{said}");
        assert_eq!(std::fs::read_to_string(&output).unwrap(), "kept");
    };
    refused(&[&at("calls")], "needs 200 calls and there are 30");
    refused(&[&at("empty")], "there are no calls");
    refused(&[&at("missing")], "cannot be read");
    refused(&[&at("calls"), "--only-model", "gpt"], "there are \"known\" (30 calls)");
    refused(&[&at("kept.json")], "is one of the recordings");
    refused(&[&at("calls"), &at("kept.json").replace("kept", "./kept")], "is one of the recordings");
    let nowhere = at("no/such/folder/profile.json");
    let (code, _, said) = run(&["fit", &at("calls"), "--min-calls", "20", "-o", &nowhere]);
    assert!(code == Some(1) && said.contains("cannot be written"), "{said}");
}
