//! The providers that are set up, and whom a request asks.
//!
//! Owns who stands behind a name, in which order they are asked when a request names none, and which
//! other models experiments may ask. Knows no adapter: `app/providers.rs` hands them in.

use std::collections::BTreeMap;
use std::sync::Arc;

use llm::{Arm, Health, LlmProvider, ProviderName, Resilient};

use crate::experiments::Variant;

/// The providers of a service.
pub struct Providers {
    own: BTreeMap<ProviderName, Resilient>,
    /// The default and those who stand in for it; never empty.
    order: Vec<ProviderName>,
    /// The default with those who stand in for it.
    default: Arc<dyn LlmProvider>,
    /// Each with its model, alone: the provider's own model, and others that experiments ask.
    alone: BTreeMap<(ProviderName, String), Arc<dyn LlmProvider>>,
}

/// Whom a request asks, and with which prompt.
#[derive(Clone)]
pub struct Route {
    /// The provider; of several in a row, the first.
    pub provider: ProviderName,
    /// Its model.
    pub model: String,
    /// The version of the prompt.
    pub prompt_version: &'static str,
    /// What is called.
    pub adapter: Arc<dyn LlmProvider>,
    /// Whether another provider may answer in its place.
    pub falls_back: bool,
    /// The arm of an experiment that decided it.
    pub arm: Option<Arc<Arm>>,
}

impl Providers {
    /// Providers by name; `default` is asked first, and the `others` of them when it fails.
    pub fn new(own: Vec<Resilient>, default: &Resilient, others: &[Resilient]) -> Self {
        let alone = own.iter().map(|one| ((one.name(), one.model().to_owned()), one.alone())).collect();
        let own: BTreeMap<_, _> = own.into_iter().map(|one| (one.name(), one)).collect();
        let order = std::iter::once(default.name()).chain(others.iter().map(Resilient::name)).collect();
        Self { own, order, default: default.or(others), alone }
    }

    /// The same, with another model of a provider, for experiments.
    #[must_use]
    pub fn with_model(mut self, other: &Resilient) -> Self {
        self.alone.insert((other.name(), other.model().to_owned()), other.alone());
        self
    }

    /// The route of a request that names this provider; nothing where it is not set up.
    #[must_use]
    pub fn named(&self, provider: ProviderName, prompt_version: &'static str) -> Option<Route> {
        self.with_its_model(provider, self.own.get(&provider)?.model(), prompt_version)
    }

    fn with_its_model(
        &self,
        provider: ProviderName,
        model: &str,
        prompt_version: &'static str,
    ) -> Option<Route> {
        let model = model.to_owned();
        let key = (provider, model);
        let adapter = Arc::clone(self.alone.get(&key)?);
        Some(Route { provider, model: key.1, prompt_version, adapter, falls_back: false, arm: None })
    }

    /// The route of a request that names none.
    #[must_use]
    pub fn default(&self, prompt_version: &'static str) -> Route {
        let adapter = Arc::clone(&self.default);
        let (provider, model) = (adapter.name(), adapter.model().to_owned());
        Route { provider, model, prompt_version, adapter, falls_back: self.order.len() > 1, arm: None }
    }

    /// The route of an experiment's arm; nothing where its provider or model is not set up.
    #[must_use]
    pub fn of_variant(&self, variant: &Variant) -> Option<Route> {
        let Variant { arm, provider, model, prompt_version, .. } = variant;
        let route = match model {
            Some(model) => self.with_its_model(*provider, model, prompt_version)?,
            None => self.named(*provider, prompt_version)?,
        };
        Some(Route { arm: Some(Arc::clone(arm)), ..route })
    }

    /// Those that are set up, by name.
    pub fn configured(&self) -> impl Iterator<Item = &Resilient> {
        self.own.values()
    }

    /// Every model that may be asked, with its provider.
    pub fn models(&self) -> impl Iterator<Item = (ProviderName, &str)> {
        self.alone.keys().map(|(provider, model)| (*provider, model.as_str()))
    }

    /// How a provider is that is set up.
    #[must_use]
    pub fn health(&self, provider: ProviderName) -> Option<Health> {
        self.own.get(&provider).map(Resilient::health)
    }

    /// The default and those who stand in for it, in this order.
    #[must_use]
    pub fn order(&self) -> &[ProviderName] {
        &self.order
    }
}
