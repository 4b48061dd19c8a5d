//! A request's body with a deadline: a client that sends it slowly must not hold a request for ever.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

/// The body did not arrive whole in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body did not arrive within {} s", .0.as_secs_f64())]
pub(crate) struct TooSlow(Duration);

impl TooSlow {
    /// The deadline that was missed, if that is what an error is about.
    pub(crate) fn cause(error: &(dyn Error + 'static)) -> Option<Duration> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(Self(deadline)) = error.downcast_ref() {
                return Some(*deadline);
            }
            cause = error.source();
        }
        None
    }
}

/// A body under its deadline. A body that is there already costs no timer.
pub(crate) struct Arriving {
    inner: Incoming,
    allowed: Duration,
    by: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    /// `inner`, which must end within this time from now.
    pub(crate) fn new(inner: Incoming, allowed: Duration) -> Self {
        Self { inner, allowed, by: Instant::now() + allowed, timer: None }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        // Even one that trickles in without a pause is too slow at some point.
        if Instant::now() >= this.by && !this.inner.is_end_stream() {
            return Poll::Ready(Some(Err(TooSlow(this.allowed).into())));
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let by = this.by;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(by)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(TooSlow(this.allowed).into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
