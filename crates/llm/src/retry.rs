//! Another attempt of the same provider, when it is worth one.
//!
//! Owns which failures are tried again and how long to wait before. Failures in the middle of an
//! answer are tried again too: the next attempt's [`Chunk::Begun`](crate::Chunk::Begun) voids what
//! was said. The budget of attempts is the request's [`Trail`](crate::Trail), of which
//! [`crate::Observed`] takes; some of it may be spared for other providers.
//!
//! | failure | again | why |
//! |---|---|---|
//! | rate limited, overloaded | yes | it passes; `Retry-After` is the least wait |
//! | unavailable | yes | a restart or a lost connection; the next one may reach another machine |
//! | bad answer | yes | mostly a stream that was cut; one that is no protocol at all mostly comes from a proxy in between |
//! | timeout | unless another provider may be asked | who is slow now is slow again, and the time is better spent there |
//! | unauthorized, bad request, context too long | no | the same question gets the same answer |
//! | refused | no | it is an answer |
//! | not admitted | no | the limits are our own |
//!
//! A call for which no attempt was made (its breaker is open, its budget is used up, our limits did not
//! let it in) is not tried again either: that is for whoever said no. What an attempt before it met is told
//! rather than that.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::renewed::{Renew, renewed};
use crate::{CompletionStream, ErrorKind, LlmError, LlmProvider, ProviderName, Request};

/// How long to wait between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Longest wait before the second attempt; twice as long before each one after.
    pub base: Duration,
    /// Longest wait of our own choice.
    pub cap: Duration,
    /// Time that has to be left for an answer after the wait.
    pub rest: Duration,
    /// Longest wait that a provider may ask for while another one may be asked instead.
    pub patience: Duration,
}

impl Default for Backoff {
    /// 200 ms, doubled up to 5 s; a second for an answer; two seconds of patience.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(200),
            cap: Duration::from_secs(5),
            rest: Duration::from_secs(1),
            patience: Duration::from_secs(2),
        }
    }
}

impl Backoff {
    /// The wait after the `failures`th failure in a row, by a `roll` from 0 to 1: anything up to the
    /// doubled base ("full jitter", so that callers that failed together do not come back together:
    /// Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). What the provider asked
    /// for is the least, and a tenth of it is jitter on top.
    fn wait(&self, failures: u32, asked: Option<Duration>, roll: f64) -> Duration {
        let own = self
            .base
            .saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)))
            .min(self.cap)
            .mul_f64(roll);
        match asked {
            None => own,
            Some(asked) => asked.saturating_add((asked / 10).min(self.cap).mul_f64(roll)).max(own),
        }
    }
}

/// A provider that is asked again.
pub struct Retry<P> {
    inner: Arc<P>,
    backoff: Backoff,
}

impl<P> Retry<P> {
    /// Asks `inner` again while attempts are left.
    pub fn new(inner: P, backoff: Backoff) -> Self {
        Self { inner: Arc::new(inner), backoff }
    }
}

/// One request to one provider.
struct Asking<P> {
    inner: Arc<P>,
    backoff: Backoff,
    request: Request,
    failures: u32,
}

impl<P: LlmProvider> Asking<P> {
    /// Asks until an answer begins or it is not worth another attempt. `failure` is that of the
    /// attempt before, if there was one.
    async fn ask(&mut self, mut failure: Option<LlmError>) -> Result<CompletionStream, LlmError> {
        loop {
            if let Some(failure) = &failure {
                match self.wait(failure) {
                    Some(wait) => sleep(wait).await,
                    None => return Err(failure.clone()),
                }
            }
            let begun = self.request.trail.begun();
            match self.inner.call(&self.request).await {
                Ok(stream) => return Ok(stream),
                Err(error) if self.request.trail.begun() == begun => {
                    // Nobody was asked, by a breaker's or our own limits' word: what the attempt before
                    // met says more.
                    return Err(failure.unwrap_or(error));
                }
                Err(error) => failure = Some(error),
            }
        }
    }

    /// How long to wait after this failure; none when it is not worth another attempt.
    fn wait(&mut self, failure: &LlmError) -> Option<Duration> {
        self.failures += 1;
        let Request { trail, deadline, .. } = &self.request;
        let others = trail.spared() > 0;
        if !worth_another(failure.kind, others) || !trail.has_budget() {
            return None;
        }
        let wait = self.backoff.wait(self.failures, failure.retry_after, rand::random());
        if others && wait > self.backoff.patience {
            return None;
        }
        if wait.saturating_add(self.backoff.rest) > deadline.saturating_duration_since(Instant::now()) {
            return None;
        }
        tracing::info!(
            provider = self.inner.name().as_str(),
            error.r#type = failure.kind(),
            attempts = trail.begun(),
            wait_ms = wait.as_millis(),
            "an LLM provider failed and is asked again"
        );
        Some(wait)
    }
}

/// Whether a failure may pass by itself.
const fn worth_another(kind: ErrorKind, others: bool) -> bool {
    match kind {
        ErrorKind::RateLimited | ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::BadAnswer => {
            true
        }
        ErrorKind::Timeout => !others,
        ErrorKind::Unauthorized
        | ErrorKind::Refused
        | ErrorKind::ContextTooLong
        | ErrorKind::BadRequest
        | ErrorKind::NotAdmitted => false,
    }
}

#[async_trait]
impl<P: LlmProvider + 'static> Renew for Asking<P> {
    async fn renew(&mut self, failure: LlmError) -> Result<CompletionStream, LlmError> {
        self.ask(Some(failure)).await
    }
}

#[async_trait]
impl<P: LlmProvider + 'static> LlmProvider for Retry<P> {
    fn name(&self) -> ProviderName {
        self.inner.name()
    }

    fn model(&self) -> &str {
        self.inner.model()
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let mut asking = Asking {
            inner: Arc::clone(&self.inner),
            backoff: self.backoff,
            request: request.clone(),
            failures: 0,
        };
        let stream = asking.ask(None).await?;
        Ok(renewed(stream, asking))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::StreamExt;
    use proptest::prelude::*;
    use tokio::time::{Instant, timeout};

    use super::{Backoff, Retry};
    use crate::script::{Act, Scripted, request};
    use crate::{Chunk, ErrorKind, LlmProvider, complete};

    fn retry(acts: impl IntoIterator<Item = Act>) -> (Retry<Arc<Scripted>>, Arc<Scripted>) {
        let provider = Arc::new(Scripted::new(acts));
        (Retry::new(Arc::clone(&provider), Backoff::default()), provider)
    }

    fn fail(kind: ErrorKind) -> Act {
        Act::Fail(kind, None)
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_may_pass_is_tried_again() {
        let again = [
            ErrorKind::RateLimited,
            ErrorKind::Overloaded,
            ErrorKind::Unavailable,
            ErrorKind::BadAnswer,
            ErrorKind::Timeout,
        ];
        let never = [
            ErrorKind::Unauthorized,
            ErrorKind::Refused,
            ErrorKind::ContextTooLong,
            ErrorKind::BadRequest,
            ErrorKind::NotAdmitted,
        ];
        for kind in again.into_iter().chain(never) {
            for act in [fail(kind), Act::Break(0, kind), Act::Break(2, kind)] {
                let (retry, provider) = retry([act.clone()]);
                let answer = complete(&retry, &request(3, 50)).await;
                if never.contains(&kind) {
                    assert_eq!((answer.unwrap_err().kind, provider.seen().len()), (kind, 1), "{act:?}");
                } else {
                    assert_eq!(
                        (answer.unwrap().text.as_str(), provider.seen().len()),
                        ("2.0 2.1 ", 2),
                        "{act:?}"
                    );
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_of_attempts_is_kept_and_what_is_spared_is_left() {
        for (budget, spared, made) in [(1, 0, 1), (3, 0, 3), (3, 1, 2), (3, 2, 1), (1, 3, 1)] {
            let (retry, provider) = retry(std::iter::repeat_n(fail(ErrorKind::Unavailable), 9));
            let mut request = request(budget, 50);
            request.trail = request.trail.sparing(spared);
            let error = complete(&retry, &request).await.unwrap_err();
            assert_eq!((error.kind, provider.seen().len()), (ErrorKind::Unavailable, made));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_limits_do_not_hide_what_went_wrong_before() {
        for failed in [fail(ErrorKind::Unavailable), Act::Break(2, ErrorKind::Unavailable)] {
            let (retry, provider) = retry([failed, fail(ErrorKind::NotAdmitted)]);
            let request = request(3, 50);
            let error = complete(&retry, &request).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable);
            assert_eq!((provider.seen().len(), request.trail.begun()), (2, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_asked_for_is_the_least() {
        let wait = Duration::from_secs(7);
        let (retry, provider) = retry([Act::Fail(ErrorKind::RateLimited, Some(wait))]);
        complete(&retry, &request(3, 50)).await.unwrap();
        let seen = provider.seen();
        let waited = seen[1].at - seen[0].at;
        assert!(waited >= wait && waited < wait + Duration::from_secs(1), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_does_not_fit_is_not_begun() {
        for (asked, spared) in [(50, 0), (49, 0), (u64::MAX, 0), (3, 1)] {
            let asked = Duration::from_secs(asked);
            let (retry, provider) = retry([Act::Fail(ErrorKind::RateLimited, Some(asked))]);
            let mut request = request(3, 50);
            request.trail = request.trail.sparing(spared);
            let started = Instant::now();
            let error = complete(&retry, &request).await.unwrap_err();
            assert_eq!((error.kind, error.retry_after), (ErrorKind::RateLimited, Some(asked)));
            assert_eq!((started.elapsed(), provider.seen().len()), (Duration::ZERO, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_is_left_to_another_provider_if_there_is_one() {
        let (retry, provider) = retry([fail(ErrorKind::Timeout)]);
        let mut request = request(3, 50);
        request.trail = request.trail.sparing(1);
        complete(&retry, &request).await.unwrap_err();
        assert_eq!(provider.seen().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_breaks_off_begins_anew_with_its_own_beginning() {
        let (retry, provider) = retry([Act::Break(2, ErrorKind::BadAnswer)]);
        let stream = retry.call(&request(3, 50)).await.unwrap();
        let chunks: Vec<Chunk> = stream.map(Result::unwrap).collect().await;
        let told: Vec<String> = chunks
            .into_iter()
            .map(|chunk| match chunk {
                Chunk::Begun(begun) => format!("begun {}", begun.request_id.unwrap()),
                Chunk::Text(text) => text,
                Chunk::End(_) => "end".to_owned(),
            })
            .collect();
        assert_eq!(told, ["begun 1", "1.0 ", "1.1 ", "begun 2", "2.0 ", "2.1 ", "end"]);
        assert_eq!(provider.under_way(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_in_a_wait_it_asks_nobody_any_more() {
        let acts = || [Act::Fail(ErrorKind::Overloaded, Some(Duration::from_secs(9)))];
        let (first, provider) = retry(acts());
        let asked = request(3, 50);
        timeout(Duration::from_secs(1), complete(&first, &asked)).await.unwrap_err();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!((provider.seen().len(), provider.under_way()), (1, 0));

        let (second, provider) = retry([Act::Break(1, ErrorKind::Unavailable)]);
        let mut stream = second.call(&request(3, 50)).await.unwrap();
        for _ in 0..2 {
            stream.next().await.unwrap().unwrap();
        }
        assert!(futures::poll!(stream.next()).is_pending(), "it waits before the second attempt");
        assert_eq!(provider.under_way(), 0, "the broken answer was not let go");
        drop(stream);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(provider.seen().len(), 1);
    }

    proptest! {
        #[test]
        fn waits_lie_within_their_bounds(failures in 1_u32..200, asked in proptest::option::of(any::<u64>()), roll in 0.0..1.0_f64) {
            let backoff = Backoff::default();
            let asked = asked.map(Duration::from_millis);
            let wait = backoff.wait(failures, asked, roll);
            let own = backoff.base.saturating_mul(2_u32.saturating_pow(failures - 1)).min(backoff.cap);
            prop_assert!(wait >= asked.unwrap_or_default());
            prop_assert!(wait <= own.max(asked.unwrap_or_default().saturating_add(backoff.cap)));
            prop_assert!(backoff.wait(failures, None, 0.0).is_zero());
        }
    }
}
