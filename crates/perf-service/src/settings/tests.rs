//! What settings are read from what is written, and what is refused.

use std::time::Duration;

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches};
use telemetry::LogFormat;

use super::{Command, CommandLine, Settings, SettingsError, Surroundings};
use crate::engine::EngineChoice;
use crate::engine::docker::Network;

fn check(arguments: &[&str], token: Option<&str>) -> Result<(Command, Settings), SettingsError> {
    // Whatever the environment of the tests says.
    let command = CommandLine::command().mut_args(|argument| argument.env(Resettable::Reset));
    let command = command.mut_subcommands(|sub| sub.mut_args(|argument| argument.env(Resettable::Reset)));
    let matches = command.try_get_matches_from([&["perf-service"], arguments].concat()).unwrap();
    let surroundings = Surroundings { api_token: token.map(str::to_owned), ..Surroundings::default() };
    Settings::check(CommandLine::from_arg_matches(&matches).unwrap(), surroundings)
}

#[test]
fn nothing_has_to_be_given() {
    let (command, settings) = check(&[], None).unwrap();
    assert_eq!(command, Command::Serve);
    assert_eq!((settings.listen.port, settings.engine), (7004, EngineChoice::Auto));
    assert!(settings.listen.address.is_loopback() && settings.api_token.is_none());
    assert_eq!(settings.targets[0].url.as_str(), "http://127.0.0.1:7002/");
    assert_eq!(settings.docker.image, "grafana/k6:1.1.0");
    assert_eq!(
        (settings.telemetry.log_format, settings.telemetry.log_filter.as_str()),
        (LogFormat::Json, "info")
    );
    let empty =
        check(&["--http-port", "", "--engine", " ", "--targets", "", "--k6-image", ""], Some("")).unwrap();
    assert_eq!(format!("{:?}", empty.1), format!("{settings:?}"));
}

#[test]
fn a_run_is_told_by_its_options() {
    let line = [
        "run",
        "smoke",
        "--duration",
        "1m30s",
        "--users",
        "3",
        "--provider",
        "ollama",
        "--rate",
        "20",
        "--max-cost-usd",
        "0.25",
        "--max-p95-ms",
        "0.5",
        "--json",
        "--engine",
        "local",
    ];
    let (Command::Run(run), settings) = check(&line, None).unwrap() else { panic!("no run") };
    assert_eq!((run.asked.duration_seconds, run.asked.users, run.max_p95_ms), (Some(90), Some(3), Some(0.5)));
    assert_eq!((run.asked.rate, run.asked.max_cost_usd), (Some(20), Some(0.25)));
    assert!(run.json && run.asked.target.is_none());
    assert_eq!(settings.engine, EngineChoice::Local);
    assert_eq!(settings.telemetry.log_filter, "warn");
}

#[test]
fn all_mistakes_are_reported_together_and_secrets_are_not() {
    let line = [
        "run",
        "smoke",
        "--duration",
        "soon",
        "--users",
        "many",
        "--rate",
        "-1",
        "--max-cost-usd",
        "NaN",
        "--max-p95-ms",
        "-0",
        "--bind-address",
        "nowhere",
        "--http-port",
        "70000",
        "--https-port",
        "x",
        "--tls-key-file",
        "missing.pem",
        "--targets",
        "x",
        "--engine",
        "podman",
        "--k6-image",
        "a b",
        "--k6-network",
        "container:x",
        "--k6-memory-mib",
        "63",
        "--k6-cpus",
        "many",
        "--docker-host",
        "ssh://x",
        "--prometheus-remote-write-url",
        "http://user:canary@x/write",
        "--trace-ui-url",
        "http://{traceId}.evil.example/",
        "--docker-gate",
        "tcp://0.0.0.0:7005",
        "--log-format",
        "xml",
        "--otel-exporter-otlp-endpoint",
        "localhost",
        "--otel-exporter-otlp-protocol",
        "x",
        "--otel-sdk-disabled",
        "x",
        "--otel-logs-exporter",
        "x",
        "--otel-traces-sampler",
        "x",
    ];
    let mistakes = check(&line, Some("canary")).unwrap_err().mistakes;
    for name in [
        "--duration",
        "--users",
        "--rate",
        "--max-cost-usd",
        "--max-p95-ms",
        "BIND_ADDRESS",
        "HTTP_PORT",
        "HTTPS_PORT",
        "TLS_CERT_FILE",
        "TARGETS",
        "K6_ENGINE",
        "K6_IMAGE",
        "K6_NETWORK",
        "K6_MEMORY_MIB",
        "K6_CPUS",
        "DOCKER_HOST",
        "PROMETHEUS_REMOTE_WRITE_URL",
        "TRACE_UI_URL",
        "DOCKER_GATE",
        "LOG_FORMAT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_SDK_DISABLED",
        "OTEL_LOGS_EXPORTER",
        "OTEL_TRACES_SAMPLER",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "API_TOKEN",
    ] {
        assert_eq!(mistakes.iter().filter(|text| text.starts_with(name)).count(), 1, "{name}: {mistakes:?}");
    }
    assert_eq!(mistakes.len(), 26);
    assert!(!mistakes.concat().contains("canary"));
    let (_, settings) = check(&[], Some("a-canary-that-is-long-enough")).unwrap();
    assert!(!format!("{settings:?}").contains("canary"));
}

#[test]
fn what_is_kept_and_how_many_may_wait_have_bounds() {
    let settings = check(&[], None).unwrap().1;
    assert_eq!((settings.runs_per_target, settings.queue_per_target), (1, 50));
    let month = Some(Duration::from_secs(30 * 86_400));
    assert_eq!((settings.retention.age, settings.retention.bytes), (month, Some(20_000_000_000)));
    let forever = check(&["--retention-days", "0", "--retention-mb", "0"], None).unwrap().1.retention;
    assert_eq!((forever.age, forever.bytes), (None, None));
    for (option, value) in [
        ("--runs-per-target", "0"),
        ("--runs-per-target", "17"),
        ("--queue-per-target", "0"),
        ("--queue-per-target", "many"),
        ("--retention-days", "-1"),
        ("--retention-mb", "99999999999999999999"),
        ("--redis-url", "http://:canary@127.0.0.1:6379"),
        ("--redis-url", "127.0.0.1:6379"),
    ] {
        let mistakes = check(&[&format!("{option}={value}")], None).unwrap_err().mistakes;
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        let name = option.trim_start_matches("--").replace('-', "_").to_uppercase();
        assert!(mistakes[0].starts_with(&name) && !mistakes[0].contains("canary"), "{mistakes:?}");
    }
    let settings = check(&["--redis-url", "redis://:canary@h:6379/2"], None).unwrap().1;
    assert!(settings.redis_url.is_some() && !format!("{settings:?}").contains("canary"));
}

#[test]
fn a_trace_ui_has_one_place_for_the_id() {
    for good in ["http://127.0.0.1:16686/trace/{traceId}", "https://ui.example/?id={traceId}&x=1"] {
        assert_eq!(check(&["--trace-ui-url", good], None).unwrap().1.trace_ui_url.as_deref(), Some(good));
    }
    for bad in [
        "http://x/trace",
        "http://x/{traceId}/{traceId}",
        "javascript:{traceId}",
        "http://x{traceId}",
        "http://user:canary@x/{traceId}",
        "{traceId}",
    ] {
        let mistakes = check(&["--trace-ui-url", bad], None).unwrap_err().mistakes;
        assert!(mistakes.len() == 1 && !mistakes[0].contains("canary"), "{bad}: {mistakes:?}");
    }
}

#[test]
fn a_gate_on_a_port_has_a_token_and_one_of_its_own_a_default() {
    let port = check(&["--docker-gate", "tcp://127.0.0.1:7005"], None).unwrap_err();
    assert!(port.mistakes[0].contains("DOCKER_GATE_TOKEN is not set"), "{port}");
    let socket = check(&["docker-gate", "--docker-gate", "unix:///run/gate"], None).unwrap();
    assert_eq!(
        (socket.0, socket.1.own_gate().place.to_string()),
        (Command::DockerGate, "unix:///run/gate".into())
    );
    let (command, settings) = check(&["docker-gate", "--health", "--data-dir", "/srv"], None).unwrap();
    assert_eq!(command, Command::GateHealth);
    assert_eq!(
        (settings.gate.is_none(), settings.own_gate().place.to_string().as_str()),
        (true, "unix:///srv/docker-gate.sock")
    );
}

#[test]
fn an_image_has_a_tag_and_a_network_a_kind() {
    for (image, wanted) in
        [("k6", "k6:latest"), ("host:5000/k6", "host:5000/k6:latest"), ("k6@sha256:00", "k6@sha256:00")]
    {
        assert_eq!(check(&["--k6-image", image], None).unwrap().1.docker.image, wanted);
    }
    assert_eq!(check(&["--k6-network", "host"], None).unwrap().1.docker.network, Some(Network::Host));
    let named = check(&["--k6-network", "shop_default"], None).unwrap().1.docker.network;
    assert_eq!(named, Some(Network::Named("shop_default".to_owned())));
    assert_eq!(check(&[], None).unwrap().1.docker.network, None);
}
