//! An answer that is begun anew when it breaks off.
//!
//! Owns the stream that [`crate::Retry`] and [`crate::Fallback`] hand out: the broken answer is let go
//! before the next is asked for, and what is asked for later belongs to the caller's span. Must not know
//! which failures are worth another answer, or whose: that is [`Renew`]'s.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use tracing::{Instrument, Span};

use crate::{Chunk, CompletionStream, LlmError};

/// Who begins an answer anew.
#[async_trait]
pub(crate) trait Renew: Send + 'static {
    /// Begins another answer after this failure, or says what is told in the end.
    async fn renew(&mut self, failure: LlmError) -> Result<CompletionStream, LlmError>;
}

/// `answer`, which `asking` begins anew as long as it will.
pub(crate) fn renewed(answer: CompletionStream, asking: impl Renew) -> CompletionStream {
    Renewed { state: State::Answering(answer, asking), span: Span::current() }.boxed()
}

struct Renewed<A> {
    state: State<A>,
    /// The caller's, in which later attempts belong too, wherever the answer is read.
    span: Span,
}

enum State<A> {
    Answering(CompletionStream, A),
    Asking(BoxFuture<'static, (Result<CompletionStream, LlmError>, A)>),
    Done,
}

impl<A> Unpin for Renewed<A> {}

impl<A: Renew> Stream for Renewed<A> {
    type Item = Result<Chunk, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Answering(answer, _) => match ready!(answer.poll_next_unpin(cx)) {
                    Some(Err(failure)) => {
                        let State::Answering(answer, mut asking) =
                            std::mem::replace(&mut this.state, State::Done)
                        else {
                            return Poll::Ready(None);
                        };
                        drop(answer);
                        let next = async move { (asking.renew(failure).await, asking) };
                        this.state = State::Asking(next.instrument(this.span.clone()).boxed());
                    }
                    chunk => return Poll::Ready(chunk),
                },
                State::Asking(next) => {
                    let (asked, asking) = ready!(next.poll_unpin(cx));
                    match asked {
                        Ok(answer) => this.state = State::Answering(answer, asking),
                        Err(failure) => {
                            this.state = State::Done;
                            return Poll::Ready(Some(Err(failure)));
                        }
                    }
                }
                State::Done => return Poll::Ready(None),
            }
        }
    }
}
