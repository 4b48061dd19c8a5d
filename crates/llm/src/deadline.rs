//! A total deadline for a call, from its start to the last piece of the answer.

use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::{CompletionStream, ErrorKind, LlmError, LlmProvider, ProviderName, Request};

/// A provider whose calls end within a deadline.
pub struct Deadline<P> {
    inner: P,
    limit: Duration,
}

impl<P> Deadline<P> {
    /// Calls of `inner` end within `limit`.
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
        let end = request.deadline.min(Instant::now() + self.limit);
        let request = Request { deadline: end, ..request.clone() };
        let (name, limit) = (self.name(), self.limit);
        let late = move || {
            LlmError::new(
                ErrorKind::Timeout,
                format!("{name} did not answer within {} s", limit.as_secs_f64()),
            )
        };
        let stream = timeout_at(end, self.inner.call(&request)).await.map_err(|_| late())??;
        let bounded = futures::stream::unfold(Some(stream), move |stream| async move {
            let mut stream = stream?;
            match timeout_at(end, stream.next()).await {
                Ok(Some(chunk)) => Some((chunk, Some(stream))),
                Ok(None) => None,
                Err(_) => Some((Err(late()), None)),
            }
        });
        Ok(bounded.boxed())
    }
}
