//! What a request carries as credentials: headers, cookies and parameters that hold keys.
//!
//! Owns their names. Must not know what is done with them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;

/// Headers that hold a key and nothing else.
const KEYS: [&str; 9] = [
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-amz-security-token",
    "x-auth-token",
    "x-access-token",
    "x-csrf-token",
    "openai-api-key",
    "ocp-apim-subscription-key",
];
/// Parameters of a query, and parts of a name that make it a key's.
const PARAMETERS: [&str; 6] = ["key", "token", "secret", "password", "signature", "credential"];

/// Every credential in the head of a request, or of an answer.
pub(super) fn of(headers: &HeaderMap, query: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    for name in KEYS {
        found.extend(headers.get_all(name).iter().map(text));
    }
    for name in [AUTHORIZATION, PROXY_AUTHORIZATION] {
        for value in headers.get_all(name).iter().map(text) {
            authorization(&value, &mut found);
        }
    }
    for cookies in headers.get_all(COOKIE).iter().map(text) {
        found.extend(cookies.split(';').filter_map(value_of));
    }
    for cookie in headers.get_all(SET_COOKIE).iter().map(text) {
        found.extend(cookie.split(';').next().and_then(value_of));
    }
    for pair in query.unwrap_or_default().split('&') {
        let Some((name, value)) = pair.split_once('=') else { continue };
        let name = name.to_ascii_lowercase();
        if PARAMETERS.iter().any(|part| name.contains(part)) {
            let decoded = percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned();
            if decoded != value {
                found.push(value.to_owned());
            }
            found.push(decoded);
        }
    }
    found
}

fn value_of(pair: &str) -> Option<String> {
    pair.split_once('=').map(|(_, value)| value.trim().trim_matches('"').to_owned())
}

/// What follows the scheme; of a name and password, the password. A signature of AWS is good for
/// one request only and is no key; its key's name is known by its form.
fn authorization(value: &str, found: &mut Vec<String>) {
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    if scheme.starts_with("AWS4-") {
        return;
    }
    found.push(rest.trim().to_owned());
    if scheme.eq_ignore_ascii_case("basic")
        && let Ok(decoded) = STANDARD.decode(rest.trim())
        && let Ok(decoded) = String::from_utf8(decoded)
    {
        found.extend(decoded.split_once(':').map(|(_, password)| password.to_owned()));
        found.push(decoded);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::of;

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
            "two",
            "three",
            "one",
            "dXNlcjpzZXZlbg==",
            "seven",
            "user:seven",
            "four",
            "five",
            "six",
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
}
