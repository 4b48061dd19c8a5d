//! How the providers are: what is known of them, and what a probe finds out.
//!
//! A probe is a real call of few tokens on the account of whoever asks for it. What it found is kept for a
//! while, for everybody: asking often costs no more than asking seldom. Must not know HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use llm::{Delivery, Health, LlmError, LlmProvider, Price, Prices, Prompt, ProviderName, Request, Trail};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::Instrument;

use crate::providers::Providers;
use crate::spend::Spend;
use crate::tenants::Tenant;

/// How long a finding is kept.
const KEPT: Duration = Duration::from_secs(10);
/// Longest time for a probe.
const DEADLINE: Duration = Duration::from_secs(10);
/// Most tokens of its answer: room to think for a model that does so first. Most say one word.
const MOST_TOKENS: u32 = 256;

/// What is known of a provider that is set up.
#[derive(Clone, Debug)]
pub struct Status {
    /// Which.
    pub provider: ProviderName,
    /// The model that it asks.
    pub model: String,
    /// Its place among those that requests without a provider ask, from 0; the default is the first.
    pub place: Option<usize>,
    /// Price of the model, if it is known.
    pub price: Option<Price>,
    /// Its breaker and its last error.
    pub health: Health,
    /// What a probe found, if one was asked for.
    pub probe: Option<Finding>,
}

/// What a probe found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// When.
    pub at: DateTime<Utc>,
    /// How long it took.
    pub latency: Duration,
    /// Whether a simulator answered; or why nobody did.
    pub outcome: Result<bool, LlmError>,
}

/// What was found last, and when.
type Found = Mutex<Option<(Instant, Finding)>>;

/// The use case.
#[derive(Clone)]
pub struct Probes {
    providers: Arc<Providers>,
    prices: Arc<Prices>,
    spend: Spend,
    /// How providers are asked.
    delivery: Delivery,
    /// One lock a provider, held while it is probed: who comes meanwhile waits for the finding.
    found: Arc<BTreeMap<ProviderName, Found>>,
}

impl Probes {
    /// The use case over these.
    #[must_use]
    pub fn new(providers: Arc<Providers>, prices: Arc<Prices>, spend: Spend, delivery: Delivery) -> Self {
        let found = providers.configured().map(|one| (one.name(), Mutex::default())).collect();
        Self { providers, prices, spend, delivery, found: Arc::new(found) }
    }

    /// All that are set up, by name; each probed on the account of `tenant`, if there is one.
    pub async fn all(&self, tenant: Option<&Tenant>) -> Vec<Status> {
        let statuses = self.providers.configured().map(|one| async {
            let provider = one.name();
            let probe = match tenant {
                Some(tenant) => Some(self.finding(provider, one.alone(), tenant).await),
                None => None,
            };
            Status {
                provider,
                model: one.model().to_owned(),
                place: self.providers.order().iter().position(|other| *other == provider),
                price: self.prices.price(provider, one.model()).cloned(),
                health: one.health(),
                probe,
            }
        });
        futures::future::join_all(statuses).await
    }

    async fn finding(
        &self,
        provider: ProviderName,
        adapter: Arc<dyn LlmProvider>,
        tenant: &Tenant,
    ) -> Finding {
        let Some(found) = self.found.get(&provider) else { return self.probe(adapter, tenant).await };
        let mut found = found.lock().await;
        if let Some((at, finding)) = &*found
            && at.elapsed() < KEPT
        {
            return finding.clone();
        }
        let finding = self.probe(adapter, tenant).await;
        // One tenant's limits are nobody else's finding.
        let ours = matches!(&finding.outcome, Err(error) if error.kind == llm::ErrorKind::NotAdmitted);
        *found = (!ours).then(|| (Instant::now(), finding.clone()));
        finding
    }

    async fn probe(&self, adapter: Arc<dyn LlmProvider>, tenant: &Tenant) -> Finding {
        let prompt = Prompt {
            system: "You are being checked.".to_owned(),
            user: "Answer with the word yes.".to_owned(),
            max_output_tokens: MOST_TOKENS,
        };
        let (at, started) = (Utc::now(), Instant::now());
        let request = Request {
            prompt: Arc::new(prompt),
            delivery: self.delivery,
            deadline: started + DEADLINE,
            trail: Trail::new(1, self.spend.gate(tenant)),
            arm: None,
        };
        let answer = llm::complete(adapter.as_ref(), &request).in_current_span().await;
        Finding { at, latency: started.elapsed(), outcome: answer.map(|answer| answer.beginning.simulated) }
    }
}
