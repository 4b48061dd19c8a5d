//! Secrets, taken out of what is kept.
//!
//! Owns what counts as one: whatever clients have sent as credentials while this process lives, and
//! whatever looks like a key of a known kind. It would rather take out a word too many. Must not
//! know where texts come from nor where they go.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use regex::Regex;

/// What stands in a secret's place.
pub const REMOVED: &str = "[removed]";
/// Most credentials that are remembered.
const MOST_KNOWN: usize = 4_096;
/// Longest credential that is remembered, in bytes.
const LONGEST_KNOWN: usize = 16 << 10;
/// Credentials shorter than this count only where they stand as a word of their own.
const LONG: usize = 8;
/// Shorter ones are no secrets: they would take every other word out.
const SHORTEST: usize = 3;

/// Kinds of secrets. Where a pattern has a group, that is the secret; else the whole is.
const PATTERNS: [&str; 17] = [
    // PEM, to its end or to the end of the text; base64 lines may be escaped JSON.
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)",
    // OpenAI, Anthropic and those who took their form after them.
    r"sk-(?:ant|proj|svcacct|admin|or|lf)-[A-Za-z0-9_-]{8,}",
    r"(?:\b|_)(?:sk|pk|rk|gsk|hf|r8|npm|pplx|xai|nvapi|tgp|fw|dop_v1)[-_][A-Za-z0-9_-]{16,}",
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
    r"(?i)\bbearer[\s:]+([A-Za-z0-9._~+/=-]{8,})",
    r"\b[Bb]asic\s+([A-Za-z0-9+/]{12,}={0,2})",
    // Passwords in URLs.
    r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@?#]*:([^\s/@]+)@",
    // Assignments, in shells, queries and forms.
    r#"(?i)(?:key|token|password|passwd|pwd|passphrase|secret|signature|credential)\\?["']?\s*=\s*\\?["']?([^\s"'\\&,;<>]{8,})"#,
    // Members of JSON, escaped or not.
    r#"(?i)(?:key|token|password|passwd|pwd|passphrase|secret|credential)\\?["']\s*:\s*\\?["']([^"'\\]{8,})"#,
];

/// The same in YAML and prose; there the value has to look like no word.
const NAMED: &str = r#"(?i)(?:key|token|password|passwd|pwd|passphrase|secret|credential)\\?["']?\s*:\s*\\?["']?([^\s"'\\&,;<>]{8,})"#;

/// As long as a secret access key of AWS, and made of the same letters.
const BASE64: &str = r"[A-Za-z0-9/+]+";
const AWS_SECRET: usize = 40;

/// Knows secrets when it sees them.
#[derive(Debug)]
pub struct Redactor {
    patterns: Vec<Regex>,
    named: Option<Regex>,
    base64: Option<Regex>,
    known: RwLock<HashSet<String>>,
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
            base64: Regex::new(BASE64).ok(),
            known: RwLock::default(),
        }
    }
}

impl Redactor {
    /// Remembers a credential, as it is and as it would stand in JSON. False where no more can be
    /// remembered: then nothing may be kept of what came with it.
    pub fn learn(&self, secret: &str) -> bool {
        let secret = secret.trim();
        if secret.chars().count() < SHORTEST {
            return true;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains(secret) {
            return true;
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_KNOWN || secret.len() > LONGEST_KNOWN {
            return false;
        }
        let json = serde_json::Value::from(secret).to_string();
        let json = json.trim_matches('"');
        if json != secret {
            known.insert(json.to_owned());
        }
        known.insert(secret.to_owned());
        true
    }

    /// The text without secrets.
    #[must_use]
    pub fn redact(&self, text: &str) -> Redacted {
        let mut found = self.patterns.iter().flat_map(|pattern| matches(pattern, text)).collect::<Vec<_>>();
        if let Some(named) = &self.named {
            found.extend(matches(named, text).into_iter().filter(|range| is_no_word(&text[range.clone()])));
        }
        if let Some(base64) = &self.base64 {
            let runs = base64.find_iter(text).map(|run| run.range());
            found.extend(runs.filter(|run| run.len() == AWS_SECRET && is_mixed(&text[run.clone()])));
        }
        for secret in self.known.read().unwrap_or_else(PoisonError::into_inner).iter() {
            found.extend(places(text, secret));
            // A text that was broken off may end with the first part of one.
            found.extend(beginning(text, secret));
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
}

fn matches(pattern: &Regex, text: &str) -> Vec<Range<usize>> {
    let secret = |found: regex::Captures<'_>| found.get(1).or_else(|| found.get(0)).map(|part| part.range());
    pattern.captures_iter(text).filter_map(secret).filter(|range| &text[range.clone()] != REMOVED).collect()
}

/// Where a known credential stands.
fn places<'a>(text: &'a str, secret: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    text.match_indices(secret).map(|(start, found)| start..start + found.len()).filter(move |place| {
        let part_of_word = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
        secret.len() >= LONG
            || !part_of_word(text[..place.start].chars().next_back())
                && !part_of_word(text[place.end..].chars().next())
    })
}

/// The longest beginning of a credential with which a text ends.
fn beginning(text: &str, secret: &str) -> Option<Range<usize>> {
    let lengths = (LONG..secret.len()).rev().filter(|length| secret.is_char_boundary(*length));
    let length = lengths.into_iter().find(|length| text.ends_with(&secret[..*length]))?;
    Some(text.len() - length..text.len())
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

fn is_no_word(value: &str) -> bool {
    value.chars().any(|c| !c.is_alphabetic() && !"-.!?)".contains(c))
}

fn is_mixed(run: &str) -> bool {
    run.bytes().any(|b| b.is_ascii_uppercase())
        && run.bytes().any(|b| b.is_ascii_lowercase())
        && run.bytes().any(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
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
        assert!(redactor.named.is_some() && redactor.base64.is_some());
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
            redactor.learn("correct horse") && redactor.learn("abc") && redactor.learn("q\"uoted-secret")
        );
        let redacted = redactor.redact(r#"correct horse, abc, abcd, "q\"uoted-secret", correct ho"#);
        assert_eq!(redacted.text, r#"[removed], [removed], abcd, "[removed]", [removed]"#);
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
