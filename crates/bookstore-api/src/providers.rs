//! The providers that are set up, and whom a request asks.
//!
//! Owns who stands behind a name, in which order they are asked when a request names none, and which
//! other models experiments may ask. Knows no adapter: `app/providers.rs` hands them in.

use std::collections::BTreeMap;
use std::sync::Arc;

use llm::{Arm, LlmProvider, ProviderName};

/// The providers of a service.
pub struct Providers {
    own: BTreeMap<ProviderName, Arc<dyn LlmProvider>>,
    /// The default with those who stand in for it.
    default: Arc<dyn LlmProvider>,
    /// The same by name; never empty.
    order: Vec<ProviderName>,
    /// Other models of those providers.
    others: BTreeMap<(ProviderName, String), Arc<dyn LlmProvider>>,
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
    /// `own` by name, each alone; `default` asks those of `order` one after another.
    pub fn new(
        own: BTreeMap<ProviderName, Arc<dyn LlmProvider>>,
        default: Arc<dyn LlmProvider>,
        order: Vec<ProviderName>,
    ) -> Self {
        Self { own, default, order, others: BTreeMap::new() }
    }

    /// The same, with another model of a provider, for experiments.
    #[must_use]
    pub fn with_model(mut self, adapter: Arc<dyn LlmProvider>) -> Self {
        self.others.insert((adapter.name(), adapter.model().to_owned()), adapter);
        self
    }

    /// The route of a request that names this provider; nothing where it is not set up.
    #[must_use]
    pub fn named(&self, provider: ProviderName, prompt_version: &'static str) -> Option<Route> {
        let adapter = Arc::clone(self.own.get(&provider)?);
        let model = adapter.model().to_owned();
        Some(Route { provider, model, prompt_version, adapter, falls_back: false, arm: None })
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
    pub fn of_arm(
        &self,
        provider: ProviderName,
        model: Option<&str>,
        prompt_version: &'static str,
        arm: Arc<Arm>,
    ) -> Option<Route> {
        let own = self.named(provider, prompt_version)?;
        let route = match model {
            Some(model) if model != own.model => {
                let adapter = Arc::clone(self.others.get(&(provider, model.to_owned()))?);
                Route { model: model.to_owned(), adapter, ..own }
            }
            _ => own,
        };
        Some(Route { arm: Some(arm), ..route })
    }

    /// Those that are set up, by name.
    pub fn configured(&self) -> impl Iterator<Item = (ProviderName, &Arc<dyn LlmProvider>)> {
        self.own.iter().map(|(name, adapter)| (*name, adapter))
    }

    /// The default and those who stand in for it, in this order.
    #[must_use]
    pub fn order(&self) -> &[ProviderName] {
        &self.order
    }
}
