//! The pool: real runs, in blocks of four in random order, kept a JSON object a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common_models::{Outcome, Run, RunSummary};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::slowed::{Slowed, free_port};
use crate::{Fallible, Options};

const READY: Duration = Duration::from_secs(30);

/// What a run was one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Arm {
    A,
    Again,
    Slower5,
    Slower20,
}

const ARMS: [(Arm, &str, f64); 4] = [
    (Arm::A, "a", 0.0),
    (Arm::Again, "again", 0.0),
    (Arm::Slower5, "slower5", 0.05),
    (Arm::Slower20, "slower20", 0.20),
];

/// Four runs one after another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Block {
    /// In the order in which they were made.
    pub(crate) runs: Vec<(Arm, RunSummary)>,
}

impl Block {
    pub(crate) fn of(&self, arm: Arm) -> Option<&RunSummary> {
        self.runs.iter().find(|(name, _)| *name == arm).map(|(_, summary)| summary)
    }
}

pub(crate) fn read(path: &Path) -> Fallible<Vec<Block>> {
    let lines = BufReader::new(File::open(path)?).lines();
    lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

/// Makes the pool, and keeps each block as soon as it is there.
pub(crate) fn make(options: &Options) -> Fallible<Vec<Block>> {
    std::fs::create_dir_all(&options.folder)?;
    let folder = options.folder.canonicalize()?;
    let mut kept = File::create(folder.join("pool.ndjson"))?;
    let mut draws = ChaCha8Rng::seed_from_u64(options.seed);
    let port = free_port()?;
    let arms: Vec<(Arm, &str, Slowed)> = ARMS
        .into_iter()
        .map(|(arm, name, by)| Ok((arm, name, Slowed::before(port, by)?)))
        .collect::<Fallible<_>>()?;
    let targets: Vec<String> =
        arms.iter().map(|(_, name, proxy)| format!("{name}=http://127.0.0.1:{}", proxy.port)).collect();
    let mut blocks = Vec::new();
    while blocks.len() < options.blocks {
        let mut order: Vec<_> = arms.iter().map(|arm| (draws.next_u64(), arm)).collect();
        order.sort_by_key(|(place, _)| *place);
        let (mut runs, seed) = (Vec::new(), draws.next_u32());
        for (_, (arm, name, _)) in order {
            let service = Service::start(options, &folder, port)?;
            let run = run(options, &folder, &targets.join(","), name, seed)?;
            drop(service);
            let Some(summary) = run.summary.filter(|_| run.outcome != Some(Outcome::Inconclusive)) else {
                break;
            };
            runs.push((*arm, summary));
        }
        let mut out = std::io::stderr();
        if runs.len() < arms.len() {
            writeln!(out, "a block counts for nothing: one of its runs was inconclusive")?;
            continue;
        }
        let block = Block { runs };
        writeln!(kept, "{}", serde_json::to_string(&block)?)?;
        blocks.push(block);
        writeln!(out, "block {} of {}", blocks.len(), options.blocks)?;
    }
    Ok(blocks)
}

fn binary(options: &Options, name: &str) -> Fallible<PathBuf> {
    let path = match &options.binaries {
        Some(folder) => folder.join(name),
        None => std::env::current_exe()?.ancestors().nth(2).ok_or("no target folder")?.join(name),
    };
    Ok(path.canonicalize().map_err(|error| format!("{}: {error}; `make build` makes it", path.display()))?)
}

fn run(options: &Options, folder: &Path, targets: &str, target: &str, seed: u32) -> Fallible<Run> {
    let mut command = Command::new(binary(options, "perf-service")?);
    command
        .args(["run", "smoke", "--json", "--target", target])
        .args(["--duration", &format!("{}s", options.seconds), "--users", &options.users.to_string()])
        .args(["--seed", &seed.to_string()])
        // Whether it is quick enough is not asked here.
        .args(["--max-p95-ms", "60000"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("DATA_DIR", folder.join("perf-service"))
        .env("TARGETS", targets)
        .env("K6_ENGINE", "local")
        .stderr(Stdio::null());
    if let Some(k6) = &options.k6 {
        command.env("K6_BIN", k6.canonicalize()?);
    }
    let told = command.output()?;
    let run = serde_json::from_slice(&told.stdout);
    let run: Run = run.map_err(|error| format!("perf-service run: {}: {error}", told.status))?;
    // Its samples are large, and its figures are here.
    let _ = std::fs::remove_dir_all(folder.join("perf-service/runs").join(run.id.to_string()));
    match (run.outcome, &run.reason) {
        (None, reason) => Err(format!("a run broke: {reason:?}").into()),
        (Some(_), _) => Ok(run),
    }
}

/// A service with an empty folder of its own; ended by pid when dropped.
struct Service {
    child: Child,
    data: PathBuf,
}

impl Service {
    fn start(options: &Options, folder: &Path, port: u16) -> Fallible<Self> {
        let data = folder.join("state");
        let _ = std::fs::remove_dir_all(&data);
        let child = Command::new(binary(options, "bookstore-api")?)
            .env_clear()
            .env("HTTP_PORT", port.to_string())
            .env("DATA_DIR", &data)
            .env("LLM_PROVIDER", "simulated")
            .env("LOG_FILTER", "warn")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let service = Self { child, data };
        let begin = Instant::now();
        while !ready(port) {
            if begin.elapsed() > READY {
                return Err("bookstore-api was not ready in time".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(service)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

fn ready(port: u16) -> bool {
    use std::io::Read;
    let ask = || -> std::io::Result<[u8; 12]> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(head)
    };
    ask().is_ok_and(|head| head.ends_with(b" 200"))
}
