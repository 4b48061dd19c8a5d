//! A socket that notices when its client does not read.
//!
//! Owns the deadline for that, and tells the parts of a connection that must not take a client for
//! silent, or a connection for idle, while an answer is on its way. Must not know HTTP or TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::Timer;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep, sleep_until};

use super::reset::Reset;

/// Whether bytes wait that the client has not made room for.
#[derive(Default)]
pub(super) struct Blocked {
    now: AtomicBool,
    freed: Notify,
}

impl Blocked {
    fn is(&self) -> bool {
        self.now.load(Ordering::Relaxed)
    }

    /// Resolves when nothing waits.
    pub(super) async fn over(&self) {
        while self.is() {
            self.freed.notified().await;
        }
    }
}

/// A TCP connection on which a write must get on within its time.
pub(super) struct Socket {
    stream: TcpStream,
    allowed: Duration,
    blocked: Arc<Blocked>,
    reset: Reset,
    /// Runs while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, allowed: Duration) -> Self {
        // Small answers should leave at once; without it they are only slower.
        let _ = stream.set_nodelay(true);
        Self { stream, allowed, blocked: Arc::default(), reset: Reset::default(), timer: None }
    }

    pub(super) fn blocked(&self) -> Arc<Blocked> {
        Arc::clone(&self.blocked)
    }

    pub(super) fn reset(&self) -> Reset {
        self.reset.clone()
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() {
            if self.timer.take().is_some() {
                self.blocked.now.store(false, Ordering::Relaxed);
                self.blocked.freed.notify_one();
            }
            return outcome;
        }
        let timer = self.timer.get_or_insert_with(|| {
            self.blocked.now.store(true, Ordering::Relaxed);
            Box::pin(sleep(self.allowed))
        });
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.asked() {
            // Where the kernel refuses, the connection is closed instead.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.written(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // TCP keeps nothing back that could be flushed.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A goodbye would come before the reset.
        if self.reset.asked() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Times heads of HTTP/1 requests: hyper waits for the next as soon as it has buffered the answer to
/// the last, and must not cut a client that is still reading that.
#[derive(Clone)]
pub(super) struct HeadTimer {
    pub(super) allowed: Duration,
    pub(super) blocked: Arc<Blocked>,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HeadSleep { sleep: sleep(duration), timer: self.clone() })
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(HeadSleep { sleep: sleep_until(deadline.into()), timer: self.clone() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

pin_project! {
    /// Begins anew where the client is still reading.
    struct HeadSleep {
        #[pin]
        sleep: Sleep,
        timer: HeadTimer,
    }
}

impl hyper::rt::Sleep for HeadSleep {}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            ready!(this.sleep.as_mut().poll(context));
            if !this.timer.blocked.is() {
                return Poll::Ready(());
            }
            let next = tokio::time::Instant::now() + this.timer.allowed;
            this.sleep.as_mut().reset(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use hyper::rt::Timer;
    use tokio::time::timeout;

    use super::{Blocked, HeadTimer};

    #[tokio::test]
    async fn nobody_is_silent_who_still_reads_and_a_stop_waits_for_it() {
        let (short, patience) = (Duration::from_millis(20), Duration::from_secs(20));
        let blocked = Arc::<Blocked>::default();
        let timer = HeadTimer { allowed: short, blocked: Arc::clone(&blocked) };
        blocked.now.store(true, Ordering::Relaxed);
        let mut silence = timer.sleep(short);
        assert!(timeout(short * 10, &mut silence).await.is_err(), "it was cut while it was reading");
        assert!(timeout(short, blocked.over()).await.is_err(), "the stop did not wait");
        blocked.now.store(false, Ordering::Relaxed);
        blocked.freed.notify_one();
        timeout(patience, silence).await.expect("the deadline does not come");
        timeout(patience, blocked.over()).await.expect("the stop waits for ever");
    }
}
