//! The simulator's process: read the settings, do what is asked, flush.

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use llm_simulator::app::{App, Role};
use llm_simulator::settings::{Command, CommandLine, Secrets, Settings};
use llm_simulator::{fit_command, profiles_command};
use telemetry::{GenAiSettings, Metrics, TelemetrySettings};

/// Exit code of wrong usage.
const USAGE: u8 = 2;

/// Longest wait for what cannot be broken off, such as the look-up of a name.
const BLOCKED_DEADLINE: Duration = Duration::from_millis(500);

#[global_allocator]
static ALLOCATOR: telemetry::Allocator = telemetry::Allocator;

fn main() -> ExitCode {
    let runtime = match telemetry::runtime::build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error, ExitCode::FAILURE),
    };
    let code = runtime.block_on(run());
    runtime.shutdown_timeout(BLOCKED_DEADLINE);
    code
}

async fn run() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Nothing is left to be told where even this cannot be written.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let role = match line.command.unwrap_or_default() {
        Command::Serve => Some(Role::Simulate),
        Command::Replay(arguments) => Some(Role::Replay(arguments)),
        Command::Record(arguments) => Some(Role::Record(arguments)),
        Command::Fit(arguments) => return told(fit_command::run(&arguments)),
        Command::Profiles => return told(profiles_command::run()),
        Command::Health => None,
    };
    let settings = match Settings::read(&line.written, &Secrets::from_environment()) {
        Ok(settings) => settings,
        Err(error) => return failed(&error, ExitCode::from(USAGE)),
    };
    match role {
        Some(role) => serve(&settings, role).await,
        None => told(http_server::health::probe(settings.bind_address, settings.http_port)),
    }
}

async fn serve(settings: &Settings, role: Role) -> ExitCode {
    let telemetry = match telemetry::start(&TelemetrySettings {
        service_name: env!("CARGO_PKG_NAME"),
        service_version: env!("CARGO_PKG_VERSION"),
        log_format: settings.log_format,
        log_filter: settings.log_filter.clone(),
        otlp_endpoint: settings.otlp_endpoint.clone(),
        otlp_protocol: settings.otlp_protocol,
        disabled: settings.sdk_disabled,
        logs_exporter: settings.logs_exporter,
        sampling: settings.sampling,
        traceloop: None,
        // It asks no model.
        client: None,
        gen_ai: GenAiSettings::default(),
    }) {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error, ExitCode::from(USAGE)),
    };
    let code = work(settings, role, telemetry.metrics()).await;
    telemetry.shutdown().await;
    code
}

async fn work(settings: &Settings, role: Role, metrics: Metrics) -> ExitCode {
    match App::start(settings, role, metrics, http_server::cancel_on_signal()).await {
        Ok(app) => told(app.run().await),
        Err(error) => failed(&error, ExitCode::FAILURE),
    }
}

fn told<E: Display>(done: Result<(), E>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, ExitCode::FAILURE),
    }
}

fn failed(error: &dyn Display, code: ExitCode) -> ExitCode {
    eprintln!("llm-simulator: {error}");
    code
}
