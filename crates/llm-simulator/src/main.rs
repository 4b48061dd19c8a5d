//! The simulator's process: read the settings, start, serve, drain, flush.

use std::process::ExitCode;

use clap::Parser;
use llm_simulator::app::App;
use llm_simulator::settings::{Command, CommandLine, Settings};
use telemetry::{Metrics, TelemetrySettings};

/// Exit code of wrong usage.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Nothing is left to be told where even this cannot be written.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let settings = match Settings::read(&line.written) {
        Ok(settings) => settings,
        Err(error) => return failed(&error, ExitCode::from(USAGE)),
    };
    if line.command.unwrap_or_default() == Command::Health {
        return match http_server::health::probe(settings.bind_address, settings.http_port) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error, ExitCode::FAILURE),
        };
    }
    let telemetry = match telemetry::start(&TelemetrySettings {
        service_name: env!("CARGO_PKG_NAME"),
        service_version: env!("CARGO_PKG_VERSION"),
        log_format: settings.log_format,
        log_filter: settings.log_filter.clone(),
        otlp_endpoint: settings.otlp_endpoint.clone(),
        otlp_protocol: settings.otlp_protocol,
    }) {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error, ExitCode::from(USAGE)),
    };
    let code = serve(&settings, telemetry.metrics()).await;
    telemetry.shutdown().await;
    code
}

async fn serve(settings: &Settings, metrics: Metrics) -> ExitCode {
    let served = match App::start(settings, metrics, http_server::cancel_on_signal()).await {
        Ok(app) => app.run().await,
        Err(error) => Err(error),
    };
    served.map_or_else(|error| failed(&error, ExitCode::FAILURE), |()| ExitCode::SUCCESS)
}

fn failed(error: &dyn std::fmt::Display, code: ExitCode) -> ExitCode {
    eprintln!("llm-simulator: {error}");
    code
}
