//! A breaker: a provider that is unwell is left alone for a while.
//!
//! Owns what is known of a provider's health. A [`Circuit`] belongs to a provider *with its model*:
//! overload, capacity and loading are matters of a model, and one model's failures should not take
//! another's answers. Whoever assembles providers gives all stacks around one adapter the same
//! circuit. (`recloser` was looked at and does not fit: its half-open state lets every call through,
//! its state cannot be read, its clock is the operating system's, and it wraps a future, while an
//! answer's outcome is known when its stream ends.)
//!
//! What counts: [`Unavailable`](ErrorKind::Unavailable), [`Overloaded`](ErrorKind::Overloaded),
//! [`Timeout`](ErrorKind::Timeout) and [`BadAnswer`](ErrorKind::BadAnswer) say that the provider is
//! unwell, a whole answer that it is well. A rate limit, bad credentials, a refusal or a bad request
//! is a healthy provider's answer about us: it counts as nothing, but ends a probe well. A call that
//! was not admitted or was dropped says nothing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use telemetry::Metrics;
use tokio::time::Instant;

use crate::{Chunk, CompletionStream, ErrorKind, LlmError, LlmProvider, ProviderName, Request};

/// Outcomes that are remembered.
const WINDOW: usize = 20;
/// For how long.
const MEMORY: Duration = Duration::from_secs(60);
/// Fewer outcomes than this say nothing: where 40 % of calls fail at random, four of five do in 9 % of
/// all cases, eight of ten in 1 %.
const FEWEST: usize = 10;
/// It opens when this many failures in a hundred outcomes are remembered. Retries get along with a
/// provider that fails every second time; a breaker that opened on it would take the answers that
/// it still gives.
const FAILURES_PERCENT: usize = 80;
/// How long it stays open at first; twice as long after each probe that fails.
const OPEN: Duration = Duration::from_secs(10);
/// How long it stays open at most.
const LONGEST_OPEN: Duration = Duration::from_secs(60);
/// Probes that have to end well before it closes, and that are let through meanwhile.
const PROBES: u32 = 2;
/// When to come back while probes are under way.
const PROBING: Duration = Duration::from_secs(1);
/// A timeout that came sooner says more about its caller's deadline than about the provider.
const FAIR_TIME: Duration = Duration::from_secs(1);

/// Whether calls are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All are.
    Closed,
    /// None is.
    Open,
    /// A few are, to see how the provider is.
    HalfOpen,
}

impl BreakerState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The name in answers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// The latest failure of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastError {
    /// Its kind, as [`LlmError::kind`] names it.
    pub kind: &'static str,
    /// When it came.
    pub at: SystemTime,
}

/// How a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether calls are let through.
    pub state: BreakerState,
    /// When the next one may be, if none is now.
    pub retry_after: Option<Duration>,
    /// The latest failure since the start, whether or not it counts.
    pub last_error: Option<LastError>,
}

/// What is known of the health of a provider with its model. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Circuit(Arc<Inner>);

struct Inner {
    provider: ProviderName,
    model: String,
    metrics: Metrics,
    known: Mutex<Known>,
}

struct Known {
    phase: Phase,
    /// Counts the changes of phase: what began in an earlier one says nothing about this one.
    era: u64,
    last_error: Option<LastError>,
}

enum Phase {
    /// The latest outcomes: when, and whether it was a failure.
    Closed(VecDeque<(Instant, bool)>),
    Open {
        until: Instant,
        /// How often it opened without closing between.
        times: u32,
    },
    HalfOpen {
        under_way: u32,
        well: u32,
        times: u32,
    },
}

impl Phase {
    const fn state(&self) -> BreakerState {
        match self {
            Self::Closed(_) => BreakerState::Closed,
            Self::Open { .. } => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

/// What a call says about its provider.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Well,
    Answering,
    Unwell,
    Nothing,
}

impl Circuit {
    /// A closed one, for the model of a provider. One a provider and model: two would count double
    /// in the metric.
    #[must_use]
    pub fn new(provider: ProviderName, model: &str, metrics: Metrics) -> Self {
        metrics.breaker_started(provider.as_str(), model, &BreakerState::ALL.map(BreakerState::as_str));
        let known = Known { phase: Phase::Closed(VecDeque::with_capacity(WINDOW)), era: 0, last_error: None };
        Self(Arc::new(Inner { provider, model: model.to_owned(), metrics, known: Mutex::new(known) }))
    }

    /// How the provider is. An open breaker whose time is over is half open already.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut known = self.known();
        let now = Instant::now();
        self.half_open_in_time(&mut known, now);
        let (state, retry_after) = match &known.phase {
            Phase::Open { until, .. } => (BreakerState::Open, Some(until.saturating_duration_since(now))),
            phase => (phase.state(), None),
        };
        Health { state, retry_after, last_error: known.last_error }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An open one whose time is over is half open, whether a call comes or somebody looks.
    fn half_open_in_time(&self, known: &mut Known, now: Instant) {
        if let Phase::Open { until, times } = known.phase
            && now >= until
        {
            self.change(known, Phase::HalfOpen { under_way: 0, well: 0, times });
        }
    }

    /// Lets a call through or says when to come back.
    fn admit(&self) -> Result<Permit, LlmError> {
        let mut known = self.known();
        let now = Instant::now();
        self.half_open_in_time(&mut known, now);
        let wait = match &mut known.phase {
            Phase::Closed(_) => None,
            Phase::Open { until, .. } => Some(until.saturating_duration_since(now)),
            Phase::HalfOpen { under_way, well, .. } if *under_way + *well < PROBES => {
                *under_way += 1;
                None
            }
            Phase::HalfOpen { .. } => Some(PROBING),
        };
        match wait {
            None => Ok(Permit { circuit: self.clone(), era: known.era, begun: now, told: false }),
            Some(wait) => Err(LlmError::new(
                ErrorKind::Unavailable,
                format!(
                    "{} failed too often of late and is left alone for {:.0} s",
                    self.0.provider,
                    wait.as_secs_f64().ceil()
                ),
            )
            .with_retry_after(Some(wait))),
        }
    }

    fn change(&self, known: &mut Known, to: Phase) {
        let Inner { provider, model, metrics, .. } = &*self.0;
        let (from, state) = (known.phase.state(), to.state());
        known.phase = to;
        known.era += 1;
        metrics.breaker_changed(provider.as_str(), model, from.as_str(), state.as_str());
        tracing::warn!(
            provider = provider.as_str(),
            model,
            from = from.as_str(),
            to = state.as_str(),
            last_error = known.last_error.map(|error| error.kind),
            "the breaker of an LLM provider changed"
        );
    }

    fn opened(&self, known: &mut Known, times: u32, asked: Option<Duration>) {
        let open = OPEN.saturating_mul(1 << times.min(8)).max(asked.unwrap_or_default()).min(LONGEST_OPEN);
        self.change(known, Phase::Open { until: Instant::now() + open, times: times + 1 });
    }

    fn told(&self, era: u64, verdict: Verdict, error: Option<&LlmError>) {
        let mut known = self.known();
        if let Some(error) = error
            && error.kind != ErrorKind::NotAdmitted
        {
            known.last_error = Some(LastError { kind: error.kind(), at: SystemTime::now() });
        }
        if known.era != era {
            return;
        }
        let asked = error.and_then(|error| error.retry_after);
        match &mut known.phase {
            Phase::Open { .. } => {}
            Phase::Closed(outcomes) => {
                let failed = match verdict {
                    Verdict::Well => false,
                    Verdict::Unwell => true,
                    Verdict::Answering | Verdict::Nothing => return,
                };
                let now = Instant::now();
                while outcomes.len() >= WINDOW
                    || outcomes.front().is_some_and(|(at, _)| now.duration_since(*at) > MEMORY)
                {
                    outcomes.pop_front();
                }
                outcomes.push_back((now, failed));
                let failures = outcomes.iter().filter(|(_, failed)| *failed).count();
                if failed && outcomes.len() >= FEWEST && failures * 100 >= outcomes.len() * FAILURES_PERCENT {
                    self.opened(&mut known, 0, asked);
                }
            }
            Phase::HalfOpen { under_way, well, times } => {
                *under_way = under_way.saturating_sub(1);
                match verdict {
                    Verdict::Nothing => {}
                    Verdict::Well | Verdict::Answering => {
                        *well += 1;
                        if *well >= PROBES {
                            self.change(&mut known, Phase::Closed(VecDeque::with_capacity(WINDOW)));
                        }
                    }
                    Verdict::Unwell => {
                        let times = *times;
                        self.opened(&mut known, times, asked);
                    }
                }
            }
        }
    }
}

/// The leave to make one call; says nothing about the provider if it is dropped.
struct Permit {
    circuit: Circuit,
    era: u64,
    begun: Instant,
    told: bool,
}

impl Permit {
    fn tell(mut self, verdict: Verdict, error: Option<&LlmError>) {
        self.told = true;
        self.circuit.told(self.era, verdict, error);
    }

    fn answered(self) {
        self.tell(Verdict::Well, None);
    }

    fn failed(self, error: &LlmError) {
        let verdict = match error.kind {
            ErrorKind::Timeout if self.begun.elapsed() < FAIR_TIME => Verdict::Nothing,
            ErrorKind::Unavailable | ErrorKind::Overloaded | ErrorKind::Timeout | ErrorKind::BadAnswer => {
                Verdict::Unwell
            }
            ErrorKind::RateLimited
            | ErrorKind::Unauthorized
            | ErrorKind::Refused
            | ErrorKind::ContextTooLong
            | ErrorKind::BadRequest => Verdict::Answering,
            ErrorKind::NotAdmitted => Verdict::Nothing,
        };
        self.tell(verdict, Some(error));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.told {
            self.circuit.told(self.era, Verdict::Nothing, None);
        }
    }
}

/// A provider that is left alone while it is unwell. A call that is not let through fails with
/// [`ErrorKind::Unavailable`] and the wait, and takes no attempt.
pub struct Breaker<P> {
    inner: P,
    circuit: Circuit,
}

impl<P> Breaker<P> {
    /// Calls of `inner` as far as `circuit` lets them through.
    pub const fn new(inner: P, circuit: Circuit) -> Self {
        Self { inner, circuit }
    }
}

#[async_trait]
impl<P: LlmProvider> LlmProvider for Breaker<P> {
    fn name(&self) -> ProviderName {
        self.inner.name()
    }

    fn model(&self) -> &str {
        self.inner.model()
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let permit = self.circuit.admit()?;
        match self.inner.call(request).await {
            Ok(inner) => Ok(Watched { inner, permit: Some(permit) }.boxed()),
            Err(error) => {
                permit.failed(&error);
                Err(error)
            }
        }
    }
}

/// An answer whose end tells how the provider is.
struct Watched {
    inner: CompletionStream,
    permit: Option<Permit>,
}

impl Stream for Watched {
    type Item = Result<Chunk, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = ready!(self.inner.poll_next_unpin(cx));
        match &polled {
            Some(Ok(Chunk::Begun(_) | Chunk::Text(_))) => {}
            Some(Ok(Chunk::End(_))) => {
                if let Some(permit) = self.permit.take() {
                    permit.answered();
                }
            }
            Some(Err(error)) => {
                if let Some(permit) = self.permit.take() {
                    permit.failed(error);
                }
            }
            None => drop(self.permit.take()),
        }
        Poll::Ready(polled)
    }
}

#[cfg(test)]
mod tests;
