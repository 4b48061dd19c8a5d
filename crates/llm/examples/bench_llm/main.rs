//! `make bench-llm`: what the adapters and all that is wrapped around them add to a provider's own
//! time, with metrics, spans and JSON logs on.
//!
//! The provider is a stub in a process of its own that answers the wire of each protocol with the
//! least work that there is. Each figure is taken with the whole stack and with a bare client that
//! reads the same bytes, in turn in one run, beside a second bare client (A/A) that shows the
//! machine's noise. Prints figures; fails only where an answer is not what the stub said. Load goes
//! to 127.0.0.1 only.
//!
//! `bench_llm [latency|first|rate|chunks|proxy]…` measures what is named, or all of it. `CALLS`,
//! `ROUNDS` and `CHUNKS` set how much, `WIRES` (ollama,openai,claude) which protocols; `LITELLM_URL` names a LiteLLM in front of the stub that
//! listens on `STUB_PORT` (`.make/litellm.py` sees to both).

use std::error::Error;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

mod chunks;
mod first;
mod latency;
mod proxy;
mod rate;
mod stack;
mod stub;
mod wire;

pub(crate) type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The value at or under which this share of the values lies.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among some thousand values"
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// A setting of the benchmark's own.
pub(crate) fn setting(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the benchmark's own setting")]
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// A number among them.
pub(crate) fn given(name: &str, default: usize) -> Fallible<usize> {
    setting(name)
        .map_or(Ok(default), |text| text.parse().map_err(|_| format!("{name} is no number: {text}").into()))
}

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The processor time that all threads of this process have had.
pub(crate) fn cpu() -> Fallible<Duration> {
    let mut nanoseconds = 0_u64;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// A part of this program in a process of its own; ended when dropped.
struct Part(Child);

impl Part {
    fn start(arguments: &[String], log: Stdio) -> Fallible<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Ok(Self(command.args(arguments).stdin(Stdio::null()).stderr(log).spawn()?))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(port: u16) -> Fallible<()> {
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begun.elapsed() > Duration::from_secs(10) {
            return Err("the stub does not listen".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Starts the stub and, with its logs thrown away, the measurement.
fn lead(wanted: &[String]) -> Fallible<ExitCode> {
    let port = match given("STUB_PORT", 0)? {
        0 => std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(),
        port => u16::try_from(port)?,
    };
    let _stub = Part::start(&["stub".to_owned(), port.to_string()], Stdio::inherit())?;
    wait_for(port)?;
    let arguments: Vec<String> =
        ["measure".to_owned(), port.to_string()].into_iter().chain(wanted.iter().cloned()).collect();
    // Log lines go to standard error.
    let mut measurement = Part::start(&arguments, Stdio::null())?;
    let status = measurement.0.wait()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(port: u16, wanted: &[String]) -> Fallible<()> {
    let wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|argument| argument == name);
    let base = format!("http://127.0.0.1:{port}");
    let telemetry = stack::telemetry(&base)?;
    let bench = stack::Bench::new(base, telemetry.metrics())?;
    if wanted("latency") {
        latency::measure(&bench, given("CALLS", 5_000)?).await?;
    }
    if wanted("first") {
        first::measure(&bench, given("CALLS", 5_000)? / 5).await?;
    }
    if wanted("rate") {
        rate::measure(&bench, given("ROUNDS", 9)?).await?;
    }
    if wanted("chunks") {
        chunks::measure(&bench, given("CHUNKS", 1_000_000)?).await?;
    }
    if wanted("proxy") {
        proxy::measure(&bench, setting("LITELLM_URL"), given("CALLS", 5_000)? / 10).await?;
    }
    telemetry.shutdown().await;
    Ok(())
}

fn main() -> Fallible<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match arguments.as_slice() {
        [role, port] if role == "stub" => {
            runtime()?.block_on(stub::serve(port.parse()?))?;
            Ok(ExitCode::SUCCESS)
        }
        [role, port, wanted @ ..] if role == "measure" => {
            match runtime()?.block_on(measure(port.parse()?, wanted)) {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(error) => {
                    // Standard error is thrown away.
                    println!("{error}");
                    Ok(ExitCode::FAILURE)
                }
            }
        }
        wanted => lead(wanted),
    }
}
