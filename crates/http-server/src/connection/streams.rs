//! The streams of HTTP/2 connections: tasks of their own, with an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listener::Limits;

/// Longest wait for streams that were cut to notice it.
const CUT_DEADLINE: Duration = Duration::from_secs(1);

/// Runs the streams of HTTP/2 connections; none outlives [`Streams::end`], nor the time for its
/// answer: who never opens its window would otherwise hold a request's place for ever, out of sight
/// of the body, which nobody asks for anything then.
#[derive(Clone)]
pub(super) struct Streams {
    tasks: TaskTracker,
    cut: CancellationToken,
    allowed: Duration,
    activity: Arc<Activity>,
}

/// What goes on on one connection.
#[derive(Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Activity {
    /// Whether there ever was a stream.
    pub(super) fn ever(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > 0
    }

    /// Resolves when no stream was open for at least this time; `first` is the time for the first
    /// one to begin.
    pub(super) async fn none(&self, first: Duration, quiet: Duration) {
        let (mut before, mut wait) = (0, first);
        loop {
            tokio::time::sleep(wait).await;
            let ended = self.ended.load(Ordering::Relaxed);
            if ended == before && ended == self.begun.load(Ordering::Relaxed) {
                return;
            }
            (before, wait) = (ended, quiet);
        }
    }
}

/// Ends a stream's part in its connection's activity, however the stream ends.
struct Open(Arc<Activity>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.activity.begun.fetch_add(1, Ordering::Relaxed);
        let open = Open(Arc::clone(&self.activity));
        let stream = timeout(self.allowed, stream);
        let stream = self.cut.clone().run_until_cancelled_owned(stream);
        self.tasks.spawn(async move {
            stream.await;
            drop(open);
        });
    }
}

impl Streams {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            allowed: limits.answer_deadline(),
            activity: Arc::default(),
        }
    }

    /// Those of one more connection, and what goes on there.
    pub(super) fn of_connection(&self) -> (Self, Arc<Activity>) {
        let activity = Arc::<Activity>::default();
        (Self { activity: Arc::clone(&activity), ..self.clone() }, activity)
    }

    /// Cuts what is left.
    pub(super) async fn end(self) {
        self.tasks.close();
        self.cut.cancel();
        let _ = timeout(CUT_DEADLINE, self.tasks.wait()).await;
    }
}
