//! What opens and closes a breaker.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use telemetry::Metrics;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

use super::{Breaker, BreakerState, Circuit, FEWEST, OPEN, PROBES};
use crate::script::{Act, Scripted, request};
use crate::{Deadline, ErrorKind, LlmError, LlmProvider, ProviderName, complete};

const UNWELL: [ErrorKind; 4] =
    [ErrorKind::Unavailable, ErrorKind::Overloaded, ErrorKind::BadAnswer, ErrorKind::Timeout];

fn circuit(metrics: &Metrics) -> Circuit {
    Circuit::new(ProviderName::Claude, "scripted", metrics.clone())
}

fn breaker(provider: Scripted) -> (Breaker<Arc<Scripted>>, Arc<Scripted>, Circuit) {
    let provider = Arc::new(provider);
    let circuit = circuit(&Metrics::unregistered());
    (Breaker::new(Arc::clone(&provider), circuit.clone()), provider, circuit)
}

async fn ask(breaker: &impl LlmProvider) -> Result<(), LlmError> {
    complete(breaker, &request(1, 100)).await.map(drop)
}

/// One that has opened.
async fn open(then: impl IntoIterator<Item = Act>) -> (Breaker<Arc<Scripted>>, Arc<Scripted>, Circuit) {
    let failures = std::iter::repeat_n(Act::Fail(ErrorKind::Overloaded, None), FEWEST);
    let (breaker, provider, circuit) = breaker(Scripted::new(failures.chain(then)));
    for _ in 0..FEWEST {
        ask(&breaker).await.unwrap_err();
    }
    assert_eq!(circuit.health().state, BreakerState::Open);
    (breaker, provider, circuit)
}

#[tokio::test(start_paused = true)]
async fn what_says_that_a_provider_is_unwell_opens_it_and_nothing_else_does() {
    let kinds = [
        ErrorKind::RateLimited,
        ErrorKind::Unauthorized,
        ErrorKind::Refused,
        ErrorKind::ContextTooLong,
        ErrorKind::BadRequest,
        ErrorKind::NotAdmitted,
    ];
    for kind in kinds.into_iter().chain(UNWELL) {
        let act = move || match kind {
            ErrorKind::Timeout => Act::Drip(Duration::from_secs(2), 1_000),
            kind => Act::Break(1, kind),
        };
        let provider = Arc::new(Scripted::choosing(act));
        let circuit = circuit(&Metrics::unregistered());
        let limited = Deadline::new(Arc::clone(&provider), Duration::from_secs(5));
        let breaker = Breaker::new(limited, circuit.clone());
        for _ in 0..2 * FEWEST {
            ask(&breaker).await.unwrap_err();
        }
        let opens = UNWELL.contains(&kind);
        let health = circuit.health();
        assert_eq!(health.state == BreakerState::Open, opens, "{kind:?}");
        assert_eq!(provider.seen().len(), if opens { FEWEST } else { 2 * FEWEST }, "{kind:?}");
        assert_eq!(health.last_error.is_some(), kind != ErrorKind::NotAdmitted, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_failures_in_a_row_are_chance() {
    let (breaker, _, circuit) = breaker(Scripted::choosing(|| Act::Fail(ErrorKind::Overloaded, None)));
    for asked in 1..=10 {
        assert_eq!(circuit.health().state, BreakerState::Closed, "after {} failures", asked - 1);
        ask(&breaker).await.unwrap_err();
    }
    assert_eq!(circuit.health().state, BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn an_open_one_fails_at_once_with_the_wait_and_asks_nobody() {
    let (breaker, provider, circuit) = open([]).await;
    advance(Duration::from_secs(3)).await;
    let started = Instant::now();
    let request = request(1, 100);
    let error = complete(&breaker, &request).await.unwrap_err();
    assert_eq!((error.kind, started.elapsed()), (ErrorKind::Unavailable, Duration::ZERO));
    let wait = OPEN.saturating_sub(Duration::from_secs(3));
    assert_eq!(error.retry_after, Some(wait));
    assert_eq!(circuit.health().retry_after, Some(wait));
    assert_eq!(circuit.health().last_error.map(|error| error.kind), Some("overloaded"));
    assert_eq!((provider.seen().len(), request.trail.begun()), (FEWEST, 0));
}

#[tokio::test(start_paused = true)]
async fn probes_that_end_well_close_it() {
    let (breaker, _, circuit) = open([]).await;
    advance(OPEN).await;
    assert_eq!(circuit.health().state, BreakerState::HalfOpen);
    for _ in 0..PROBES {
        ask(&breaker).await.unwrap();
    }
    assert_eq!(circuit.health().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_opens_it_for_twice_as_long() {
    let (breaker, _, circuit) = open([Act::Break(1, ErrorKind::BadAnswer)]).await;
    advance(OPEN).await;
    ask(&breaker).await.unwrap_err();
    assert_eq!(circuit.health().retry_after, Some(OPEN * 2));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_asks_for_a_longer_wait_gets_it() {
    let wait = Duration::from_secs(25);
    let (breaker, _, circuit) =
        breaker(Scripted::choosing(move || Act::Fail(ErrorKind::Overloaded, Some(wait))));
    for _ in 0..FEWEST {
        ask(&breaker).await.unwrap_err();
    }
    assert_eq!(circuit.health().retry_after, Some(wait));
}

#[tokio::test(start_paused = true)]
async fn a_healthy_answer_about_us_ends_a_probe_well() {
    let (breaker, _, circuit) =
        open([Act::Fail(ErrorKind::Unauthorized, None), Act::Fail(ErrorKind::RateLimited, None)]).await;
    advance(OPEN).await;
    for _ in 0..PROBES {
        ask(&breaker).await.unwrap_err();
    }
    assert_eq!(circuit.health().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_gives_its_place_back() {
    let (breaker, provider, circuit) = open([Act::StallAfter(1), Act::StallAfter(1)]).await;
    advance(OPEN).await;
    let mut streams = Vec::new();
    for _ in 0..PROBES {
        let mut stream = breaker.call(&request(1, 100)).await.unwrap();
        stream.next().await.unwrap().unwrap();
        streams.push(stream);
    }
    assert_eq!(ask(&breaker).await.unwrap_err().kind, ErrorKind::Unavailable);
    drop(streams);
    assert_eq!((provider.under_way(), circuit.health().state), (0, BreakerState::HalfOpen));
    for _ in 0..PROBES {
        ask(&breaker).await.unwrap();
    }
    assert_eq!(circuit.health().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn what_began_before_it_opened_says_nothing_about_the_probes() {
    let acts = [Act::Drip(Duration::from_secs(1), 30), Act::Drip(Duration::from_secs(1), 30)];
    let failures = std::iter::repeat_n(Act::Fail(ErrorKind::Overloaded, None), FEWEST);
    let (breaker, _, circuit) = breaker(Scripted::new(acts.into_iter().chain(failures)));
    let breaker = Arc::new(breaker);
    let mut slow = JoinSet::new();
    for _ in 0..2 {
        let breaker = Arc::clone(&breaker);
        slow.spawn(async move { ask(&*breaker).await });
    }
    sleep(Duration::from_millis(1)).await;
    for _ in 0..FEWEST {
        ask(&*breaker).await.unwrap_err();
    }
    while let Some(done) = slow.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(circuit.health().state, BreakerState::HalfOpen, "two answers of before closed it");
}

#[tokio::test(start_paused = true)]
async fn old_failures_are_forgotten() {
    let failures = std::iter::repeat_n(Act::Fail(ErrorKind::Overloaded, None), FEWEST);
    let (breaker, _, circuit) = breaker(Scripted::new(failures));
    for _ in 0..FEWEST {
        ask(&breaker).await.unwrap_err();
        advance(Duration::from_secs(20)).await;
    }
    assert_eq!(circuit.health().state, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_a_hurried_caller_says_nothing() {
    let provider = Arc::new(Scripted::choosing(|| Act::Hang));
    let circuit = circuit(&Metrics::unregistered());
    let hurried = Deadline::new(provider, Duration::from_millis(300));
    let breaker = Breaker::new(hurried, circuit.clone());
    for _ in 0..50 {
        assert_eq!(ask(&breaker).await.unwrap_err().kind, ErrorKind::Timeout);
    }
    assert_eq!(circuit.health().state, BreakerState::Closed);
}

/// On several threads, so that the probes race for their places.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_at_once_send_no_more_probes_than_there_are_places() {
    let provider = Arc::new(Scripted::choosing(|| Act::StallAfter(1)));
    let circuit = circuit(&Metrics::unregistered());
    circuit.known().phase = super::Phase::Open { until: Instant::now(), times: 1 };
    let breaker = Arc::new(Breaker::new(Arc::clone(&provider), circuit.clone()));
    let mut callers = JoinSet::new();
    for _ in 0..500 {
        let breaker = Arc::clone(&breaker);
        callers.spawn(async move { breaker.call(&request(1, 100)).await });
    }
    let mut streams = Vec::new();
    while let Some(called) = callers.join_next().await {
        match called.unwrap() {
            Ok(stream) => streams.push(stream),
            Err(error) => assert_eq!(error.kind, ErrorKind::Unavailable),
        }
    }
    assert_eq!((streams.len(), provider.seen().len()), (PROBES as usize, PROBES as usize));
    drop(streams);
    assert_eq!(circuit.health().state, BreakerState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn its_state_is_a_metric() {
    let metrics = Metrics::unregistered();
    let provider = Scripted::choosing(|| Act::Fail(ErrorKind::Overloaded, None));
    let breaker = Breaker::new(provider, circuit(&metrics));
    let shows = |state: &str, value: u32| {
        let line = format!(
            r#"bookstore_llm_breaker_state{{model="scripted",provider="claude",state="{state}"}} {value}"#
        );
        let text = metrics.render();
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    };
    shows("closed", 1);
    shows("open", 0);
    for _ in 0..FEWEST {
        ask(&breaker).await.unwrap_err();
    }
    shows("closed", 0);
    shows("open", 1);
    shows("half_open", 0);
    assert!(metrics.render().contains(
        r#"bookstore_llm_breaker_transitions_total{model="scripted",provider="claude",state="open"} 1"#
    ));
}
