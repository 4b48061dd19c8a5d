//! How a k6 is made to end: asked first, killed when it does not, until it is gone.
//!
//! Owns the times, and that what could not be told is told again: a Docker or a gate that is away
//! for a moment must not leave load going. Must not know runs.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::engine::{EngineError, Exit, Process};

/// How long k6 may take to stop and write its summary.
const GRACE: Duration = Duration::from_secs(5);
/// Pause before k6 is asked again to stop, where it could not be told.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Pause before it is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(2);
/// Longest wait for an engine to pass on a signal.
const TELLING: Duration = Duration::from_secs(5);

/// Ends a k6 and waits until it has ended; whoever gives this up leaves it as it is.
pub(super) async fn end(process: &mut dyn Process) -> Result<Exit, EngineError> {
    let begin = Instant::now();
    loop {
        let told = tell("interrupt", process.interrupt()).await;
        let wait = if told { GRACE } else { GRACE.saturating_sub(begin.elapsed()).min(ASK_AGAIN) };
        if let Ok(exit) = timeout(wait, process.ended()).await {
            return exit;
        }
        if told || begin.elapsed() >= GRACE {
            break;
        }
    }
    tracing::warn!("k6 does not stop by itself: killed");
    kill(process).await
}

/// Kills a k6, and again, until it has ended.
pub(super) async fn kill(process: &mut dyn Process) -> Result<Exit, EngineError> {
    loop {
        tell("kill", process.kill()).await;
        tokio::select! {
            exit = process.ended() => return exit,
            () = sleep(KILL_AGAIN) => {}
        }
    }
}

/// Whether it could be told.
async fn tell(signal: &'static str, telling: impl Future<Output = Result<(), EngineError>>) -> bool {
    match timeout(TELLING, telling).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => {
            tracing::warn!(%error, kind = error.kind(), signal, "k6 could not be signalled; told again");
        }
        Err(_) => tracing::warn!(signal, "k6 could not be signalled in time; told again"),
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use async_trait::async_trait;
    use tokio::sync::Notify;
    use tokio::time::{Instant, sleep};

    use super::{GRACE, end};
    use crate::engine::{EngineError, Exit, Process};

    /// A k6 behind an engine that is away for a while.
    struct Distant {
        back: Instant,
        heeds_interrupt: bool,
        /// The engine does not answer instead of refusing.
        silent: bool,
        interrupts: u32,
        kills: u32,
        gone: Notify,
    }

    impl Distant {
        fn new(away: Duration, heeds_interrupt: bool, silent: bool) -> Self {
            let back = Instant::now() + away;
            Self { back, heeds_interrupt, silent, interrupts: 0, kills: 0, gone: Notify::new() }
        }

        async fn reached(&self) -> Result<(), EngineError> {
            if Instant::now() >= self.back {
                return Ok(());
            }
            if self.silent {
                sleep(Duration::from_secs(60)).await;
            }
            Err(EngineError::GateUnreachable("unix:///x".to_owned(), "nobody there".to_owned()))
        }
    }

    #[async_trait]
    impl Process for Distant {
        async fn ended(&mut self) -> Result<Exit, EngineError> {
            self.gone.notified().await;
            Ok(if self.kills > 0 { Exit::Killed(9) } else { Exit::Code(105) })
        }
        async fn interrupt(&mut self) -> Result<(), EngineError> {
            self.reached().await?;
            self.interrupts += 1;
            if self.heeds_interrupt {
                self.gone.notify_one();
            }
            Ok(())
        }
        async fn kill(&mut self) -> Result<(), EngineError> {
            self.reached().await?;
            self.kills += 1;
            self.gone.notify_one();
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_told_is_told_again() {
        for silent in [false, true] {
            // Back in time to stop by itself, after that, and long after it.
            for (away, heeds, exit) in [
                (0, true, Exit::Code(105)),
                (if silent { 0 } else { 2 }, true, Exit::Code(105)),
                (0, false, Exit::Killed(9)),
                (8, true, Exit::Killed(9)),
                (300, true, Exit::Killed(9)),
            ] {
                let mut k6 = Distant::new(Duration::from_secs(away), heeds, silent);
                assert_eq!(end(&mut k6).await.unwrap(), exit, "away for {away} s");
                assert!(k6.interrupts <= 1 && k6.kills <= 1);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_told_has_its_time() {
        let mut k6 = Distant::new(Duration::ZERO, false, false);
        let begin = Instant::now();
        end(&mut k6).await.unwrap();
        assert_eq!((begin.elapsed(), k6.interrupts), (GRACE, 1));
    }
}
