//! A run on the terminal while it goes on: a bar where there is a terminal, else a line every few
//! seconds. All on standard error: standard output is for what the run came to.

use std::io::IsTerminal;
use std::time::Duration;

use common_models::RunState;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{count, duration, say};
use crate::progress::Progress;
use crate::run_state;

/// Between two plain lines.
const LINES: Duration = Duration::from_secs(5);
/// Between two looks at a bar.
const FRAMES: Duration = Duration::from_millis(250);

/// Shows a run until it has ended.
pub async fn watch(mut progress: watch::Receiver<Progress>) {
    let terminal = std::io::stderr().is_terminal();
    let bar = terminal.then(bar);
    let mut said = Said::default();
    let mut ticks = interval(if terminal { FRAMES } else { LINES });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick comes at once, when there is nothing to tell.
    ticks.tick().await;
    let mut running_since = None;
    loop {
        let (changed, ticked) = tokio::select! {
            changed = progress.changed() => (changed.is_ok(), false),
            _ = ticks.tick() => (true, true),
        };
        let now = progress.borrow_and_update().clone();
        for news in said.news(&now) {
            match &bar {
                Some(bar) => bar.println(news),
                None => say(&news),
            }
        }
        if !changed || run_state::is_last(now.state) {
            break;
        }
        if now.state == RunState::Running {
            let since = running_since.get_or_insert_with(Instant::now);
            if ticked {
                show(bar.as_ref(), &now, since.elapsed());
            }
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// What was told already.
#[derive(Default)]
struct Said {
    waiting_for: Option<String>,
    k6: bool,
    stopping: bool,
}

impl Said {
    fn news(&mut self, now: &Progress) -> Vec<String> {
        let mut news = Vec::new();
        // The details of a wait change many times a second; its begin is news.
        let kind = |text: &String| text.split(':').next().map(str::to_owned);
        if now.waiting_for.as_ref().and_then(kind) != self.waiting_for.as_ref().and_then(kind)
            && let Some(what) = &now.waiting_for
        {
            news.push(format!("waiting for {what}"));
        }
        self.waiting_for.clone_from(&now.waiting_for);
        if let Some(k6) = &now.k6
            && !self.k6
        {
            self.k6 = true;
            news.push(format!("k6: {k6}"));
        }
        if now.state == RunState::Stopping && !self.stopping {
            self.stopping = true;
            news.push("stopping".to_owned());
        }
        news
    }
}

fn show(bar: Option<&ProgressBar>, now: &Progress, elapsed: Duration) {
    match bar {
        None => say(&line(now, elapsed)),
        Some(bar) => {
            if let Some(total) = now.total_seconds {
                bar.set_length(u64::from(total) * 10);
            }
            let measured = now.standing.measured_seconds.unwrap_or_default();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
            bar.set_position((measured * 10.0) as u64);
            bar.set_message(line(now, elapsed));
        }
    }
}

fn bar() -> ProgressBar {
    // Empty until it is known how long it is.
    let bar = ProgressBar::new(u64::MAX);
    // A template of ours: a mistake in it shows as the default style.
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Elapsed and total, users, requests a second, 95th percentile, failures.
fn line(now: &Progress, elapsed: Duration) -> String {
    let standing = &now.standing;
    let clock = match (standing.measured_seconds, now.total_seconds) {
        (Some(measured), Some(total)) => format!("{measured:.0} of {total} s"),
        (Some(measured), None) => format!("{measured:.0} s"),
        (None, _) if standing.requests > 0 => "warming up".to_owned(),
        (None, _) => format!("preparing, {} s", elapsed.as_secs()),
    };
    if standing.requests == 0 {
        return clock;
    }
    format!(
        "{clock}   {:.1} requests a second   p95 {}   {} failed",
        standing.rps,
        duration(standing.p95_ms),
        count(standing.failed)
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Said, line};
    use crate::aggregate::Standing;
    use crate::progress::Progress;

    #[test]
    fn a_line_says_how_far_and_how_well() {
        let mut now = Progress::new(Some(120));
        let elapsed = Duration::from_secs(3);
        assert_eq!(line(&now, elapsed), "preparing, 3 s");
        now.standing = Standing { requests: 7, rps: 3.5, p95_ms: 12.0, ..Standing::default() };
        assert!(line(&now, elapsed).starts_with("warming up"));
        now.standing.measured_seconds = Some(61.2);
        now.standing.failed = 1_234;
        assert_eq!(line(&now, elapsed), "61 of 120 s   3.5 requests a second   p95 12 ms   1,234 failed");
    }

    #[test]
    fn news_are_told_once() {
        let mut said = Said::default();
        let mut now = Progress::new(None);
        assert!(said.news(&now).is_empty());
        now.waiting_for = Some("the image x, which is being pulled".to_owned());
        assert_eq!(said.news(&now), ["waiting for the image x, which is being pulled"]);
        now.waiting_for = Some("the image x, which is being pulled: 3 of 60 MB of a layer".to_owned());
        assert!(said.news(&now).is_empty());
        now.waiting_for = None;
        now.k6 = Some("k6 v1.1.0 at /usr/bin/k6".to_owned());
        assert_eq!(said.news(&now), ["k6: k6 v1.1.0 at /usr/bin/k6"]);
        assert!(said.news(&now).is_empty());
    }
}
