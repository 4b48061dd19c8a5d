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
/// When an adapter cannot be set up, or one that is to answer has no settings.
pub(super) async fn assemble(settings: &LlmSettings, metrics: &Metrics) -> Result<Providers, LlmError> {
    let bedrock = match &settings.bedrock_model {
        Some(model) => Some(Bedrock::from_environment(model).await.counted_in(metrics)),
        None => None,
    };
    let assembly = Assembly { settings, metrics, prices: Arc::new(settings.prices.clone()), bedrock };
    let mut own = Vec::new();
    for name in ProviderName::ALL {
        own.extend(assembly.provider(name, None)?);
    }
    let set_up = |setting: &str, name: ProviderName| {
        own.iter()
            .find(|provider| provider.name() == name)
            .cloned()
            .ok_or_else(|| LlmError::new(ErrorKind::BadRequest, format!("{setting}: {name} is not set up")))
    };
    let default = set_up("LLM_PROVIDER", settings.provider)?;
    let others: Result<Vec<_>, _> =
        settings.fallback.iter().map(|name| set_up("LLM_FALLBACK", *name)).collect();
    let mut providers = Providers::new(own, &default, &others?);
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
                Some(self.wrapped(Ollama::new(&settings.ollama_base_url, model)?.counted_in(self.metrics)))
            }
            ProviderName::Claude => match settings.claude.as_ref().map(hosted) {
                Some((url, key, model)) => {
                    Some(self.wrapped(Claude::new(&url, key, &model)?.counted_in(self.metrics)))
                }
                None => None,
            },
            ProviderName::OpenAi => match settings.openai.as_ref().map(hosted) {
                Some((url, key, model)) => {
                    Some(self.wrapped(OpenAi::new(&url, key, &model)?.counted_in(self.metrics)))
                }
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

#[cfg(test)]
mod tests {
    use clap::Parser;
    use llm::{ErrorKind, ProviderName};
    use telemetry::Metrics;

    use super::assemble;
    use crate::settings::{CommandLine, Settings};

    #[tokio::test]
    async fn who_is_to_answer_and_is_not_set_up_is_an_error() {
        let line = ["bookstore-api", "--llm-provider=simulated", "--llm-fallback=", "--bedrock-model="];
        let (_, settings) = Settings::read(CommandLine::try_parse_from(line).unwrap()).unwrap();
        let metrics = Metrics::unregistered();
        assert!(assemble(&settings.llm, &metrics).await.is_ok());
        // The settings refuse both already; whoever comes to differ from them must not answer silently.
        for (setting, provider, fallback) in [
            ("LLM_PROVIDER", ProviderName::Bedrock, vec![]),
            ("LLM_FALLBACK", ProviderName::Simulated, vec![ProviderName::Ollama, ProviderName::Bedrock]),
        ] {
            let mut settings = settings.llm.clone();
            (settings.provider, settings.fallback) = (provider, fallback);
            let Err(error) = assemble(&settings, &metrics).await else { panic!("{setting} is passed over") };
            assert_eq!(error.kind, ErrorKind::BadRequest);
            assert_eq!(error.detail, format!("{setting}: bedrock is not set up"));
        }
    }
}
