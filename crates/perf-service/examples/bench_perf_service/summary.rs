//! Millions of samples into one report: memory, time, size, and how quickly a browser opens it.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use chrono::Utc;
use common_models::{Outcome, RunState};
use perf_service::aggregate::Identity;
use perf_service::follow::follow;
use perf_service::report;
use perf_service::results::Environment;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Fallible, given_path, lines, median};

/// Openings of each page.
const OPENINGS: usize = 7;
const EMPTY_PAGE: &str = "<!DOCTYPE html><title>empty</title>";

/// In a process of its own, since memory is asked of a whole process: samples from standard input, the
/// report into a file, figures to standard output.
pub(crate) fn summarise(report_file: &Path) -> Fallible<()> {
    let begun = Instant::now();
    let ended = CancellationToken::new();
    ended.cancel();
    let figures = follow(Path::new("/dev/stdin"), &ended, |_| ())?;
    let read = begun.elapsed();
    let now = Utc::now();
    let results = figures.into_results(Identity {
        run_id: Uuid::now_v7(),
        scenario: "bench".to_owned(),
        target: "none".to_owned(),
        engine: "local".to_owned(),
        k6_version: None,
        started_at: now,
        finished_at: now,
        outcome: Outcome::Failed,
        state: RunState::Finished,
        reason: None,
        environment: Environment::default(),
    });
    let begun = Instant::now();
    let page = report::render(&results, None)?;
    let rendered = begun.elapsed();
    fs::write(report_file, &page)?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "  {} requests; read in {:.1} s, written in {:.0} ms; results {} KiB",
        results.summary.requests,
        read.as_secs_f64(),
        rendered.as_secs_f64() * 1e3,
        serde_json::to_vec(&results)?.len() / 1024
    )?;
    match peak_kib() {
        Some(peak) => writeln!(out, "  memory at most {:.1} MiB (goal: 64)", peak as f64 / 1024.0)?,
        None => writeln!(out, "  memory not known: there is no /proc here")?,
    }
    Ok(())
}

/// <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>, `VmHWM`.
fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// Prints the figures of a run with this many samples.
pub(crate) fn measure(count: u64) -> Fallible<()> {
    println!("{count} samples");
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("report.html");
    let mut child =
        Command::new(std::env::current_exe()?).arg("summarise").arg(&report).stdin(Stdio::piped()).spawn()?;
    let input = child.stdin.take().ok_or("no standard input")?;
    let mut input = BufWriter::with_capacity(1 << 20, input);
    lines::write(count, &mut input)?;
    input.flush()?;
    drop(input);
    if !child.wait()?.success() {
        return Err("the summary failed".into());
    }
    println!("  report {} KiB (goal: under 2,048)", fs::metadata(&report)?.len() / 1024);
    let Some(browser) = given_path("CHROMIUM_BIN") else {
        println!("  CHROMIUM_BIN is not set, so its opening is not measured");
        return Ok(());
    };
    let empty = folder.path().join("empty.html");
    fs::write(&empty, EMPTY_PAGE)?;
    let (mut ours, mut control) = (Vec::new(), Vec::new());
    for _ in 0..OPENINGS {
        control.push(opening_ms(&browser, &empty, folder.path())?);
        ours.push(opening_ms(&browser, &report, folder.path())?);
    }
    println!(
        "  opened and drawn in {:.0} ms, beside {:.0} ms more that the browser takes for an empty page (medians of \
         {OPENINGS}; goal: under 1,000)",
        median(&ours) - median(&control),
        median(&control)
    );
    Ok(())
}

/// From the browser's start until the page has run its script.
fn opening_ms(browser: &Path, page: &Path, folder: &Path) -> Fallible<f64> {
    let begun = Instant::now();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", folder.join("browser").display()))
        .arg(format!("file://{}", page.display()))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(format!("the browser ended with {}", output.status).into());
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}
