//! The assembly of the providers: each explicit one is a deadline around its observed adapter; the
//! default asks those that stand in for it as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use llm::{Deadline, LlmError, LlmProvider, Observed, Ollama, Prices, ProviderName, Simulated};
use telemetry::Metrics;

use crate::providers::Providers;
use crate::settings::LlmSettings;

/// The providers that the settings name.
///
/// # Errors
/// When an adapter cannot be set up.
pub(super) fn assemble(settings: &LlmSettings, metrics: &Metrics) -> Result<Providers, LlmError> {
    let assembly = Assembly { settings, metrics, prices: Arc::new(settings.prices.clone()) };
    let mut own = BTreeMap::new();
    for name in ProviderName::ALL.into_iter().filter(|name| settings.has(*name)) {
        if let Some(adapter) = assembly.adapter(name)? {
            own.insert(name, assembly.bounded(adapter));
        }
    }
    let default = own
        .get(&settings.provider)
        .map_or_else(|| assembly.bounded(assembly.observed(Simulated)), Arc::clone);
    Ok(Providers::new(own, default, vec![settings.provider]))
}

struct Assembly<'a> {
    settings: &'a LlmSettings,
    metrics: &'a Metrics,
    prices: Arc<Prices>,
}

impl Assembly<'_> {
    /// The adapter of a provider, observed.
    fn adapter(&self, name: ProviderName) -> Result<Option<Arc<dyn LlmProvider>>, LlmError> {
        let Self { settings, .. } = self;
        Ok(match name {
            ProviderName::Ollama => {
                Some(self.observed(Ollama::new(&settings.ollama_base_url, &settings.ollama_model)?))
            }
            ProviderName::Simulated => Some(self.observed(Simulated)),
            _ => None,
        })
    }

    fn observed(&self, adapter: impl LlmProvider + 'static) -> Arc<dyn LlmProvider> {
        Arc::new(Observed::new(adapter, self.metrics.clone(), Arc::clone(&self.prices)))
    }

    fn bounded(&self, provider: Arc<dyn LlmProvider>) -> Arc<dyn LlmProvider> {
        Arc::new(Deadline::new(provider, self.settings.deadline))
    }
}
