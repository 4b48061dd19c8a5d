//! What a request carries as credentials: headers, cookies and parameters that hold keys.
//!
//! Owns their names. Must not know what is done with them.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Words whose last letters make a part of a name a key's.
const ENDS: [&str; 4] = ["key", "token", "auth", "jwt"];
/// Words that make a name a key's wherever they stand.
const WORDS: [&str; 7] =
    ["secret", "password", "passwd", "passphrase", "credential", "authorization", "signature"];
/// Parts of a name that are enough by themselves.
const WHOLE: [&str; 6] = ["sig", "pwd", "pass", "code", "session", "cookie"];
/// Named as keys, and new with every request: they would fill the memory for real ones.
const PASSING: [&str; 4] = ["idempotency", "websocket", "signature", "cache"];
/// Base64 as people write it.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether what has such a name is a credential.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|part| {
        WHOLE.contains(&part)
            || ENDS.iter().any(|end| part.ends_with(end))
            || WORDS.iter().any(|word| part.contains(word))
    })
}

/// Whether a credential of that name is one request's only, or but names something.
fn is_passing(name: &str) -> bool {
    name.ends_with("id") || PASSING.iter().any(|part| name.contains(part))
}

/// Every credential in the head of a request, or of an answer. Cookies that an answer sets are none
/// of a client's until it sends them.
pub(super) fn of(headers: &HeaderMap, query: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in headers {
        let name = name.as_str();
        if name == "set-cookie" || !is_secret(name) || is_passing(name) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        if name == "cookie" {
            let cookies = value.split(';').filter_map(|pair| pair.split_once('='));
            let kept = cookies.filter(|(name, _)| is_of_session(name.trim()));
            found.extend(kept.map(|(_, value)| plain(value)));
        } else {
            authorization(value.trim(), &mut found);
        }
    }
    for pair in query.unwrap_or_default().split('&') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        if is_secret(&percent_decode_str(name).decode_utf8_lossy()) {
            let decoded = percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
            if decoded != value {
                found.push(value.to_owned());
            }
            found.push(decoded);
        }
    }
    found
}

/// Every credential among the members of a request's body; LiteLLM takes `api_key` there.
pub(super) fn of_body(body: &[u8]) -> Vec<String> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut found = Vec::new();
            while let Some(name) = members.next_key::<Cow<'de, str>>()? {
                if !is_secret(&name) || is_passing(&name) {
                    members.next_value::<IgnoredAny>()?;
                } else if let Value::String(value) = members.next_value()? {
                    found.push(value);
                }
            }
            Ok(found)
        }
    }
    serde_json::Deserializer::from_slice(body).deserialize_map(Members).unwrap_or_default()
}

/// Whether a cookie tells who one is, and not how one likes one's pages.
fn is_of_session(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    is_secret(&name)
        || ["sess", "sid", "auth", "login", "csrf", "xsrf", "token"].iter().any(|part| name.contains(part))
}

fn plain(value: &str) -> String {
    value.trim().trim_matches('"').to_owned()
}

/// What follows the scheme, and what is named in it; of a name and password, the password. A
/// signature of AWS is good for one request only and is no key; its key's name is known by its form.
fn authorization(value: &str, found: &mut Vec<String>) {
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    if scheme.starts_with("AWS4-") {
        return;
    }
    let rest = rest.trim();
    found.push(rest.to_owned());
    if !scheme.is_empty() && !scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') {
        // No scheme, then, but the beginning of the secret.
        found.push(value.to_owned());
    }
    let named = rest.split([',', ';']).filter_map(|pair| pair.split_once('='));
    found.extend(named.filter(|(name, _)| is_secret(name)).map(|(_, value)| plain(value)));
    if scheme.eq_ignore_ascii_case("basic")
        && let Ok(decoded) = LENIENT.decode(rest)
        && let Ok(decoded) = String::from_utf8(decoded)
    {
        found.extend(decoded.split_once(':').map(|(_, password)| password.to_owned()));
        found.push(decoded);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{of, of_body};

    #[test]
    fn credentials_are_found_wherever_clients_put_them() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer one"),
            ("x-api-key", "two"),
            ("api-key", "three"),
            ("cookie", "session=four; theme=five"),
            ("set-cookie", "session=six; Path=/"),
            ("proxy-authorization", "Basic dXNlcjpzZXZlbg=="),
            ("content-type", "application/json"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let found = of(&headers, Some("a=b&key=ei%20ght&api_key=nine&X-Amz-Security-Token=ten"));
        let wanted = [
            "one",
            "two",
            "three",
            "four",
            "dXNlcjpzZXZlbg==",
            "seven",
            "user:seven",
            "ei%20ght",
            "ei ght",
            "nine",
            "ten",
        ];
        assert_eq!(found, wanted);
        headers.clear();
        headers.insert(
            "authorization",
            HeaderValue::from_static("AWS4-HMAC-SHA256 Credential=AKID/x, Signature=ab"),
        );
        assert!(of(&headers, None).is_empty());
    }

    #[test]
    fn names_are_judged_by_their_parts() {
        for name in [
            "x-litellm-api-key",
            "x-portkey-api-key",
            "helicone-auth",
            "cf-aig-authorization",
            "x-functions-key",
            "x-vault-token",
            "x-session-token",
            "x-auth-key",
            "x-secret",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("Bearer planted"));
            assert_eq!(of(&headers, None), ["planted"], "{name}");
        }
        for name in ["sig", "code", "auth", "pass", "pwd", "session", "jwt", "api%5Fkey"] {
            assert_eq!(of(&HeaderMap::new(), Some(&format!("a=b&{name}=planted"))), ["planted"], "{name}");
        }
        for (name, value) in [
            ("idempotency-key", "a"),
            ("x-client-session-id", "f"),
            ("sec-websocket-key", "b"),
            ("x-author", "c"),
            ("keep-alive", "d"),
            ("set-cookie", "session=e"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert!(of(&headers, Some("max_tokens=3")).is_empty(), "{name}");
        }
    }

    #[test]
    fn secrets_within_a_value_are_found() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static(r#"Token token="abcdef", x="y""#));
        assert!(of(&headers, None).contains(&"abcdef".to_owned()));
        headers.insert("authorization", HeaderValue::from_static("Basic dXNlcjpzZXZlbg"));
        assert!(of(&headers, None).contains(&"seven".to_owned()));
        assert_eq!(
            of_body(br#"{"model":"m","api_key":"planted","prompt_cache_key":"a","max_tokens":3,"key":4}"#),
            ["planted"]
        );
        for broken in ["", "[1]", "{", r#"{"api_key":{"a":"b"}}"#, "\u{0}"] {
            assert!(of_body(broken.as_bytes()).is_empty(), "{broken}");
        }
    }
}
