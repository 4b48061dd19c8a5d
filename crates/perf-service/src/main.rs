//! The process: settings, telemetry, work, flush. Every way out flushes.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use perf_service::app::{self, App, AppError};
use perf_service::console;
use perf_service::settings::{Command, CommandLine, Settings};
use telemetry::Metrics;

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
    let (command, settings) = match Settings::read(CommandLine::parse()) {
        Ok(read) => read,
        Err(error) => return failed(&error, ExitCode::from(USAGE)),
    };
    if command == Command::Health {
        return match http_server::health::probe(settings.listen.address, settings.listen.port) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => failed(&reason, ExitCode::FAILURE),
        };
    }
    let telemetry = match telemetry::start(&settings.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error, ExitCode::from(USAGE)),
    };
    let done = work(&command, &settings, telemetry.metrics()).await;
    telemetry.shutdown().await;
    done.unwrap_or_else(|error| failed(&error, error.exit_code()))
}

async fn work(command: &Command, settings: &Settings, metrics: Metrics) -> Result<ExitCode, AppError> {
    match command {
        Command::Run(request) => {
            return app::run_scenario(settings, request, metrics, http_server::cancel_on_signal()).await;
        }
        Command::List(request) => return app::past::list(settings, request, metrics).await,
        Command::Report(request) => return app::past::report(settings, request, metrics).await,
        Command::Compare(request) => {
            return app::comparison::compare(settings, request, metrics, http_server::cancel_on_signal())
                .await;
        }
        Command::Scenarios => app::list_scenarios(),
        Command::DockerGate => app::guard_docker(settings, http_server::cancel_on_signal()).await?,
        Command::GateHealth => app::probe_gate(settings).await?,
        Command::Serve | Command::Health => {
            App::start(settings, metrics, http_server::cancel_on_signal()).await?.run().await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn failed(error: &dyn std::fmt::Display, code: ExitCode) -> ExitCode {
    console::say(&format_args!("perf-service: {error}"));
    code
}
