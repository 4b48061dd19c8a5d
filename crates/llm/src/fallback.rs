//! The next provider, when one has failed for good.
//!
//! Owns the order in which providers are asked, which failures pass a request on (and counts them), and
//! which of several failures is told in the end. Each provider is told to spare an attempt for each one after
//! it ([`Trail::sparing`](crate::Trail::sparing)), by which [`crate::Retry`] leaves them attempts and
//! [`crate::Deadline`] time.
//!
//! | failure | on to the next | why |
//! |---|---|---|
//! | rate limited, overloaded, unavailable, timeout, bad answer | yes | it is that provider's |
//! | unauthorized, bad request | yes, with a warning | a wrong key or model is the operator's mistake; it should not cost the answer |
//! | context too long | yes | another model may take more |
//! | not admitted | yes | the next may be free, or cheaper |
//! | refused | no | it is an answer about the content; nobody laxer is looked for |

use std::sync::Arc;

use async_trait::async_trait;
use telemetry::Metrics;
use tokio::time::Instant;

use crate::renewed::{Renew, renewed};
use crate::{CompletionStream, ErrorKind, LlmError, LlmProvider, ProviderName, Request};

/// Providers that are asked one after the other.
pub struct Fallback {
    first: Arc<dyn LlmProvider>,
    others: Arc<[Arc<dyn LlmProvider>]>,
    metrics: Metrics,
}

impl Fallback {
    /// Asks `first`, and the `others` in their order when it fails for good.
    #[must_use]
    pub fn new(first: Arc<dyn LlmProvider>, others: Vec<Arc<dyn LlmProvider>>, metrics: Metrics) -> Self {
        Self { first, others: others.into(), metrics }
    }
}

/// Whether a failure of one provider passes the request on to the next.
const fn passes_on(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::RateLimited
        | ErrorKind::Overloaded
        | ErrorKind::Timeout
        | ErrorKind::Unavailable
        | ErrorKind::Unauthorized
        | ErrorKind::ContextTooLong
        | ErrorKind::BadRequest
        | ErrorKind::BadAnswer
        | ErrorKind::NotAdmitted => true,
        ErrorKind::Refused => false,
    }
}

/// How much a failure tells the caller, the least number the most: an answer about the content, then
/// what passes if one comes again, then what the caller can change, then the operator's mistakes.
const fn rank(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Refused => 0,
        ErrorKind::RateLimited | ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::Timeout => 1,
        ErrorKind::NotAdmitted => 2,
        ErrorKind::ContextTooLong => 3,
        ErrorKind::BadAnswer => 4,
        ErrorKind::Unauthorized | ErrorKind::BadRequest => 5,
    }
}

/// The more telling of two failures; of two that are alike the earlier, whose provider was wanted
/// more, with the sooner of their waits.
fn more_telling(earlier: Option<LlmError>, later: LlmError) -> LlmError {
    let Some(mut earlier) = earlier else { return later };
    if rank(later.kind) < rank(earlier.kind) {
        return later;
    }
    if rank(later.kind) == rank(earlier.kind)
        && let (Some(wait), Some(other)) = (earlier.retry_after, later.retry_after)
    {
        earlier.retry_after = Some(wait.min(other));
    }
    earlier
}

/// One request on its way along the providers.
struct Asking {
    others: Arc<[Arc<dyn LlmProvider>]>,
    metrics: Metrics,
    /// Who was asked last.
    here: ProviderName,
    /// How many of the others have been asked.
    asked: usize,
    request: Request,
    failure: Option<LlmError>,
}

impl Asking {
    /// The request as the next provider gets it.
    fn request(&self) -> Request {
        let after = u32::try_from(self.others.len() - self.asked).unwrap_or(u32::MAX);
        Request { trail: self.request.trail.sparing(after), ..self.request.clone() }
    }

    /// Asks the remaining providers, after one has failed, until an answer begins.
    async fn go_on(&mut self, mut failure: LlmError) -> Result<CompletionStream, LlmError> {
        loop {
            let on = passes_on(failure.kind);
            let reason = failure.kind();
            let most_telling = more_telling(self.failure.take(), failure);
            let Some(next) = self.others.get(self.asked).filter(|_| on).cloned() else {
                return Err(most_telling);
            };
            if !self.request.trail.has_budget() || Instant::now() >= self.request.deadline {
                return Err(most_telling);
            }
            let (from, to) = (std::mem::replace(&mut self.here, next.name()), next.name());
            tracing::warn!(
                provider = from.as_str(),
                error.r#type = reason,
                next = to.as_str(),
                "an LLM provider failed for good and the next one is asked"
            );
            // Here and not with the attempts: who is left alone by its breaker makes none.
            self.metrics.llm_fell_back(from.as_str(), to.as_str(), reason);
            self.failure = Some(most_telling);
            self.asked += 1;
            match next.call(&self.request()).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
    }
}

#[async_trait]
impl Renew for Asking {
    async fn renew(&mut self, failure: LlmError) -> Result<CompletionStream, LlmError> {
        self.go_on(failure).await
    }
}

#[async_trait]
impl LlmProvider for Fallback {
    fn name(&self) -> ProviderName {
        self.first.name()
    }

    fn model(&self) -> &str {
        self.first.model()
    }

    async fn call(&self, request: &Request) -> Result<CompletionStream, LlmError> {
        let mut asking = Asking {
            others: Arc::clone(&self.others),
            metrics: self.metrics.clone(),
            here: self.name(),
            asked: 0,
            request: request.clone(),
            failure: None,
        };
        let stream = match self.first.call(&asking.request()).await {
            Ok(stream) => stream,
            Err(error) => asking.go_on(error).await?,
        };
        Ok(renewed(stream, asking))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use futures::StreamExt;
    use telemetry::Metrics;
    use tokio::time::{Instant, timeout};

    use super::Fallback;
    use crate::script::{Act, Scripted, request};
    use crate::{ErrorKind, LlmProvider, ProviderName, complete};

    /// Providers that each do one act, in a row.
    fn row(acts: &[Act]) -> (Fallback, Vec<Arc<Scripted>>) {
        let names = [ProviderName::Claude, ProviderName::OpenAi, ProviderName::Ollama];
        let providers: Vec<_> = acts
            .iter()
            .zip(names)
            .map(|(act, name)| Arc::new(Scripted::new([act.clone()]).named(name)))
            .collect();
        let mut row = providers.iter().map(|provider| Arc::clone(provider) as Arc<dyn LlmProvider>);
        let first = row.next().unwrap();
        (Fallback::new(first, row.collect(), Metrics::unregistered()), providers)
    }

    fn fail(kind: ErrorKind) -> Act {
        Act::Fail(kind, None)
    }

    const ALL: [ErrorKind; 10] = [
        ErrorKind::RateLimited,
        ErrorKind::Overloaded,
        ErrorKind::Timeout,
        ErrorKind::Unavailable,
        ErrorKind::Unauthorized,
        ErrorKind::Refused,
        ErrorKind::ContextTooLong,
        ErrorKind::BadRequest,
        ErrorKind::BadAnswer,
        ErrorKind::NotAdmitted,
    ];

    #[tokio::test(start_paused = true)]
    async fn every_failure_but_a_refusal_passes_a_request_on() {
        for kind in ALL {
            for act in [fail(kind), Act::Break(0, kind), Act::Break(2, kind)] {
                // Who was not let in leaves the number.
                let text = match act {
                    Act::Fail(ErrorKind::NotAdmitted, _) => "1.0 1.1 ",
                    _ => "2.0 2.1 ",
                };
                let (row, providers) = row(&[act, Act::Answer]);
                let answer = complete(&row, &request(3, 50)).await;
                if kind == ErrorKind::Refused {
                    assert_eq!(answer.unwrap_err().kind, kind);
                    assert!(providers[1].seen().is_empty());
                } else {
                    let answer = answer.unwrap();
                    assert_eq!(
                        (answer.text.as_str(), answer.beginning.provider),
                        (text, ProviderName::OpenAi)
                    );
                }
                assert!(providers.iter().all(|provider| provider.under_way() == 0));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_telling_failure_is_told() {
        let cases = [
            ([ErrorKind::Unauthorized, ErrorKind::Overloaded], ErrorKind::Overloaded),
            ([ErrorKind::Overloaded, ErrorKind::Unauthorized], ErrorKind::Overloaded),
            ([ErrorKind::RateLimited, ErrorKind::Timeout], ErrorKind::RateLimited),
            ([ErrorKind::Timeout, ErrorKind::RateLimited], ErrorKind::Timeout),
            ([ErrorKind::NotAdmitted, ErrorKind::Unavailable], ErrorKind::Unavailable),
            ([ErrorKind::Unavailable, ErrorKind::Refused], ErrorKind::Refused),
            ([ErrorKind::ContextTooLong, ErrorKind::BadRequest], ErrorKind::ContextTooLong),
            ([ErrorKind::BadRequest, ErrorKind::BadAnswer], ErrorKind::BadAnswer),
        ];
        for (kinds, told) in cases {
            let (row, _) = row(&kinds.map(fail));
            assert_eq!(complete(&row, &request(3, 50)).await.unwrap_err().kind, told, "{kinds:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_sooner_wait_is_told() {
        let wait = |seconds| Act::Fail(ErrorKind::RateLimited, Some(Duration::from_secs(seconds)));
        let (row, _) = row(&[wait(30), wait(5), fail(ErrorKind::Unavailable)]);
        let error = complete(&row, &request(3, 50)).await.unwrap_err();
        assert_eq!(error.retry_after, Some(Duration::from_secs(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_asked_without_an_attempt_left() {
        let (row, providers) = row(&[fail(ErrorKind::Timeout), fail(ErrorKind::Timeout), Act::Answer]);
        complete(&row, &request(2, 50)).await.unwrap_err();
        assert_eq!(providers.iter().map(|provider| provider.seen().len()).collect::<Vec<_>>(), [1, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_let_in_leaves_the_attempt_to_the_next() {
        let (row, _) = row(&[fail(ErrorKind::NotAdmitted), fail(ErrorKind::NotAdmitted), Act::Answer]);
        let answer = complete(&row, &request(1, 50)).await.unwrap();
        assert_eq!((answer.beginning.provider, answer.text.as_str()), (ProviderName::Ollama, "1.0 1.1 "));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stalls_leaves_time_for_those_after_it() {
        use crate::Deadline;
        let limit = Duration::from_secs(30);
        for stall in [Act::Hang, Act::StallAfter(2)] {
            let acts = [stall.clone(), stall, Act::Drip(Duration::from_secs(1), 9)];
            let providers = acts.map(|act| Arc::new(Deadline::new(Scripted::new([act]), limit)));
            let mut row = providers.iter().map(|provider| Arc::clone(provider) as Arc<dyn LlmProvider>);
            let row = Deadline::new(
                Fallback::new(row.next().unwrap(), row.collect(), Metrics::unregistered()),
                limit,
            );
            let started = Instant::now();
            complete(&row, &request(3, 60)).await.unwrap();
            assert_eq!(started.elapsed().as_secs(), 10 + 10 + 9);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_it_ends_everything() {
        let (row, providers) = row(&[Act::Break(1, ErrorKind::Unavailable), Act::Hang, Act::Answer]);
        let mut stream = row.call(&request(3, 50)).await.unwrap();
        for _ in 0..2 {
            stream.next().await.unwrap().unwrap();
        }
        timeout(Duration::from_secs(5), stream.next()).await.unwrap_err();
        assert_eq!((providers[0].under_way(), providers[1].under_way()), (0, 1));
        drop(stream);
        assert_eq!((providers[1].under_way(), providers[2].seen().len()), (0, 0));
    }
}
