//! A total deadline for a call, from its start to the last piece of the answer, and the longest
//! silence in it.
//!
//! It stands twice around a provider. Outermost it bounds all attempts, their waits and admissions.
//! Innermost, around the adapter, it ends one attempt where [`crate::Observed`] and
//! [`crate::Breaker`] see a timeout and not a caller that went away; there it also shares the time:
//! while attempts are spared for other providers ([`crate::Trail::sparing`]), this one may be silent
//! for an equal share of the time left only, so that one that stalls, before its first word or in
//! the middle of its answer, leaves time for the next. One that keeps talking has all of the time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::{Chunk, CompletionStream, ErrorKind, LlmError, LlmProvider, ProviderName, Request};

/// A silence as short as this (or an eighth of the whole time) is no stall.
const SHORTEST_SILENCE: Duration = Duration::from_secs(2);

/// The clock is asked once in so many chunks that come without a wait.
const CLOCK_EVERY: u32 = 64;

/// A provider whose calls end within a deadline.
pub struct Deadline<P> {
    inner: P,
    limit: Duration,
}

impl<P> Deadline<P> {
    /// Calls of `inner` end within `limit`, or at their request's deadline if that is earlier.
    pub const fn new(inner: P, limit: Duration) -> Self {
        Self { inner, limit }
    }
}

#[async_trait]
impl<P: LlmProvider> LlmProvider for Deadline<P> {
    fn name(&self) -> ProviderName {
        self.inner.name()
    }

    fn model(&self) -> &str {
        self.inner.model()
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let begun = Instant::now();
        let end = request.deadline.min(begun + self.limit);
        let time = Time { provider: self.name(), begun, end, others: request.trail.spared() };
        let due = time.due(begun);
        let trail = request.trail.answered_by(due);
        let request = Request { deadline: end, trail, ..request.clone() };
        let inner = timeout_at(due, self.inner.call(&request)).await.map_err(|_| time.late(due))??;
        let stream = Bounded {
            inner: Some(inner),
            time,
            silent_since: begun,
            handed_over: true,
            unasked: 0,
            timer: None,
        };
        Ok(stream.boxed())
    }
}

/// The time of one call.
struct Time {
    provider: ProviderName,
    begun: Instant,
    end: Instant,
    /// Providers that may still be asked after this one.
    others: u32,
}

impl Time {
    /// When a silence that began `since` has lasted too long.
    fn due(&self, since: Instant) -> Instant {
        let whole = self.end.saturating_duration_since(self.begun);
        let share = self.end.saturating_duration_since(since) / (self.others + 1);
        // Late in an answer the share is so short that an ordinary pause between two words would
        // break it off, for another provider that had no time left anyway.
        self.end.min(since + share.max(SHORTEST_SILENCE.min(whole / 8)))
    }

    fn late(&self, due: Instant) -> LlmError {
        let provider = self.provider;
        let detail = if due < self.end {
            format!("{provider} was silent for too long; the time left is for another provider")
        } else {
            let limit = self.end.saturating_duration_since(self.begun).as_secs_f64();
            format!("{provider} did not answer within {limit:.1} s")
        };
        LlmError::new(ErrorKind::Timeout, detail)
    }
}

/// An answer that ends in time.
struct Bounded {
    inner: Option<CompletionStream>,
    time: Time,
    silent_since: Instant,
    /// Whether the reader has had a chunk since the last poll: its own pause is no silence.
    handed_over: bool,
    /// Chunks since the clock was asked.
    unasked: u32,
    /// Set when there is something to wait for, to a time that is never later than it has to be.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Bounded {
    fn late(&mut self, due: Instant) -> Poll<Option<Result<Chunk, LlmError>>> {
        self.inner = None;
        Poll::Ready(Some(Err(self.time.late(due))))
    }
}

impl Stream for Bounded {
    type Item = Result<Chunk, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match inner.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                this.handed_over = true;
                // One that is never waited for meets no timer.
                this.unasked += 1;
                if this.unasked >= CLOCK_EVERY {
                    this.unasked = 0;
                    if Instant::now() >= this.time.end && !matches!(chunk, Chunk::End(_)) {
                        return this.late(this.time.end);
                    }
                }
                return Poll::Ready(Some(Ok(chunk)));
            }
            Poll::Ready(ended) => {
                this.inner = None;
                return Poll::Ready(ended);
            }
            Poll::Pending => {}
        }
        this.unasked = 0;
        let mut now = Instant::now();
        if std::mem::take(&mut this.handed_over) {
            this.silent_since = now;
        }
        let due = this.time.due(this.silent_since);
        loop {
            if now >= due {
                return this.late(due);
            }
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            ready!(timer.as_mut().poll(cx));
            // It was set for an earlier silence, or this one is over.
            timer.as_mut().reset(due);
            now = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use tokio::time::{Instant, sleep};

    use super::Deadline;
    use crate::script::{Act, Scripted, request};
    use crate::{Chunk, ErrorKind, LlmProvider, complete};

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_the_earlier_of_both_deadlines() {
        for (limit, of_request, seconds) in [(10, 30, 10), (30, 10, 10)] {
            let provider = Deadline::new(Scripted::new([Act::Hang]), Duration::from_secs(limit));
            let started = Instant::now();
            let error = complete(&provider, &request(1, of_request)).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Timeout);
            assert_eq!(started.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_never_stops_talking_ends_too() {
        let provider = Deadline::new(Scripted::new([Act::Drip(Duration::from_secs(1), 1_000)]), LIMIT);
        let started = Instant::now();
        let error = complete(&provider, &request(1, 60)).await.unwrap_err();
        assert_eq!((error.kind, started.elapsed().as_secs()), (ErrorKind::Timeout, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_cut_to_a_share_while_others_may_be_asked() {
        let acts = [Act::Hang, Act::StallAfter(1), Act::StallAfter(3)];
        for act in acts {
            let provider = Deadline::new(Scripted::new([act.clone()]), LIMIT);
            let mut request = request(2, 60);
            request.trail = request.trail.sparing(1);
            let started = Instant::now();
            assert_eq!(complete(&provider, &request).await.unwrap_err().kind, ErrorKind::Timeout);
            assert_eq!(started.elapsed().as_secs(), 5, "{act:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_keeps_talking_has_all_of_the_time() {
        let provider = Deadline::new(Scripted::new([Act::Drip(Duration::from_millis(900), 10)]), LIMIT);
        let mut request = request(3, 60);
        request.trail = request.trail.sparing(2);
        assert!(complete(&provider, &request).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_pauses_of_its_reader_are_no_silence_of_the_provider() {
        let provider = Deadline::new(Scripted::new([Act::Drip(Duration::from_millis(100), 3)]), LIMIT);
        let mut request = request(2, 60);
        request.trail = request.trail.sparing(1);
        let mut stream = provider.call(&request).await.unwrap();
        sleep(Duration::from_secs(6)).await;
        let mut last = None;
        while let Some(chunk) = stream.next().await {
            last = Some(chunk.unwrap());
        }
        assert!(matches!(last, Some(Chunk::End(_))));
    }
}
