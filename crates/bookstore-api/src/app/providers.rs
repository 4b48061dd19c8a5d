//! The assembly of the providers: an adapter for each that the settings name, with what is wrapped
//! around it.

use std::sync::Arc;

use llm::{
    Backoff, Claude, LlmError, LlmProvider, Ollama, OpenAi, Prices, ProviderName, Resilient, Simulated,
};
use telemetry::Metrics;

use crate::providers::Providers;
use crate::settings::{HostedSettings, LlmSettings};

/// The providers that the settings name.
///
/// # Errors
/// When an adapter cannot be set up.
pub(super) async fn assemble(settings: &LlmSettings, metrics: &Metrics) -> Result<Providers, LlmError> {
    let assembly = Assembly { settings, metrics, prices: Arc::new(settings.prices.clone()) };
    let mut own = Vec::new();
    for name in ProviderName::ALL {
        own.extend(assembly.provider(name, None)?);
    }
    let default = own.iter().find(|provider| provider.name() == settings.provider).cloned();
    // The settings were checked: this one is set up.
    let default = default.unwrap_or_else(|| assembly.wrapped(Simulated));
    let mut providers = Providers::new(own, &default, &settings.fallback);
    for variant in settings.experiments.iter().flat_map(|experiment| &experiment.variants) {
        // A model that is there already keeps its one breaker.
        if providers.of_variant(variant).is_none()
            && let Some(other) = assembly.provider(variant.provider, variant.model.as_deref())?
        {
            providers = providers.with_model(&other);
        }
    }
    Ok(providers)
}

struct Assembly<'a> {
    settings: &'a LlmSettings,
    metrics: &'a Metrics,
    prices: Arc<Prices>,
}

impl Assembly<'_> {
    /// A provider, with another than its own model where one is given; nothing where it is not set up.
    fn provider(&self, name: ProviderName, model: Option<&str>) -> Result<Option<Resilient>, LlmError> {
        let settings = self.settings;
        let hosted = |hosted: &HostedSettings| {
            let model = model.unwrap_or(&hosted.model).to_owned();
            (hosted.base_url.clone(), hosted.api_key.clone(), model)
        };
        Ok(match name {
            ProviderName::Ollama => {
                let model = model.unwrap_or(&settings.ollama_model);
                Some(self.wrapped(Ollama::new(&settings.ollama_base_url, model)?))
            }
            ProviderName::Claude => match settings.claude.as_ref().map(hosted) {
                Some((url, key, model)) => Some(self.wrapped(Claude::new(&url, key, &model)?)),
                None => None,
            },
            ProviderName::OpenAi => match settings.openai.as_ref().map(hosted) {
                Some((url, key, model)) => Some(self.wrapped(OpenAi::new(&url, key, &model)?)),
                None => None,
            },
            ProviderName::Bedrock => None,
            ProviderName::Simulated => Some(self.wrapped(Simulated)),
        })
    }

    fn wrapped(&self, adapter: impl LlmProvider + 'static) -> Resilient {
        let (metrics, prices) = (self.metrics.clone(), Arc::clone(&self.prices));
        Resilient::new(adapter, metrics, prices, self.settings.deadline, Backoff::default())
    }
}
