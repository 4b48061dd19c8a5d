//! Settings of logs and traces, most of them by OpenTelemetry's own names.

use clap::Args;
use secrecy::SecretString;
use telemetry::{
    GenAiSettings, LogFormat, LogsExporter, OtlpProtocol, Sampling, TelemetrySettings, Traceloop,
};

use super::Checked;

/// Options as text.
#[derive(Clone, Debug, Args)]
pub(super) struct TelemetryOptions {
    /// How log lines look: json or console.
    #[arg(long, global = true, env = "LOG_FORMAT", default_value = "json", hide_env_values = true)]
    log_format: String,
    /// Which log lines pass, such as `info` or `warn,bookstore_api=debug`.
    #[arg(long, global = true, env = "LOG_FILTER", default_value = "info", hide_env_values = true)]
    log_filter: String,
    /// true: nothing is measured nor exported. Log lines are written all the same.
    #[arg(long, global = true, env = "OTEL_SDK_DISABLED", default_value = "false", hide_env_values = true)]
    otel_sdk_disabled: String,
    /// Where traces and log lines go by OTLP; nowhere when left out.
    #[arg(long, global = true, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    otel_exporter_otlp_endpoint: Option<String>,
    /// How they travel: http/protobuf or grpc.
    #[arg(
        long,
        global = true,
        env = "OTEL_EXPORTER_OTLP_PROTOCOL",
        default_value = "http/protobuf",
        hide_env_values = true
    )]
    otel_exporter_otlp_protocol: String,
    /// otlp, or none where what is at OTEL_EXPORTER_OTLP_ENDPOINT takes traces only.
    #[arg(long, global = true, env = "OTEL_LOGS_EXPORTER", default_value = "otlp", hide_env_values = true)]
    otel_logs_exporter: String,
    /// Which traces are recorded: a standard name such as parentbased_traceidratio.
    #[arg(
        long,
        global = true,
        env = "OTEL_TRACES_SAMPLER",
        default_value = "parentbased_always_on",
        hide_env_values = true
    )]
    otel_traces_sampler: String,
    /// What part of them, for samplers by ratio: 0 to 1.
    #[arg(long, global = true, env = "OTEL_TRACES_SAMPLER_ARG", default_value = "", hide_env_values = true)]
    otel_traces_sampler_arg: String,
    /// Where traces go besides: Traceloop's address, or another that takes its place. Traceloop's own when
    /// left out and there is a TRACELOOP_API_KEY (environment only); nowhere without either.
    #[arg(long, global = true, env = "TRACELOOP_BASE_URL", default_value = "", hide_env_values = true)]
    traceloop_base_url: String,
    /// Names that LLM calls are recorded under: gen_ai_latest_experimental for the newest conventions in
    /// place of v1.41, gen_ai/dup for both, which the dashboards need. A list that others may share.
    #[arg(
        long,
        global = true,
        env = "OTEL_SEMCONV_STABILITY_OPT_IN",
        default_value = "",
        hide_env_values = true
    )]
    otel_semconv_stability_opt_in: String,
    /// true writes prompts and answers on the spans of LLM calls, where traces go anywhere. They hold
    /// what users wrote.
    #[arg(
        long,
        global = true,
        env = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        default_value = "false",
        hide_env_values = true
    )]
    otel_instrumentation_genai_capture_message_content: String,
}

/// Checks what they say. `key` is Traceloop's.
pub(super) fn check(
    checked: &mut Checked,
    options: TelemetryOptions,
    key: Option<String>,
) -> TelemetrySettings {
    let sampling = Sampling::parse(&options.otel_traces_sampler, &options.otel_traces_sampler_arg);
    TelemetrySettings {
        service_name: "bookstore-api",
        service_version: env!("CARGO_PKG_VERSION"),
        log_format: checked.choice(
            "LOG_FORMAT",
            &options.log_format,
            &[("json", LogFormat::Json), ("console", LogFormat::Console)],
        ),
        log_filter: options.log_filter,
        disabled: checked.choice(
            "OTEL_SDK_DISABLED",
            &options.otel_sdk_disabled,
            &[("false", false), ("true", true)],
        ),
        otlp_endpoint: options
            .otel_exporter_otlp_endpoint
            .filter(|url| !url.is_empty())
            .map(|url| checked.base_url("OTEL_EXPORTER_OTLP_ENDPOINT", url)),
        otlp_protocol: checked.choice(
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            &options.otel_exporter_otlp_protocol,
            &[("http/protobuf", OtlpProtocol::HttpProtobuf), ("grpc", OtlpProtocol::Grpc)],
        ),
        logs_exporter: checked.choice(
            "OTEL_LOGS_EXPORTER",
            &options.otel_logs_exporter,
            &[("otlp", LogsExporter::Otlp), ("none", LogsExporter::None)],
        ),
        sampling: sampling.unwrap_or_else(|mistake| {
            checked.mistake(mistake);
            Sampling::default()
        }),
        traceloop: traceloop(checked, options.traceloop_base_url, key),
        client: None,
        gen_ai: GenAiSettings::asked_for(
            &options.otel_semconv_stability_opt_in,
            &options.otel_instrumentation_genai_capture_message_content,
        ),
    }
}

fn traceloop(checked: &mut Checked, url: String, key: Option<String>) -> Option<Traceloop> {
    let key = key.map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    if key.as_ref().is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
        checked.mistake("TRACELOOP_API_KEY: has characters that no header can carry; copy it again");
    }
    let base_url = match url.as_str() {
        "" => key.is_some().then(|| Traceloop::BASE_URL.to_owned()),
        _ => Some(checked.base_url("TRACELOOP_BASE_URL", url)),
    };
    Some(Traceloop { base_url: base_url?, api_key: key.map(SecretString::from) })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::traceloop;
    use crate::settings::Checked;

    #[test]
    fn a_key_alone_leads_to_traceloop_itself_and_an_address_needs_none() {
        let of = |url: &str, key: Option<&str>| {
            let mut checked = Checked::default();
            let traceloop = traceloop(&mut checked, url.to_owned(), key.map(str::to_owned));
            assert_eq!(checked.0.0.len(), 0, "{:?}", checked.0);
            traceloop.map(|found| (found.base_url, found.api_key.map(|key| key.expose_secret().to_owned())))
        };
        assert_eq!(of("", None), None);
        assert_eq!(of("", Some(" ")), None);
        let own = "https://api.traceloop.com".to_owned();
        assert_eq!(of("", Some("key")), Some((own, Some("key".to_owned()))));
        let other = "http://127.0.0.1:4318".to_owned();
        assert_eq!(of(&other, None), Some((other, None)));
    }

    #[test]
    fn a_key_never_shows() {
        let mut checked = Checked::default();
        let found = traceloop(&mut checked, String::new(), Some("canary".to_owned()));
        assert!(!format!("{found:?}").contains("canary"));
        traceloop(&mut checked, String::new(), Some("can ary\u{e9}".to_owned()));
        assert_eq!(checked.0.0.len(), 1);
        assert!(!checked.0.0.concat().contains("ary\u{e9}"));
    }
}
