//! The process: settings, telemetry, work, flush. Every way out flushes.

use std::process::ExitCode;
use std::time::Duration;

use bookstore_api::settings::{Command, CommandLine, Settings};
use bookstore_api::{app, import_command, tenants, upkeep_command};
use clap::Parser;

#[global_allocator]
static ALLOCATOR: telemetry::Allocator = telemetry::Allocator;

/// Longest wait at the very end for threads that block: a name that nobody resolves, a disk that hangs.
const BLOCKED_DEADLINE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let runtime = match telemetry::runtime::build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(run());
    runtime.shutdown_timeout(BLOCKED_DEADLINE);
    code
}

async fn run() -> ExitCode {
    let line = CommandLine::parse();
    let (command, settings) = match Settings::read(line) {
        Ok(read) => read,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(2);
        }
    };
    if let Command::Health = command {
        return match http_server::health::probe(settings.listen.address, settings.listen.port) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => failed(&reason),
        };
    }
    if let Command::TenantKey(command) = command {
        return match tenants::draw_key() {
            Ok(drawn) => {
                // The key goes nowhere else: only its hash is kept, and that by whoever runs this.
                eprintln!("The key of {}, shown this once; requests send it as X-Api-Key:", command.id);
                println!("{}", drawn.key);
                eprintln!("Its place in TENANTS_FILE:");
                eprintln!(r#"{{"id":"{}","apiKeySha256":["{}"]}}"#, command.id, drawn.sha256);
                ExitCode::SUCCESS
            }
            Err(error) => failed(&format!("no random bytes for a key: {error}")),
        };
    }
    let telemetry = match telemetry::start(&settings.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error),
    };
    let metrics = telemetry.metrics();
    let result = match command {
        Command::Import(import) => import_command::run(&settings, &import, metrics).await,
        Command::Export(export) => upkeep_command::export(&settings, &export, metrics).await,
        Command::Check(check) => upkeep_command::check(&settings, &check, metrics).await,
        Command::Serve | Command::Health | Command::TenantKey(_) => app::serve(&settings, metrics).await,
    };
    telemetry.shutdown().await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("bookstore-api: {error}");
    ExitCode::FAILURE
}
