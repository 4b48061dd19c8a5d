//! One provider call for all who ask for the same at the same time, in every process.
//!
//! Whoever holds the lease calls; the others wait until it is gone and look into the store. The
//! lease's fence goes with what is stored, so that a holder that lost its lease cannot store over
//! the next one's result. Without leases each process calls for itself.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::Utc;
use futures::StreamExt;
use llm::{
    Arm, Attempt, Beginning, Chunk, Delivery, Ending, ErrorKind, LlmError, ProviderName, Request, StopReason,
    Trail,
};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::progress::Progress;
use super::{Summaries, milliseconds, spent};
use crate::book::Book;
use crate::cache::CacheKey;
use crate::catalog::exact_summary_key;
use crate::leases::{self, Acquisition, Holding};
use crate::prompt;
use crate::providers::Route;
use crate::safety::{Context, Screen, Unsafe};
use crate::store::StoredSummary;
use crate::tenants::Tenant;

/// Pauses while another process holds the lease: from the first, each half as long again, to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// What callers share: one provider call.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct CallKey {
    pub(super) book: Uuid,
    pub(super) content_hash: String,
    pub(super) provider: ProviderName,
    pub(super) model: String,
    pub(super) prompt_version: &'static str,
    /// Whether another provider may answer.
    falls_back: bool,
    /// Who wants a new one does not make do with a call that may find an old one.
    refresh: bool,
    /// Who shares it: everybody, or a single tenant's requests.
    payer: Option<Tenant>,
}

impl CallKey {
    pub(super) fn new(book: &Book, route: &Route, refresh: bool, payer: Option<Tenant>) -> Self {
        Self {
            book: book.id,
            content_hash: book.content_hash(),
            provider: route.provider,
            model: route.model.clone(),
            prompt_version: route.prompt_version,
            falls_back: route.falls_back,
            refresh,
            payer,
        }
    }

    /// The cache key of a summary by just this provider, model and prompt, for just this content.
    pub(super) fn of_summary(&self) -> CacheKey {
        let Self { book, content_hash, provider, model, prompt_version, .. } = self;
        exact_summary_key(*book, content_hash, provider.as_str(), model, prompt_version)
    }

    /// The name of its lease, which is the same whoever pays.
    fn lease(&self) -> String {
        let Self { book, content_hash, provider, model, prompt_version, falls_back, refresh, .. } = self;
        let wanted = if *refresh { "new" } else { "any" };
        let whose = if *falls_back { "or-another" } else { "alone" };
        format!("summary:{book}:{content_hash}:{provider}:{whose}:{prompt_version}:{wanted}:{model}")
    }
}

/// A call that a request begins.
pub(super) struct Commission {
    pub(super) key: CallKey,
    pub(super) route: Route,
    pub(super) book: Book,
    pub(super) delivery: Delivery,
    /// On whose account.
    pub(super) tenant: Tenant,
}

/// A call that has ended well.
pub(super) struct Called {
    /// All attempts.
    pub(super) attempts: Vec<Attempt>,
    /// From the first attempt's request to the first piece of this text.
    pub(super) first_chunk: Option<Duration>,
    /// The first caller to set this pays.
    pub(super) paid: AtomicBool,
}

/// How a summary came about.
#[derive(Clone)]
pub(super) enum Made {
    /// By a call of this process.
    Called(StoredSummary, Arc<Called>),
    /// By a call of another process, which was waited for.
    Elsewhere(StoredSummary),
    /// By a call that had ended before.
    Before(StoredSummary),
}

/// Why a call came to nothing.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// The provider, or our own limits.
    Provider(LlmError),
    /// The answer may neither be shown nor kept.
    Unsafe(Unsafe),
}

impl From<LlmError> for Cause {
    fn from(error: LlmError) -> Self {
        Self::Provider(error)
    }
}

impl From<Unsafe> for Cause {
    fn from(reason: Unsafe) -> Self {
        Self::Unsafe(reason)
    }
}

/// A call that came to nothing.
pub(super) struct Failed {
    pub(super) cause: Cause,
    /// Whom it asked last.
    pub(super) provider: ProviderName,
    pub(super) attempts: Vec<Attempt>,
    /// On whose account it was.
    pub(super) tenant: Tenant,
}

impl Failed {
    /// Whether somebody else's limits were in the way, which says nothing about those of `tenant`.
    pub(super) fn by_limits_of_another(&self, tenant: &Tenant) -> bool {
        let by_limits = matches!(&self.cause, Cause::Provider(error) if error.kind == ErrorKind::NotAdmitted);
        by_limits && self.tenant != *tenant
    }
}

/// What callers get.
pub(super) type Shared = Result<Made, Arc<Failed>>;

/// An answer that came whole and was let through.
struct Answered {
    text: String,
    beginning: Beginning,
    ending: Ending,
    first_chunk: Option<Duration>,
}

impl Summaries {
    /// Calls the provider, or waits for whoever does.
    pub(super) async fn call_once(self, commission: Commission, progress: Arc<Progress>) -> Shared {
        let deadline = self.call_deadline + leases::LASTS;
        let (name, tenant) = (commission.route.provider, commission.tenant.clone());
        let trail = Trail::new(self.attempts, self.spend.gate(&tenant));
        let call = self.call_under_lease(commission, trail.clone(), progress);
        let result = tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| {
            let waited = format!("{name}, asked by another instance or by this, was not done in time");
            Err(Cause::Provider(LlmError::new(ErrorKind::Timeout, waited)))
        });
        result.map_err(|cause| {
            let attempts = trail.attempts();
            let provider = attempts.last().map_or(name, |attempt| attempt.provider);
            Arc::new(Failed { cause, provider, attempts, tenant })
        })
    }

    async fn call_under_lease(
        self,
        commission: Commission,
        trail: Trail,
        progress: Arc<Progress>,
    ) -> Result<Made, Cause> {
        let key = &commission.key;
        let (name, token) = (key.lease(), Uuid::now_v7().simple().to_string());
        // The fence of the first lease of another that was met, and of the last.
        let mut met: Option<(u64, u64)> = None;
        let mut pause = PAUSES.0;
        loop {
            let holding = match self.leases.acquire(&name, &token, leases::LASTS).await {
                Ok(Acquisition::Held { fence }) => {
                    let (first, last) = met.unwrap_or((fence, fence));
                    if met.is_none() {
                        self.metrics.lease("held");
                    }
                    met = Some((first, fence));
                    // Another's lease than before: what was waited for may be there.
                    if last != fence
                        && let Some(found) = self.settled(key, Some(first)).await
                    {
                        return Ok(Made::Elsewhere(found));
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 3 / 2).min(PAUSES.1);
                    continue;
                }
                Ok(Acquisition::Acquired(lease)) => {
                    self.metrics.lease("acquired");
                    let (leases, tasks) = (Arc::clone(&self.leases), self.writes.clone());
                    Some(Holding::new(leases, lease, tasks, self.metrics.clone()))
                }
                Err(error) => {
                    self.metrics.lease(error.kind());
                    tracing::debug!(%error, "calling without a lease");
                    None
                }
            };
            if let Some(found) = self.settled(key, met.map(|(first, _)| first)).await {
                if let Some(holding) = holding {
                    holding.release().await;
                }
                return Ok(if met.is_some() { Made::Elsewhere(found) } else { Made::Before(found) });
            }
            return self.call(commission, trail, &progress, holding).await;
        }
    }

    /// What makes a call needless: a summary by whoever would be asked; for who wants a new one, only one
    /// that was made under the lease that was `met`, or a later one. A store that fails costs a call, not
    /// the answer.
    async fn settled(&self, key: &CallKey, met: Option<u64>) -> Option<StoredSummary> {
        if key.refresh && met.is_none() {
            return None;
        }
        let whose = (!key.falls_back).then_some((key.provider.as_str(), key.model.as_str()));
        let (provider, model) = whose.unzip();
        let found =
            self.store.summary(key.book, &key.content_hash, key.prompt_version, provider, model).await;
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(book = %key.book, %error, "the store could not be asked for a summary again");
            None
        });
        found.filter(|found| !key.refresh || met.is_some_and(|met| found.fence >= met))
    }

    /// One provider call, its answer checked and kept.
    async fn call(
        self,
        commission: Commission,
        trail: Trail,
        progress: &Progress,
        holding: Option<Holding>,
    ) -> Result<Made, Cause> {
        let Commission { key, route, book, delivery, .. } = commission;
        let started = Instant::now();
        let prompt = prompt::for_book(&book, route.prompt_version);
        let context = Arc::new(Context::of(&book, &prompt));
        let request = Request {
            prompt: Arc::new(prompt),
            delivery,
            deadline: Instant::now() + self.call_deadline,
            trail: trail.clone(),
            arm: route.arm.clone(),
        };
        let abandoned = Abandoned { summaries: &self, route: &route, trail: &trail };
        let answered = ask(&route, &request, &context, progress).await;
        std::mem::forget(abandoned);
        let attempts = trail.attempts();
        self.count_call(&route, started.elapsed(), answered.as_ref().err(), &attempts);
        let Answered { text, beginning, ending, first_chunk } = answered?;
        let own = attempts.iter().rev().find(|attempt| attempt.error.is_none());
        let usage = ending.usage.or_else(|| own.and_then(|own| own.usage)).unwrap_or_default();
        let summary = StoredSummary {
            book_id: book.id,
            content_hash: key.content_hash,
            provider: beginning.provider.as_str().to_owned(),
            requested_model: beginning.requested_model,
            model: ending.model,
            prompt_version: route.prompt_version.to_owned(),
            text,
            simulated: beginning.simulated,
            input_tokens: usage.input,
            output_tokens: usage.output,
            cached_input_tokens: usage.cached_input,
            cache_write_input_tokens: usage.cache_write_input,
            reasoning_output_tokens: usage.reasoning_output,
            reported: usage.reported,
            cost_usd: ending.cost.billed_usd(),
            list_cost_usd: ending.cost.list_usd(),
            request_id: beginning.request_id,
            latency_ms: own.map_or(0.0, |own| milliseconds(own.latency)),
            first_chunk_ms: own.and_then(|own| own.first_chunk).map(milliseconds),
            generated_at: Utc::now(),
            fence: holding.as_ref().map_or_else(leases::clock, Holding::fence),
        };
        // Paid for: kept even if every caller leaves now. The lease goes back when that is done.
        let (this, kept) = (self.clone(), summary.clone());
        let write = async move {
            this.keep(kept, beginning.provider).await;
            if let Some(holding) = holding {
                holding.release().await;
            }
        };
        if let Err(error) = self.writes.spawn(write.in_current_span()).await {
            tracing::error!(%error, "keeping a summary broke off");
        }
        Ok(Made::Called(summary, Arc::new(Called { attempts, first_chunk, paid: AtomicBool::new(false) })))
    }
}

/// Counts, when it is dropped, a call that nobody waits for any more.
struct Abandoned<'a> {
    summaries: &'a Summaries,
    route: &'a Route,
    trail: &'a Trail,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        let attempts = self.trail.attempts();
        self.summaries.outcomes.abandoned(self.route, &attempts);
        self.summaries.measure_arm(self.route, "cancelled", None, &attempts);
    }
}

impl Summaries {
    /// Counts a call that was made, for the arm that made it.
    fn count_call(&self, route: &Route, latency: Duration, cause: Option<&Cause>, attempts: &[Attempt]) {
        let outcome = match cause {
            None => "ok",
            Some(Cause::Unsafe(reason)) => {
                self.metrics.answer_refused(reason.kind());
                "unsafe_answer"
            }
            // Our own limits say nothing about an arm.
            Some(Cause::Provider(error)) if error.kind == ErrorKind::NotAdmitted => return,
            Some(Cause::Provider(error)) => error.kind(),
        };
        self.outcomes.call(route, cause.is_some(), latency, attempts);
        self.measure_arm(route, outcome, Some(latency), attempts);
    }

    fn measure_arm(
        &self,
        route: &Route,
        outcome: &'static str,
        latency: Option<Duration>,
        attempts: &[Attempt],
    ) {
        if let Some(Arm { experiment, arm }) = route.arm.as_deref() {
            let (seconds, cost) = (latency.map(|latency| latency.as_secs_f64()), spent::cost(attempts));
            let (billed, list) = (cost.billed_usd(), cost.list_usd());
            self.metrics.experiment(experiment, arm, outcome, seconds, billed, list);
        }
    }
}

/// Asks, and shows of what comes what is fit to be shown. What was asked for is dropped, and so ended,
/// with the first piece that is not.
async fn ask(
    route: &Route,
    request: &Request,
    context: &Arc<Context>,
    progress: &Progress,
) -> Result<Answered, Cause> {
    let started = Instant::now();
    let mut stream = route.adapter.call(request).await?;
    let mut answer: Option<(Beginning, Screen)> = None;
    let mut first_chunk = None;
    while let Some(chunk) = stream.next().await {
        match (chunk?, &mut answer) {
            (Chunk::Begun(beginning), _) => {
                progress.begin(request.trail.begun(), &beginning);
                first_chunk = None;
                answer = Some((beginning, Screen::new(Arc::clone(context))));
            }
            (Chunk::Text(piece), Some((_, screen))) => {
                first_chunk.get_or_insert_with(|| started.elapsed());
                progress.say(&screen.push(&piece)?);
            }
            (Chunk::End(ending), _) => {
                let Some((beginning, screen)) = answer else { break };
                let finished = screen.finish(ending.stop == StopReason::MaxTokens)?;
                progress.say(&finished.rest);
                return Ok(Answered { text: finished.text, beginning, ending, first_chunk });
            }
            // Text of which nobody said that it begins.
            (Chunk::Text(_), None) => break,
        }
    }
    Err(LlmError::new(ErrorKind::BadAnswer, format!("the answer of {} was cut off", route.provider)).into())
}
