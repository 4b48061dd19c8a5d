//! Secrets, taken out of what is kept.
//!
//! Owns what counts as one: whatever clients have sent as credentials while this process lives, and
//! whatever looks like a key of a known kind. It would rather take out a word too many. Must not
//! know where texts come from nor where they go.

mod decoded;
mod known;

use std::ops::{Range, RangeInclusive};

use regex::Regex;

use decoded::Views;
use known::Known;

/// What stands in a secret's place.
pub const REMOVED: &str = "[removed]";
/// Kinds of secrets. Where a pattern has a group, that is the secret; else the whole is.
const PATTERNS: [&str; 33] = [
    // PEM, to its end or to the end of the text; base64 lines may be escaped JSON.
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
    // OpenAI, Anthropic and those who took their form after them.
    r"sk-(?:ant|proj|svcacct|admin|or|lf)-[A-Za-z0-9_-]{8,}",
    r"(?:(?-u:\b)|_)(?:sk|pk|rk|gsk|hf|r8|npm|pplx|xai|nvapi|tgp|fw|dop_v1)[-_][A-Za-z0-9_-]{16,}",
    // AWS access key ids; https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    r"A[KS]IA[A-Z0-9]{12,}",
    // Google.
    r"AIza[A-Za-z0-9_-]{20,}",
    r"ya29\.[A-Za-z0-9_-]{16,}",
    // GitHub and GitLab.
    r"gh[pousr]_[A-Za-z0-9]{16,}",
    r"github_pat_[A-Za-z0-9_]{16,}",
    r"glpat-[A-Za-z0-9_-]{16,}",
    // Slack.
    r"xox[a-z]-[A-Za-z0-9-]{8,}",
    r"xapp-[A-Za-z0-9-]{8,}",
    // JSON web tokens, signed or not.
    r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)*",
    // Headers in words.
    r"(?i)(?-u:\b)bearer[\s:]+([A-Za-z0-9._~+/=-]{8,})",
    r"(?-u:\b)[Bb]asic\s+([A-Za-z0-9+/]{12,}={0,2})",
    // AWS: keys of Bedrock, tokens of STS.
    r"ABSK[A-Za-z0-9+/]{20,}={0,2}",
    r"bedrock-api-key-[A-Za-z0-9+/]{20,}={0,2}",
    r"(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz)[A-Za-z0-9+/_-]{8,}={0,2}",
    // SendGrid, Vault, PyPI, Google's clients, Atlassian.
    r"SG\.[A-Za-z0-9_-]{12,}\.[A-Za-z0-9_-]{12,}",
    r"hv[sbr]\.[A-Za-z0-9_-]{16,}",
    r"pypi-[A-Za-z0-9_-]{16,}",
    r"GOCSPX-[A-Za-z0-9_-]{10,}",
    r"AT(?:ATT|CTT)[A-Za-z0-9_=-]{16,}",
    // Addresses that are keys.
    r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{8,})",
    r"discord(?:app)?\.com/api/webhooks/([0-9]+/[A-Za-z0-9_-]{8,})",
    // Cookies, elements of XML, and commands.
    r#"(?i)cookie["']?\s*:\s*["']?([^\s"'=;]{1,128}=[^\r\n"']+)"#,
    r"(?i)<[a-z0-9_.:-]*(?:password|passwd|pwd|passphrase|secret|token|api_?key|credential)(?:\s[^<>]*)?>([^<]{4,})<",
    r#"(?i)--[a-z0-9-]*(?:password|passwd|pwd|passphrase|secret|token|key)[\s=]\s*["']?([^\s"'<>-][^\s"'<>]{3,})"#,
    r#"\s(?:-u|-U|--user|--proxy-user)[\s=]*["']?[^\s:"'/]{1,128}:([^\s"']{3,})"#,
    // Passwords in URLs.
    r"(?i)(?-u:\b)[a-z][a-z0-9+.-]*://[^\s/:@?#]*:([^\s/@]+)@",
    // Assignments, in shells, queries and forms.
    r#"(?i)(?:key|token|password|passwd|pwd|passphrase|secret|signature|credential)\\?["']?\s*=\s*\\?["']?([^\s"'\\&,;<>]{8,})"#,
    // Members of JSON.
    r#"(?i)(?:key|signature)["']\s*:\s*(?:\[\s*)?["']([^"'\\]{8,})"#,
    r#"(?i)(?:token|password|passwd|pwd|passphrase|secret|credentials?|authorization|cookie|api[_-]?key|[a-z]-key)"\s*:\s*(?:\[\s*)?"((?:[^"\\]|\\.){4,})"#,
    r#"(?i)(?:token|password|passwd|pwd|passphrase|secret|credentials?|authorization|cookie|api[_-]?key|[a-z]-key)'\s*:\s*(?:\[\s*)?'((?:[^'\\]|\\.){4,})"#,
];

/// The same in YAML and prose; there the value has to look like no word.
const NAMED: &str = r#"(?i)(?:key|token|password|passwd|pwd|passphrase|secret|credential)\\?["']?\s*:\s*\\?["']?([^\s"'\\&,;<>]{8,})"#;

/// Passwords in URLs that were not escaped: up to the last `@`. A port is none.
const URL: &str = r#"(?i)[a-z][a-z0-9+.-]*://[^\s/:@?#\[]*:([^\s"'<>]+)@"#;

/// As long as a secret access key of AWS, and made of the same letters.
const BASE64: &str = r"[A-Za-z0-9/+]+";
const AWS_SECRET: usize = 40;
/// Such a run with slashes or pluses of its surroundings.
const AWS_RUN: RangeInclusive<usize> = AWS_SECRET..=44;

/// Knows secrets when it sees them.
#[derive(Debug)]
pub struct Redactor {
    patterns: Vec<Regex>,
    named: Option<Regex>,
    url: Option<Regex>,
    base64: Option<Regex>,
    known: Known,
}

/// A text without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// The text.
    pub text: String,
    /// What was taken out of the text before, in its order.
    removed: Vec<Range<usize>>,
}

impl Redacted {
    /// Where a place of the text before is now. A place inside of a secret is before what stands in
    /// for it, which so comes as a whole with the chunk that brought the secret's end.
    #[must_use]
    pub fn place(&self, before: usize) -> usize {
        let mut gone = 0;
        let mut added = 0;
        for secret in &self.removed {
            if before >= secret.end {
                gone += secret.len();
                added += REMOVED.len();
            } else if before > secret.start {
                gone += before - secret.start;
            }
        }
        (before - gone.min(before)) + added
    }
}

impl Default for Redactor {
    fn default() -> Self {
        let compiled = |pattern: &&str| Regex::new(pattern).ok();
        Self {
            patterns: PATTERNS.iter().filter_map(compiled).collect(),
            named: Regex::new(NAMED).ok(),
            url: Regex::new(URL).ok(),
            base64: Regex::new(BASE64).ok(),
            known: Known::default(),
        }
    }
}

impl Redactor {
    /// Remembers a credential, as it is and as it may be spelt. False where no more can be
    /// remembered: then nothing may be kept of what came with it.
    pub fn learn(&self, secret: &str) -> bool {
        self.known.learn(secret)
    }

    /// The text without secrets.
    #[must_use]
    pub fn redact(&self, text: &str) -> Redacted {
        self.without(text, false)
    }

    /// A name without secrets; what counts as a credential only because it stands alone stays, for
    /// names do.
    #[must_use]
    pub fn redact_name(&self, name: &str) -> String {
        self.without(name, true).text
    }

    fn without(&self, text: &str, name: bool) -> Redacted {
        let views = Views::of(text);
        let mut found = Vec::new();
        for view in views.iter() {
            let mut here = self.patterned(&view.text);
            here.extend(self.known.places(&view.text, name));
            found.extend(here.iter().map(|range| views.whole(&view.source(range))));
        }
        let removed = merged(found);
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for secret in &removed {
            out.push_str(text.get(from..secret.start).unwrap_or_default());
            out.push_str(REMOVED);
            from = secret.end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
        Redacted { text: out, removed }
    }

    /// What looks like a secret.
    fn patterned(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = self.patterns.iter().flat_map(|pattern| matches(pattern, text)).collect::<Vec<_>>();
        if let Some(named) = &self.named {
            found.extend(matches(named, text).into_iter().filter(|range| is_no_word(&text[range.clone()])));
        }
        if let Some(url) = &self.url {
            found.extend(matches(url, text).into_iter().filter(|range| !is_port(&text[range.clone()])));
        }
        if let Some(base64) = &self.base64 {
            for run in base64.find_iter(text) {
                aws_secrets(run.as_str(), run.start(), &mut found);
            }
        }
        found
    }
}

/// Secret access keys of AWS in a run of their letters, which their surroundings may have a part in.
fn aws_secrets(run: &str, at: usize, found: &mut Vec<Range<usize>>) {
    let trimmed = run.trim_matches(['/', '+']).len();
    if AWS_RUN.contains(&run.len()) || AWS_RUN.contains(&trimmed) {
        if is_mixed(run, 1) {
            found.push(at..at + run.len());
        }
        return;
    }
    // Parts of a path, as long as one.
    let starts = std::iter::once(0).chain(run.match_indices('/').map(|(slash, _)| slash + 1));
    for start in starts {
        let end = start + AWS_SECRET;
        let ends = matches!(run.as_bytes().get(end), None | Some(b'/'));
        if ends && run.get(start..end).is_some_and(|part| is_mixed(part, 2)) {
            found.push(at + start..at + end);
        }
    }
}

fn matches(pattern: &Regex, text: &str) -> Vec<Range<usize>> {
    let secret = |found: regex::Captures<'_>| found.get(1).or_else(|| found.get(0)).map(|part| part.range());
    pattern.captures_iter(text).filter_map(secret).filter(|range| &text[range.clone()] != REMOVED).collect()
}

/// In order, those that touch joined.
fn merged(mut found: Vec<Range<usize>>) -> Vec<Range<usize>> {
    found.retain(|range| !range.is_empty());
    found.sort_unstable_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in found {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// Whether what follows a host's colon is a port and a path.
fn is_port(value: &str) -> bool {
    let path = value.trim_start_matches(|letter: char| letter.is_ascii_digit());
    path.len() < value.len() && path.starts_with(['/', '?', '#'])
}

fn is_no_word(value: &str) -> bool {
    value.chars().any(|c| !c.is_alphabetic() && !"-.!?)".contains(c))
}

/// Whether there are so many of every kind of letter.
fn is_mixed(run: &str, many: usize) -> bool {
    let count = |kind: fn(&u8) -> bool| run.bytes().filter(kind).take(many).count() == many;
    count(u8::is_ascii_uppercase) && count(u8::is_ascii_lowercase) && count(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::{PATTERNS, REMOVED, Redactor};

    /// One of every kind, made up.
    const KEYS: [&str; 22] = [
        "sk-ant-api03-AAAABBBBCCCCDDDDEEEE-ffffgggg_hhhh",
        "sk-proj-abcdEFGH1234ijklMNOP5678",
        "sk-0123456789abcdefghijABCDEFGHIJ",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE9Kk",
        "AIzaSyA-1234567890abcdefghijklmnopqrstu",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
        "glpat-abcdefghij0123456789",
        "xoxb-123456789012-abcdefABCDEF",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabc/def+\n-----END RSA PRIVATE KEY-----",
        "Bearer abcdef0123456789",
        "Basic dXNlcjpwYXNzd29yZA==",
        "https://user:pa55word@db.example.com/x",
        "API_KEY=correcthorsebattery",
        "?token=0a1b2c3d4e5f",
        r#""password": "correcthorsebattery""#,
        r#"{\"client_secret\":\"s3cr3t-value\"}"#,
        "hf_abcdefghijklmnopqrstuvwx",
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE",
    ];

    /// The part of a sample that must not be left.
    fn secret(key: &str) -> &str {
        let of = [
            ("Bearer ", "abcdef0123456789"),
            ("Basic ", "dXNlcjpwYXNzd29yZA"),
            ("https://", "pa55word"),
            ("API_KEY", "correcthorsebattery"),
            ("?token", "0a1b2c3d4e5f"),
            (r#""password"#, "correcthorse"),
            (r"{\", "s3cr3t-value"),
            ("AWS_", "wJalrXUtnFEMI"),
        ];
        of.iter().find(|(start, _)| key.starts_with(start)).map_or(key, |(_, secret)| secret)
    }

    #[test]
    fn every_kind_is_known_wherever_it_stands() {
        let redactor = Redactor::default();
        assert_eq!(redactor.patterns.len(), PATTERNS.len());
        assert!(redactor.named.is_some() && redactor.url.is_some() && redactor.base64.is_some());
        for key in KEYS {
            for text in [key.to_owned(), format!("Use {key} now."), format!("é:{key}\n"), format!("({key})")]
            {
                let redacted = redactor.redact(&text);
                assert!(!redacted.text.contains(secret(key)), "{text} left as {}", redacted.text);
                assert!(redacted.text.contains(REMOVED));
                assert_eq!(redactor.redact(&redacted.text).text, redacted.text, "again");
            }
        }
    }

    #[test]
    fn every_kind_is_known_in_json_and_in_json_within_json() {
        let redactor = Redactor::default();
        for key in KEYS {
            let mut text = format!("Keys:\n{key}\nthat is all");
            for depth in 1..=2 {
                text = serde_json::json!({ "message": text }).to_string();
                let redacted = redactor.redact(&text).text;
                let said = (0..depth).fold(redacted.clone(), |text, _| {
                    let body: serde_json::Value = serde_json::from_str(&text).expect(&text);
                    body["message"].as_str().unwrap().to_owned()
                });
                assert!(!said.contains(secret(key)), "{text} left as {redacted}");
                assert!(said.contains("Keys:\n") && said.contains(REMOVED), "{redacted}");
            }
        }
        for text in [
            r"\u0073k-0123456789abcdefghijABCDEFGHIJ",
            r"sk\u002dproj\u002dabcdEFGH1234ijklMNOP5678",
            r"wJalrXUtnFEMI\/K7MDENG\/bPxRfiCYEXAMPLE9Kk",
            "/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE9Kk",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE9Kk/x",
            "/keys/of/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE9Kk/are/here",
        ] {
            let redacted = redactor.redact(text).text;
            assert!(redacted.len() < 30 && redacted.contains(REMOVED), "{text} left as {redacted}");
        }
    }

    #[test]
    fn a_known_credential_is_found_in_every_spelling() {
        let redactor = Redactor::default();
        let every = |key: &str| key.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>();
        for key in ["Xk9/zQ+Lm2pVtR7/uYw=", "AAA/bbb+ccc=="] {
            assert!(redactor.learn(key));
            for text in [
                key.replace('/', r"\/"),
                key.replace('+', r"\u002b").replace('=', r"\u003d"),
                every(key),
                key.replace('/', "%2F").replace('+', "%2b").replace('=', "%3D"),
                key.replace('/', "%252F"),
                key.to_lowercase(),
                every(key)[..6 * 9 + 3].to_owned(),
            ] {
                let redacted = redactor.redact(&format!("The key {text}"));
                assert_eq!(redacted.text, "The key [removed]", "{text}");
            }
            let coded = STANDARD.encode(key);
            let left = redactor.redact(&coded).text;
            assert!(left.len() < REMOVED.len() + 4, "{coded} left as {left}");
        }
    }

    #[test]
    fn secrets_are_known_by_what_stands_around_them() {
        let redactor = Redactor::default();
        for (text, secret) in [
            ("ABSKQmVkcm9ja0FQSUtleS1hYmNkZWZnaGlq", "QmVkcm9ja0FQ"),
            ("IQoJb3JpZ2luX2VjEJr//////////wEaCXVz", "X2VjEJ"),
            (r#"{"password":"s3cr3t!"}"#, "s3cr3t"),
            (r#"{"password":"pa\"ssword-long"}"#, "ssword-long"),
            (r#"{"X-Vendor-Key":["vendor-value-1"]}"#, "vendor-value-1"),
            (r#"{"Authorization":"my-own-key"}"#, "my-own-key"),
            ("Cookie: session=abc123", "abc123"),
            ("<password>hunter22</password>", "hunter22"),
            ("mysql --password hunter22 db", "hunter22"),
            ("curl -u user:hunter22 https://h", "hunter22"),
            ("postgres://u:pa/ss@h", "pa/ss"),
            ("postgres://u:p%40ss:w@rd@h/db", "rd@"),
            ("https://hooks.slack.com/services/T000/B000/abcdEFGH", "abcdEFGH"),
            ("SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz", "abcdefgh"),
            ("hvs.CAESIabcdefghijklmnop", "abcdefgh"),
            ("pypi-AgEIcHlwaS5vcmcabcdef", "AgEIcHl"),
            ("GOCSPX-abcdefghijkl", "abcdefgh"),
            ("ATATT3xFfGF0abcdefghijkl", "abcdefgh"),
        ] {
            let redacted = redactor.redact(text).text;
            assert!(redacted.contains(REMOVED) && !redacted.contains(secret), "{text} left as {redacted}");
            assert_eq!(redactor.redact(&redacted).text, redacted, "again");
        }
    }

    #[test]
    fn dummy_keys_take_no_words_out() {
        let redactor = Redactor::default();
        assert!(redactor.learn("ship") && redactor.learn("test") && redactor.learn("gpt-4"));
        assert_eq!(redactor.redact("a ship in a test").text, "a ship in a test");
        assert_eq!(redactor.redact_name("gpt-4"), "gpt-4");
        assert!(redactor.learn("a-longer-secret"));
        assert_eq!(redactor.redact_name("a-longer-secret"), REMOVED);
    }

    #[test]
    fn prose_and_figures_are_left_alone() {
        let redactor = Redactor::default();
        for text in [
            "A task-oriented programming manual; the risk-averse reader is the bearer of it.",
            "The secret: friendship. Token: tokenization. Basic information on keys.",
            r#"{"max_tokens": 1024, "total_tokens": 12, "keyboard": "qwerty"}"#,
            "https://example.com:8080/a@b and da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "Dune is a warm book about friendship and change.",
        ] {
            assert_eq!(redactor.redact(text).text, text);
        }
    }

    #[test]
    fn what_a_client_sent_is_known_from_then_on() {
        let redactor = Redactor::default();
        assert!(
            redactor.learn("correct horse") && redactor.learn("ab1") && redactor.learn("q\"uoted-secret")
        );
        let redacted = redactor.redact(r#"correct horse, ab1, ab1d, "q\"uoted-secret", correct ho"#);
        assert_eq!(redacted.text, r#"[removed], [removed], ab1d, "[removed]", [removed]"#);
        for index in 0..5_000 {
            redactor.learn(&format!("credential-{index}"));
        }
        assert!(!redactor.learn("one too many") && redactor.learn("correct horse"));
    }

    #[test]
    fn places_move_with_what_was_taken_out() {
        let redactor = Redactor::default();
        assert!(redactor.learn("secret-one") && redactor.learn("another-secret"));
        let text = "a secret-one b another-secret";
        let redacted = redactor.redact(text);
        assert_eq!(redacted.text, "a [removed] b [removed]");
        for (before, now) in [(0, 0), (2, 2), (3, 2), (11, 2), (12, 11), (14, 13), (20, 14), (29, 23)] {
            assert_eq!(redacted.place(before), now, "{before}");
        }
    }
}
