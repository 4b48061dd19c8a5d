//! One provider call for all who ask for the same at the same time, in every process.
//!
//! Whoever holds the lease calls; the others wait until it is gone and look into the store. The
//! lease's fence goes with what is stored, so that a holder that lost its lease cannot store over
//! the next one's result. Without leases each process calls for itself.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::Utc;
use llm::{ErrorKind, LlmError, LlmProvider, ProviderName, Request, StopReason};
use tracing::Instrument;
use uuid::Uuid;

use super::{Summaries, milliseconds};
use crate::book::Book;
use crate::leases::{self, Acquisition, Holding};
use crate::prompt;
use crate::safety::{self, Context, Unsafe};
use crate::store::StoredSummary;

/// Pauses while another process holds the lease: from the first, each half as long again, to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// What callers share: one provider call.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct CallKey {
    pub(super) book: Uuid,
    pub(super) content_hash: String,
    pub(super) provider: ProviderName,
    /// Who wants a new one does not make do with a call that may find an old one.
    pub(super) refresh: bool,
}

impl CallKey {
    /// The name of its lease.
    fn lease(&self) -> String {
        let Self { book, content_hash, provider, refresh } = self;
        let wanted = if *refresh { "new" } else { "any" };
        format!("summary:{book}:{content_hash}:{provider}:{wanted}")
    }
}

/// How a summary came about.
#[derive(Clone)]
pub(super) enum Made {
    /// By a call of this process. The first caller to set the flag pays.
    Called(StoredSummary, Arc<AtomicBool>),
    /// By a call of another process, which was waited for.
    Elsewhere(StoredSummary),
    /// By a call that had ended before.
    Before(StoredSummary),
}

/// What callers get.
pub(super) type Shared = Result<Made, CallError>;

/// Why a call made no summary.
#[derive(Clone, Debug)]
pub(super) enum CallError {
    /// The provider failed.
    Provider(LlmError),
    /// It answered what may be neither stored nor served.
    Unsafe(Unsafe),
}

impl From<LlmError> for CallError {
    fn from(error: LlmError) -> Self {
        Self::Provider(error)
    }
}

impl From<Unsafe> for CallError {
    fn from(reason: Unsafe) -> Self {
        Self::Unsafe(reason)
    }
}

impl Summaries {
    /// Calls the provider, or waits for whoever does.
    pub(super) async fn call_once(self, key: CallKey, provider: Arc<dyn LlmProvider>, book: Book) -> Shared {
        let deadline = self.call_deadline + leases::LASTS;
        let name = provider.name();
        tokio::time::timeout(deadline, self.call_under_lease(key, provider, book)).await.unwrap_or_else(
            |_| {
                let waited = format!("{name}, asked by another instance or by this, was not done in time");
                Err(LlmError::new(ErrorKind::Timeout, waited).into())
            },
        )
    }

    async fn call_under_lease(self, key: CallKey, provider: Arc<dyn LlmProvider>, book: Book) -> Shared {
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
                        && let Some(found) = self.settled(&key, Some(first)).await
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
            if let Some(found) = self.settled(&key, met.map(|(first, _)| first)).await {
                if let Some(holding) = holding {
                    holding.release().await;
                }
                return Ok(if met.is_some() { Made::Elsewhere(found) } else { Made::Before(found) });
            }
            return self.call(provider, book, holding).await;
        }
    }

    /// What makes a call needless: any summary that fits; for who wants a new one, only one that was
    /// made under the lease that was `met`, or a later one. A store that fails costs a call, not the
    /// answer.
    async fn settled(&self, key: &CallKey, met: Option<u64>) -> Option<StoredSummary> {
        if key.refresh && met.is_none() {
            return None;
        }
        let provider = Some(key.provider.as_str());
        let found = self.store.summary(key.book, &key.content_hash, prompt::VERSION, provider).await;
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(book = %key.book, %error, "the store could not be asked for a summary again");
            None
        });
        found.filter(|found| !key.refresh || met.is_some_and(|met| found.fence >= met))
    }

    /// One provider call, its answer checked and kept.
    async fn call(self, provider: Arc<dyn LlmProvider>, book: Book, holding: Option<Holding>) -> Shared {
        let prompt = prompt::for_book(&book, prompt::VERSION);
        let context = Arc::new(Context::of(&book, &prompt));
        let request = Request::once(prompt, self.call_deadline);
        let completion = llm::complete(provider.as_ref(), &request).await?;
        let cut = completion.ending.stop == StopReason::MaxTokens;
        let text = safety::accept(&completion.text, cut, &context)?;
        let usage = completion.ending.usage.unwrap_or_default();
        let summary = StoredSummary {
            book_id: book.id,
            content_hash: book.content_hash(),
            provider: provider.name().as_str().to_owned(),
            requested_model: provider.model().to_owned(),
            model: completion.ending.model,
            prompt_version: prompt::VERSION.to_owned(),
            text,
            simulated: completion.beginning.simulated,
            input_tokens: usage.input,
            output_tokens: usage.output,
            cached_input_tokens: usage.cached_input,
            reported: usage.reported,
            cost_usd: completion.ending.cost.billed_usd(),
            list_cost_usd: completion.ending.cost.list_usd(),
            latency_ms: milliseconds(completion.latency),
            first_chunk_ms: completion.first_chunk.map(milliseconds),
            generated_at: Utc::now(),
            fence: holding.as_ref().map_or_else(leases::clock, Holding::fence),
        };
        // Paid for: kept even if every caller leaves now. The lease goes back when that is done.
        let (this, kept) = (self.clone(), summary.clone());
        let provider = provider.name();
        let write = async move {
            this.keep(kept, provider).await;
            if let Some(holding) = holding {
                holding.release().await;
            }
        };
        if let Err(error) = self.writes.spawn(write.in_current_span()).await {
            tracing::error!(%error, "keeping a summary broke off");
        }
        Ok(Made::Called(summary, Arc::new(AtomicBool::new(false))))
    }
}
