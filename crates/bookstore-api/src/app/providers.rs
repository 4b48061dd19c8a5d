//! The assembly of the providers: an adapter for each that the settings name, with what is wrapped
//! around it.

use std::sync::Arc;

use llm::{
    Backoff, Bedrock, Claude, ErrorKind, LlmError, LlmProvider, Ollama, OpenAi, Prices, ProviderName,
    Resilient, Simulated,
};
use telemetry::Metrics;

use crate::providers::Providers;
use crate::settings::{HostedSettings, LlmSettings};

/// The providers that the settings name.
///
/// # Errors
/// When an adapter cannot be set up.
pub(super) async fn assemble(settings: &LlmSettings, metrics: &Metrics) -> Result<Providers, LlmError> {
    let bedrock = match &settings.bedrock_model {
        Some(model) => Some(Bedrock::from_environment(model).await),
        None => None,
    };
    let assembly = Assembly { settings, metrics, prices: Arc::new(settings.prices.clone()), bedrock };
    let mut own = Vec::new();
    for name in ProviderName::ALL {
        own.extend(assembly.provider(name, None)?);
    }
    let default = own.iter().find(|provider| provider.name() == settings.provider).cloned();
    let default = default.ok_or_else(|| {
        LlmError::new(ErrorKind::BadRequest, format!("LLM_PROVIDER: {} is not set up", settings.provider))
    })?;
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
    bedrock: Option<Bedrock>,
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
            ProviderName::Bedrock => {
                let bedrock = self.bedrock.as_ref();
                bedrock.map(|bedrock| {
                    self.wrapped(model.map_or_else(|| bedrock.clone(), |other| bedrock.asking(other)))
                })
            }
            ProviderName::Simulated => Some(self.wrapped(Simulated)),
        })
    }

    fn wrapped(&self, adapter: impl LlmProvider + 'static) -> Resilient {
        let (metrics, prices) = (self.metrics.clone(), Arc::clone(&self.prices));
        Resilient::new(adapter, metrics, prices, self.settings.deadline, Backoff::default())
    }
}
