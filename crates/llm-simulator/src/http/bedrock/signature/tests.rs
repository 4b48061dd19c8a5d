//! Signatures that others computed: AWS's published test suite, and botocore 1.44.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, Method, Uri};
use http_server::ApiToken;
use proptest::prelude::*;

use super::super::access::{Keys, Presented, check};
use super::super::refusal::Refusal;
use super::Signature;
use crate::settings::AwsKeys;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const BODY: &[u8] = b"{\"messages\":[]}";
const MODEL: &str = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse";
/// By botocore, for [`MODEL`] and [`BODY`].
const SIGNATURE: &str = "2a76d1bb8b0cac41592baa45bb875cfac00e2be15049031ceed0d6c45bb66707";
const PROFILE: &str = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream";
const PROFILE_SIGNATURE: &str = "09ac9bde2ed55a5902e9e631ff836dba8c2c9bf055a3745ca4143e2ac593d629";

fn aws_keys(secret: &str) -> AwsKeys {
    AwsKeys { access_key_id: ID.to_owned(), secret_access_key: secret.to_owned().into() }
}

/// The configured keys of most tests.
static OURS: LazyLock<AwsKeys> = LazyLock::new(|| aws_keys(SECRET));

fn keys() -> Keys<'static> {
    Keys { api_key: None, aws_keys: Some(&OURS) }
}

fn at(time: &str) -> SystemTime {
    time.parse::<DateTime<Utc>>().unwrap().into()
}

fn noon() -> SystemTime {
    at("2026-01-01T12:00:00Z")
}

fn authorization(signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ID}/20260101/us-east-1/bedrock/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date, Signature={signature}"
    )
}

fn headers(authorization: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "127.0.0.1:7006"),
        ("content-type", "application/json"),
        ("x-amz-date", "20260101T120000Z"),
        ("user-agent", "Boto3"),
        ("authorization", authorization),
    ] {
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn ask(keys: Keys<'_>, path: &str, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Result<(), Refusal> {
    let uri: Uri = path.parse().unwrap();
    check(keys, &Presented { method: &Method::POST, uri: &uri, headers, body }, now)
}

/// <https://docs.aws.amazon.com/general/latest/gr/signature-v4-test-suite.html>
#[test]
fn awss_own_test_suite_passes() {
    for (method, path, more, signed, signature) in [
        // get-vanilla
        (
            Method::GET,
            "/",
            None,
            "host;x-amz-date",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        // get-vanilla-query-order-key-case
        (
            Method::GET,
            "/?Param2=value2&Param1=value1",
            None,
            "host;x-amz-date",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        // post-vanilla
        (
            Method::POST,
            "/",
            None,
            "host;x-amz-date",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        // post-header-key-sort
        (
            Method::POST,
            "/",
            Some(("my-header1", "value1")),
            "host;my-header1;x-amz-date",
            "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
        ),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("example.amazonaws.com"));
        headers.insert("x-amz-date", HeaderValue::from_static("20150830T123600Z"));
        headers.extend(more.map(|(name, value)| {
            (name.parse::<http::HeaderName>().unwrap(), HeaderValue::from_static(value))
        }));
        let parameters = format!(
            "Credential={ID}/20150830/us-east-1/service/aws4_request, SignedHeaders={signed}, Signature=x"
        );
        let read = Signature::read(&parameters, &headers).unwrap();
        let uri: Uri = path.parse().unwrap();
        let presented = Presented { method: &method, uri: &uri, headers: &headers, body: b"" };
        let computed = read.computed(&OURS, &presented, at("2015-08-30T12:36:00Z"));
        assert_eq!(computed.as_deref(), Some(signature), "{method} {path}");
    }
}

#[test]
fn what_botocore_signed_is_let_in_by_id_and_by_arn() {
    for (path, signature) in [(MODEL, SIGNATURE), (PROFILE, PROFILE_SIGNATURE)] {
        assert_eq!(ask(keys(), path, &headers(&authorization(signature)), BODY, noon()), Ok(()), "{path}");
    }
}

#[test]
fn what_was_changed_afterwards_is_not() {
    let signed = headers(&authorization(SIGNATURE));
    let mismatch = |result: Result<(), Refusal>| {
        let Err(Refusal::WrongSignature(said)) = result else { panic!("{result:?}") };
        assert!(said.starts_with("The request signature we calculated does not match"), "{said}");
    };
    mismatch(ask(keys(), MODEL, &signed, b"{\"messages\":[1]}", noon()));
    mismatch(ask(keys(), PROFILE, &signed, BODY, noon()));
    // Decoded, the path names the same model, and is another one.
    mismatch(ask(keys(), &MODEL.replace("%3A", ":"), &signed, BODY, noon()));
    mismatch(ask(keys(), &format!("{MODEL}?a=b"), &signed, BODY, noon()));
    for (name, value) in
        [("host", "127.0.0.1:7007"), ("content-type", "text/plain"), ("x-amz-date", "20260101T120001Z")]
    {
        let mut changed = signed.clone();
        changed.insert(name, HeaderValue::from_static(value));
        mismatch(ask(keys(), MODEL, &changed, BODY, noon()));
    }
    let other = aws_keys("other");
    let other = Keys { aws_keys: Some(&other), ..keys() };
    mismatch(ask(other, MODEL, &signed, BODY, noon()));
    mismatch(ask(keys(), MODEL, &headers(&authorization("")), BODY, noon()));
    // What is not signed may change.
    let mut changed = signed;
    changed.insert("user-agent", HeaderValue::from_static("x"));
    assert_eq!(ask(keys(), MODEL, &changed, BODY, noon()), Ok(()));
}

#[test]
fn a_signature_is_of_now_of_a_known_key_and_of_bedrock() {
    let signed = headers(&authorization(SIGNATURE));
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for now in [noon() + minutes(4), noon() - minutes(4)] {
        assert_eq!(ask(keys(), MODEL, &signed, BODY, now), Ok(()));
    }
    let said = |result: Result<(), Refusal>| result.unwrap_err().to_string();
    assert_eq!(
        said(ask(keys(), MODEL, &signed, BODY, noon() + minutes(6))),
        "Signature expired: 20260101T120000Z is now earlier than 20260101T120100Z (20260101T120600Z - 5 min.)"
    );
    assert!(
        said(ask(keys(), MODEL, &signed, BODY, noon() - minutes(6)))
            .starts_with("Signature not yet current: ")
    );
    let ask = |from: &str, to: &str| {
        let headers = headers(&authorization(SIGNATURE).replace(from, to));
        ask(keys(), MODEL, &headers, BODY, noon()).unwrap_err()
    };
    assert_eq!(ask(ID, "AKIDOTHER"), Refusal::UnknownKey);
    assert!(ask("/bedrock/", "/s3/").to_string().contains("correct service: 'bedrock'"));
    assert!(ask("20260101", "20260102").to_string().contains("valid date"));
    assert!(ask("aws4_request", "aws5_request").to_string().contains("terminator"));
    assert!(ask(";host", "").to_string().starts_with("'host' must be a 'SignedHeader'"));
    assert!(ask(";x-amz-date", "").to_string().starts_with("'x-amz-date' must be a 'SignedHeader'"));
    assert!(matches!(ask("content-type;", "absent;content-type;"), Refusal::WrongSignature(_)));
    assert!(matches!(ask("content-type;", "host;content-type;"), Refusal::WrongSignature(_)));
}

#[test]
fn what_is_incomplete_is_said() {
    let refused =
        |authorization: &str| ask(keys(), MODEL, &headers(authorization), BODY, noon()).unwrap_err();
    assert_eq!(
        refused("AWS4-HMAC-SHA256 Credential=a/b/c/d/e").to_string(),
        "Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter."
    );
    assert!(
        refused(&authorization("x").replace("/aws4_request", ""))
            .to_string()
            .starts_with("Credential must have exactly 5")
    );
    let mut undated = headers(&authorization(SIGNATURE));
    undated.insert("x-amz-date", HeaderValue::from_static("2026-01-01"));
    assert!(matches!(ask(keys(), MODEL, &undated, BODY, noon()), Err(Refusal::IncompleteSignature(_))));
    undated.remove("x-amz-date");
    assert!(matches!(ask(keys(), MODEL, &undated, BODY, noon()), Err(Refusal::IncompleteSignature(_))));
    assert_eq!(refused("Basic abc"), Refusal::NoAuthentication);
    assert_eq!(refused(""), Refusal::NoAuthentication);
    assert_eq!(ask(keys(), MODEL, &HeaderMap::new(), BODY, noon()), Err(Refusal::NoAuthentication));
}

#[test]
fn what_may_be_there_only_once_is_not_taken_twice() {
    for (name, wanted) in [("x-amz-date", "IncompleteSignature"), ("authorization", "NoAuthentication")] {
        let mut headers = headers(&authorization(SIGNATURE));
        assert_eq!(ask(keys(), MODEL, &headers, BODY, noon()), Ok(()));
        let again = headers[name].clone();
        headers.append(name, again);
        let refused = format!("{:?}", ask(keys(), MODEL, &headers, BODY, noon()).unwrap_err());
        assert!(refused.starts_with(wanted), "{name}: {refused}");
    }
}

#[test]
fn neither_api_keys_nor_signatures_are_a_way_around_the_other() {
    let ask = |keys: Keys<'_>, authorization: &str| ask(keys, MODEL, &headers(authorization), BODY, noon());
    let none = Keys::default();
    assert_eq!(ask(none, "Bearer anything"), Ok(()));
    assert_eq!(ask(none, "AWS4-HMAC-SHA256 whatever"), Ok(()));
    assert_eq!(ask(none, "Bearer "), Err(Refusal::WrongApiKey));
    assert_eq!(ask(none, "anything"), Err(Refusal::NoAuthentication));
    assert_eq!(ask(keys(), "Bearer anything"), Err(Refusal::WrongApiKey));
    let key = ApiToken::given("abc".to_owned().into());
    let both = Keys { api_key: Some(&key), ..keys() };
    assert_eq!(ask(both, "Bearer abc"), Ok(()));
    assert_eq!(ask(both, &authorization(SIGNATURE)), Ok(()));
    for wrong in ["Bearer abcd", "Bearer ab", "Bearer"] {
        assert_eq!(ask(both, wrong), Err(Refusal::WrongApiKey), "{wrong}");
    }
    let only_key = Keys { api_key: Some(&key), aws_keys: None };
    assert_eq!(ask(only_key, "Bearer abc"), Ok(()));
    for signed in ["AWS4-HMAC-SHA256 whatever", &authorization(SIGNATURE)] {
        assert_eq!(ask(only_key, signed), Err(Refusal::WrongApiKey), "{signed}");
    }
}

proptest! {
    #[test]
    fn no_header_breaks_the_reader(
        authorization in "AWS4-HMAC-SHA256 [ -~]{0,60}",
        credential in "[a-zA-Z0-9/]{0,12}",
        signed in "[a-zA-Z;: -]{0,20}",
        date in "[0-9TZ]{0,17}",
    ) {
        let mut two = headers(&authorization);
        prop_assert!(ask(keys(), MODEL, &two, BODY, noon()).is_err());
        let made = format!("AWS4-HMAC-SHA256 Credential={ID}/20260101/{credential}/bedrock/aws4_request, SignedHeaders=host;x-amz-date;{signed}, Signature=0");
        two.insert("authorization", HeaderValue::from_str(&made).unwrap());
        prop_assert!(ask(keys(), MODEL, &two, BODY, noon()).is_err());
        two.insert("x-amz-date", HeaderValue::from_str(&date).unwrap());
        prop_assert!(ask(keys(), MODEL, &two, BODY, noon()).is_err());
    }
}
