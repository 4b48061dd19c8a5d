//! What of a call only its HTTP exchange shows, and the SDK's answers and errors do not: the status, the
//! headers, where it was sent; and the bounds of what is read.
//!
//! Owns that look into the exchange. Must not know what a body says.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_bedrockruntime::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef,
};
use aws_sdk_bedrockruntime::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_bedrockruntime::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use telemetry::{Metrics, OutgoingRequest};
use tokio::time::{Instant, Sleep};

use crate::endpoint::{
    LONGEST_REFUSAL, REFUSAL_DEADLINE, SIMULATED_HEADER, request_id, retry_after, upstream,
};

/// Bytes of an answer at most, whatever is asked for.
const SHORTEST_BOUND: usize = 1 << 20;
/// Bytes of an answer that a token takes at most: an event with its padding.
const BYTES_A_TOKEN: usize = 1 << 10;
/// The header that names the exception (AWS `restJson1` protocol, "Operation error serialization").
const EXCEPTION_HEADER: &str = "x-amzn-errortype";

/// The exchange of one call. Clones are the same.
#[derive(Clone)]
pub(super) struct Exchange {
    trace: HeaderMap,
    longest_answer: usize,
    seen: Arc<Mutex<Seen>>,
    /// Where it is counted, if anywhere.
    metrics: Option<Metrics>,
    /// The request, from its sending to the head of its answer.
    due: Option<Instant>,
    sent: Arc<Mutex<Option<OutgoingRequest>>>,
}

/// What was seen of it so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// `scheme://host:port` that it was sent to.
    pub(super) place: String,
    pub(super) status: Option<u16>,
    pub(super) request_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// The name of the exception in the head.
    pub(super) exception: Option<String>,
    pub(super) simulated: bool,
}

impl Exchange {
    /// An exchange in the current span, for an answer of so many tokens.
    pub(super) fn new(max_output_tokens: u32) -> Self {
        let mut trace = HeaderMap::new();
        telemetry::inject_trace_context(&mut trace);
        Self::with_trace(trace, max_output_tokens)
    }

    /// An exchange that sends these headers along.
    pub(super) fn with_trace(trace: HeaderMap, max_output_tokens: u32) -> Self {
        let tokens = usize::try_from(max_output_tokens).unwrap_or(usize::MAX);
        let longest_answer = SHORTEST_BOUND.saturating_add(tokens.saturating_mul(BYTES_A_TOKEN));
        Self { trace, longest_answer, seen: Arc::default(), metrics: None, due: None, sent: Arc::default() }
    }

    /// The same, counted there.
    /// It is late where it has not begun by `due`.
    pub(super) fn counted_in(self, metrics: Option<&Metrics>, due: Option<Instant>) -> Self {
        Self { metrics: metrics.cloned(), due, ..self }
    }

    /// There was no answer, for a reason of this kind; or there was, and this changes nothing.
    pub(super) fn unanswered(&self, kind: &'static str) {
        if let Some(sent) = self.take_sent() {
            sent.failed(kind);
        }
    }

    fn take_sent(&self) -> Option<OutgoingRequest> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> Seen {
        self.look(|seen| seen.clone())
    }

    fn look<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exchange").finish_non_exhaustive()
    }
}

impl Intercept for Exchange {
    fn name(&self) -> &'static str {
        "Exchange"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        for (name, value) in &self.trace {
            if let Ok(value) = value.to_str() {
                context.request_mut().headers_mut().try_insert(name.as_str().to_owned(), value.to_owned())?;
            }
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Ok(url) = reqwest::Url::parse(context.request().uri()) {
            self.look(|seen| seen.place = url.origin().ascii_serialization());
            let sent = self
                .metrics
                .as_ref()
                .map(|metrics| upstream(metrics, &url).begin(&Method::POST).due(self.due));
            *self.sent.lock().unwrap_or_else(PoisonError::into_inner) = sent;
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        let status = response.status().as_u16();
        if let Some(sent) = self.take_sent() {
            sent.answered(status);
        }
        let headers: HeaderMap = response
            .headers()
            .iter()
            .filter_map(|(name, value)| {
                Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
            })
            .collect();
        self.look(|seen| {
            seen.status = Some(status);
            seen.request_id = request_id(&headers);
            seen.retry_after = retry_after(&headers);
            seen.exception = headers.get(EXCEPTION_HEADER).and_then(exception);
            seen.simulated = headers.contains_key(SIMULATED_HEADER);
        });
        let body = Box::pin(response.take_body());
        let bounded = if (200..300).contains(&status) {
            Bounded { body, left: self.longest_answer, refusal: None }
        } else {
            let end = Box::pin(tokio::time::sleep(REFUSAL_DEADLINE));
            Bounded { body, left: LONGEST_REFUSAL, refusal: Some(end) }
        };
        *response.body_mut() = SdkBody::from_body_1_x(bounded);
        Ok(())
    }
}

/// `namespace#Name:http://…` is the exception `Name`.
fn exception(value: &HeaderValue) -> Option<String> {
    let name = value.to_str().ok()?.split(':').next()?;
    let name = name.rsplit('#').next()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// A body that is read up to a bound: an answer fails there, a refusal ends there and when its time is up.
struct Bounded {
    body: Pin<Box<SdkBody>>,
    left: usize,
    refusal: Option<Pin<Box<Sleep>>>,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let polled = match this.body.as_mut().poll_frame(cx) {
            Poll::Ready(polled) => polled,
            Poll::Pending => {
                let is_late = this.refusal.as_mut().is_some_and(|end| end.as_mut().poll(cx).is_ready());
                return if is_late { Poll::Ready(None) } else { Poll::Pending };
            }
        };
        let Some(Ok(frame)) = polled else { return Poll::Ready(polled) };
        let Ok(mut data) = frame.into_data() else { return Poll::Ready(None) };
        if data.len() <= this.left {
            this.left -= data.len();
        } else if this.refusal.is_none() {
            return Poll::Ready(Some(Err("an answer without end".into())));
        } else if this.left == 0 {
            return Poll::Ready(None);
        } else {
            data.truncate(this.left);
            this.left = 0;
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// The failure to find credentials, if that is what an error is about.
pub(super) fn without_credentials<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
