//! The headers of Anthropic's answers: the request's id, and what is left of the model's limits.
//!
//! Source: <https://docs.anthropic.com/en/api/rate-limits#response-headers>. A model here has one
//! limit of tokens, which is told as that of all, of input and of output tokens.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::allowance::{Allowance, Left};

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const ORGANIZATION: HeaderName = HeaderName::from_static("anthropic-organization-id");
/// Whose requests all are.
const SIMULATED: &str = "00000000-0000-4000-8000-000000000000";

/// Headers of every answer.
pub(super) fn headers(request_id: &str, allowance: Option<&Allowance>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(ORGANIZATION, HeaderValue::from_static(SIMULATED));
    if let Some(Allowance { requests, tokens }) = allowance {
        let now = Utc::now();
        left(&mut headers, REQUESTS, requests, now);
        for names in [TOKENS, INPUT_TOKENS, OUTPUT_TOKENS] {
            left(&mut headers, names, tokens, now);
        }
    }
    headers
}

const REQUESTS: [&str; 3] = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
const TOKENS: [&str; 3] = [
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];
const INPUT_TOKENS: [&str; 3] = [
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
];
const OUTPUT_TOKENS: [&str; 3] = [
    "anthropic-ratelimit-output-tokens-limit",
    "anthropic-ratelimit-output-tokens-remaining",
    "anthropic-ratelimit-output-tokens-reset",
];

fn left(headers: &mut HeaderMap, names: [&'static str; 3], left: &Left, now: DateTime<Utc>) {
    let [limit, remaining, reset] = names.map(HeaderName::from_static);
    headers.insert(limit, HeaderValue::from(left.limit));
    headers.insert(remaining, HeaderValue::from(left.remaining));
    if let Ok(text) = HeaderValue::from_str(&moment(now, left.reset)) {
        headers.insert(reset, text);
    }
}

/// A moment as RFC 3339 in whole seconds, rounded up, so that nothing is promised too early.
fn moment(now: DateTime<Utc>, reset: Duration) -> String {
    let wait = TimeDelta::from_std(reset).unwrap_or(TimeDelta::MAX);
    let at = now.checked_add_signed(wait).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let part = i64::from(at.timestamp_subsec_nanos() > 0);
    let at = at.checked_add_signed(TimeDelta::seconds(part)).unwrap_or(at);
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The limit that was reached, as errors tell it.
pub(super) fn reached(allowance: Option<&Allowance>) -> String {
    match allowance {
        None => "requests per minute".to_owned(),
        Some(Allowance { requests, tokens }) if requests.remaining > 0 && tokens.remaining < tokens.limit => {
            format!("{} tokens per minute", tokens.limit)
        }
        Some(Allowance { requests, .. }) => format!("{} requests per minute", requests.limit),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;

    use super::{headers, moment, reached};
    use crate::allowance::{Allowance, Left};

    #[test]
    fn moments_are_whole_seconds_and_never_too_early() {
        let now = DateTime::parse_from_rfc3339("2026-01-01T00:00:00.250Z").unwrap().to_utc();
        for (millis, at) in
            [(0, "2026-01-01T00:00:01Z"), (750, "2026-01-01T00:00:01Z"), (60_000, "2026-01-01T00:01:01Z")]
        {
            assert_eq!(moment(now, Duration::from_millis(millis)), at);
        }
        assert!(!moment(now, Duration::MAX).is_empty());
    }

    #[test]
    fn what_is_left_is_told() {
        let left = |limit, remaining| Left { limit, remaining, reset: Duration::from_secs(1) };
        let allowance = Allowance { requests: left(50, 49), tokens: left(30_000, 1_000) };
        let told = headers("req_1", Some(&allowance));
        assert_eq!((&told["request-id"], told.len()), (&http::HeaderValue::from_static("req_1"), 14));
        assert_eq!(told["anthropic-ratelimit-requests-remaining"], "49");
        assert_eq!(told["anthropic-ratelimit-output-tokens-limit"], "30000");
        let reset = told["anthropic-ratelimit-input-tokens-reset"].to_str().unwrap();
        assert!(DateTime::parse_from_rfc3339(reset).is_ok(), "{reset}");
        assert_eq!(reached(Some(&allowance)), "30000 tokens per minute");
        assert_eq!(headers("req_1", None).len(), 2);
    }
}
