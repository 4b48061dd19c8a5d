//! The headers of OpenAI's answers: the request's id, and what is left of the model's limits.
//!
//! Source: <https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers> and
//! <https://platform.openai.com/docs/api-reference/debugging-requests>.

use std::fmt::Write;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::allowance::{Allowance, Left};
use crate::http::identity;

/// How long the head of the answer took, in milliseconds.
pub(super) const PROCESSING: HeaderName = HeaderName::from_static("openai-processing-ms");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const VERSION: HeaderName = HeaderName::from_static("openai-version");

/// Headers of every answer.
pub(super) fn headers(allowance: Option<&Allowance>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_str(&identity::request_id()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(VERSION, HeaderValue::from_static("2020-10-01"));
    if let Some(Allowance { requests, tokens }) = allowance {
        let names =
            ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
        left(&mut headers, names, requests);
        let names = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
        left(&mut headers, names, tokens);
    }
    headers
}

fn left(headers: &mut HeaderMap, names: [&'static str; 3], left: &Left) {
    let [limit, remaining, reset] = names.map(HeaderName::from_static);
    headers.insert(limit, HeaderValue::from(left.limit));
    headers.insert(remaining, HeaderValue::from(left.remaining));
    if let Ok(text) = HeaderValue::from_str(&duration(left.reset)) {
        headers.insert(reset, text);
    }
}

/// Which limit was reached, as errors name it, and its abbreviation.
pub(super) fn reached(allowance: Option<&Allowance>) -> (&'static str, &'static str) {
    match allowance {
        Some(allowance) if tokens_ran_out(allowance) => ("tokens", "TPM"),
        _ => ("requests", "RPM"),
    }
}

/// The limit that was reached.
pub(super) fn limit(allowance: Option<&Allowance>) -> Option<u64> {
    let allowance = allowance?;
    let left = if tokens_ran_out(allowance) { allowance.tokens } else { allowance.requests };
    Some(left.limit)
}

/// A request that is refused while requests are left was refused for its tokens.
const fn tokens_ran_out(allowance: &Allowance) -> bool {
    allowance.requests.remaining > 0 && allowance.tokens.remaining < allowance.tokens.limit
}

/// A duration as OpenAI writes them, which is Go's way: `12ms`, `1.5s`, `6m0s`. Rounded up to the
/// millisecond, so that nothing is promised too early.
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_micros().div_ceil(1000);
    if millis < 1000 {
        return if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") };
    }
    let (seconds, rest) = (millis / 1000, millis % 1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = String::new();
    // Writing to a text cannot fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}") };
    let _ = write!(text, "{seconds}{}s", fraction.trim_end_matches('0'));
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{duration, headers, reached};
    use crate::allowance::{Allowance, Left};

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (micros, text) in [
            (0, "0s"),
            (1, "1ms"),
            (12_000, "12ms"),
            (999_001, "1s"),
            (1_500_000, "1.5s"),
            (8_640_000, "8.64s"),
            (59_999_000, "59.999s"),
            (360_000_000, "6m0s"),
            (3_600_000_000, "1h0m0s"),
            (90_061_007_000, "25h1m1.007s"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn what_is_left_is_told() {
        let left = |limit, remaining| Left { limit, remaining, reset: Duration::from_millis(120) };
        let allowance = Allowance { requests: left(500, 499), tokens: left(30_000, 0) };
        let told = headers(Some(&allowance));
        for (name, value) in [
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "499"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-limit-tokens", "30000"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "120ms"),
        ] {
            assert_eq!(told[name], value);
        }
        assert_eq!(reached(Some(&allowance)), ("tokens", "TPM"));
        assert_eq!(reached(None), ("requests", "RPM"));
        assert!(!headers(None).contains_key("x-ratelimit-limit-tokens"));
    }
}
