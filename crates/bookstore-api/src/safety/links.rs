//! Addresses in text: URLs, bare domains, e-mail addresses, and their disguises.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::folding::fold;
use super::words::is_function;

/// Ends of domains that are no English words: what has one is an address.
const DOMAINS: &str = "com|net|org|edu|gov|mil|int|info|biz|io|co|uk|de|fr|ru|su|cn|jp|kr|br|pl|nl|eu|ch|es|se|dk|fi|cz|pt|gr|tr|ua|by|kz|hu|ro|bg|hr|rs|sk|si|lt|lv|ee|ie|ca|au|nz|mx|ar|cl|pe|za|ng|ke|gh|eg|ma|il|ir|iq|sa|ae|qa|pk|bd|lk|np|vn|th|id|my|sg|hk|tw|ph|mo|xyz|top|site|online|club|app|dev|ai|tv|ly|gg|cc|ws|gl|ink|lol|tk|ml|ga|cf|gq|pw|icu|vip|tech|cloud|store|shop|blog|wiki|click|link|page|space|fun|website|host|example|test|invalid|localhost|onion|zip|mov|ninja|porn|sexy|casino|bet|loan|download|stream|review|party|science|work|support|email|network|digital|agency|media|news|zone|today|live|studio|design|guru|expert|ventures|москва|рф|中国|中國|公司|网络|한국";
/// Those that are English words as well: only in lower case, for the next sentence may begin there.
const AMBIGUOUS: &str = "me|us|in|it|is|to|at|be|no|so|am|do|as|my|pro|name|world|life|love|art|win|one|mobi|museum|travel|jobs|fm|gs|la|li|lu|md|mn|mt|mu|mx|nu|pm|sc|sh|st|sx|tc|tf|tl|vc|vg|wf|yt|ac|ad|af|ag|al|ba|bz|cm|cr|cx|cy|dj|dm|ec|fj|gd|ge|gi|gp|gt|gy|hn|ht|im|je|jo|kg|ki|kn|ky|lc|mc|mg|mk|ms|mv|nc|nf|pf|pg|pn|ps|re|rw|sb|sr|sy|tj|tm|tn|to|tt|ug|uz|va|ve|vu|ye";

#[expect(clippy::expect_used, reason = "constants, which a test compiles")]
fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("constant pattern")
}

static SCHEME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^[^a-z0-9]*(?:[a-z][a-z0-9+.-]{1,20}:/{1,3}|(?:mailto|tel|sms|javascript|vbscript|magnet|bitcoin|ethereum|whatsapp|skype|blob|view-source|ftp|https?|hxxps?):|data:[a-z]*[/;,]|www[0-9]?\.[^.]|//[a-z0-9-]+\.[a-z])|[a-z][a-z0-9+.-]{1,20}://|xn--[a-z0-9]",
    )
});
static APART: LazyLock<Regex> = LazyLock::new(|| {
    let domains = fold(DOMAINS);
    pattern(&format!(
        r"([^\s.]{{2,63}})\s*(?:\s\.|\s?\[\s?(?:\.|dot|punkt|point|punto)\s?\]|\s?\(\s?(?:\.|dot|punkt|point|punto)\s?\)|\s?\{{\s?(?:\.|dot)\s?\}}|\sdot|\s?<dot>)\s*(?:{domains})(?:$|[\s.,;:!?/)\x22'])"
    ))
});
static ENDS: LazyLock<HashSet<String>> = LazyLock::new(|| DOMAINS.split('|').map(fold).collect());
static LOWER_ENDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| AMBIGUOUS.split('|').collect());

/// The addresses in a text, as they are compared.
pub(crate) fn addresses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for token in text.split_whitespace() {
        let folded = look(token);
        if is_telephone(&folded) {
            found.push(normal(&folded));
            continue;
        }
        // An address has a full stop or a colon; most words have neither inside.
        if !folded.trim_end_matches(['.', ':', ',']).contains(['.', ':', '@'])
            && !folded.starts_with("http")
            && !folded.contains("xn--")
        {
            continue;
        }
        if SCHEME.is_match(&folded.to_lowercase()) || is_mail(&folded) {
            found.push(normal(&folded));
            continue;
        }
        let parts = folded.split(|c: char| {
            matches!(
                c,
                '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '"' | '\'' | ',' | ';' | '!' | '|' | '*'
            )
        });
        found.extend(parts.filter(|part| is_domain(part)).map(normal));
    }
    found.retain(|address| !address.is_empty());
    found
}

/// A number to call: digits in three groups and more, that are no date; or after a plus.
fn is_telephone(token: &str) -> bool {
    let token = token.trim_matches(|c: char| !c.is_alphanumeric() && c != '+');
    let digits = token.chars().filter(char::is_ascii_digit).count();
    let groups: Vec<&str> = token.trim_start_matches('+').split(['-', '/', '.']).collect();
    let plain = groups.iter().all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()));
    let date = groups.len() == 3 && digits <= 8;
    plain && (digits >= 7 && groups.len() >= 3 && !date || digits >= 8 && token.starts_with('+'))
}

fn is_mail(token: &str) -> bool {
    token.split_once('@').is_some_and(|(name, host)| {
        let host = host.trim_end_matches(|c: char| !c.is_alphanumeric());
        name.chars().any(char::is_alphanumeric) && host.contains('.') && !host.starts_with('.')
    })
}

/// Whether it begins with a host name, by its end, or by the path after it.
fn is_domain(part: &str) -> bool {
    let part = part.trim_matches(|c: char| !c.is_alphanumeric() && c != '/');
    let (host, path) = match part.find(['/', '?', '#', ':']) {
        Some(at) => (part.get(..at).unwrap_or(""), part.get(at..).unwrap_or("")),
        None => (part, ""),
    };
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    let proper = |label: &&str| {
        !label.is_empty()
            && label.len() <= 190
            && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
    };
    let (Some(end), true) = (labels.last(), labels.len() >= 2 && labels.iter().all(proper)) else {
        return false;
    };
    let name = labels.get(labels.len() - 2).copied().unwrap_or("");
    if labels.len() == 4
        && labels.iter().all(|label| label.len() <= 3 && label.bytes().all(|b| b.is_ascii_digit()))
    {
        return true;
    }
    let way = path.strip_prefix('/').is_some_and(|way| way.chars().any(char::is_alphanumeric));
    let named = name.chars().any(char::is_alphabetic) || name.len() >= 2;
    ENDS.contains(&end.to_lowercase())
        && named
        && (name.chars().count() >= 2 || way || labels.len() >= 2 && end.len() > 2)
        || LOWER_ENDS.contains(end) && name.chars().count() >= 2
        || way && name.chars().count() >= 2 && end.len() >= 2 && end.chars().all(char::is_alphabetic)
}

/// Whether a text has a domain that is written apart: `evil . com`, `evil dot com`.
pub(crate) fn written_apart(text: &str) -> bool {
    let folded = look(text).to_lowercase();
    APART.captures_iter(&folded).any(|found| found.get(1).is_some_and(|name| !is_function(name.as_str())))
}

/// The text without the addresses in it.
pub(crate) fn without_addresses(text: &str) -> String {
    if addresses(text).is_empty() {
        return text.to_owned();
    }
    let kept = text.split_whitespace().filter(|token| addresses(token).is_empty());
    kept.collect::<Vec<_>>().join(" ")
}

/// The text with look-alikes mapped, but in its own case.
fn look(text: &str) -> String {
    text.chars()
        .map(|character| {
            let mut folded = fold(character.encode_utf8(&mut [0; 4]));
            if character.is_uppercase() {
                folded = folded.to_uppercase();
            }
            folded
        })
        .collect()
}

fn normal(address: &str) -> String {
    let lower = address.to_lowercase();
    let bare = lower.trim_matches(|c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '.' | ','
                    | ';'
                    | ':'
                    | '!'
                    | '?'
                    | '('
                    | ')'
                    | '['
                    | ']'
                    | '{'
                    | '}'
                    | '<'
                    | '>'
                    | '"'
                    | '\''
                    | '*'
                    | '_'
            )
    });
    let bare = bare.strip_prefix("https://").or_else(|| bare.strip_prefix("http://")).unwrap_or(bare);
    bare.strip_prefix("www.").unwrap_or(bare).trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{addresses, without_addresses, written_apart};

    #[test]
    fn addresses_are_found_in_every_dress() {
        for text in [
            "https://evil.example/x",
            "HTTP://EVIL.COM",
            "www.evil.ru",
            "evil.com",
            "evil.it/win",
            "evil.it",
            "me@evil.org",
            "ｅｖｉｌ．ｃｏｍ",
            "evil。com",
            "еvil.com",
            "javascript:alert(1)",
            "data:text/html;base64,AAAA",
            "10.0.0.1/x",
            "bit.ly/3xyz",
            "xn--80ak6aa92e.com",
            "hxxps://evil",
            "mailto:a@b.example",
            "evil.weird/path",
            "(evil.com)",
            "//evil.com/x",
            "президент.рф",
            "ftp:/evil",
            "tel:+4912345",
            "0900-555-1212",
            "+49/30.123456",
        ] {
            assert!(!addresses(text).is_empty(), "{text}");
        }
        for text in ["evil . com", "evil dot com", "evil[.]com", "evil (dot) org", "evil [dot] ru"] {
            assert!(written_apart(text), "{text}");
        }
    }

    #[test]
    fn prose_has_no_addresses() {
        for text in [
            "The end.It was late. No.5, e.g. in the U.S.A., at 3.15 p.m. Dr.No and Mr. T.",
            "and/or, his/her, 24/7, 1.2.3, Node.js, St.Petersburg, J.R.R. Tolkien, the dot com boom, i.e. so",
            "Vol. 1: The Beginning... of it",
            "1914-1918, 2024-01-15, 15.01.2024, 1,000,000 of them",
            "Ratio 3:2; note: this",
            "file: a",
            "A.I. Artificial Intelligence",
        ] {
            assert!(addresses(text).is_empty() && !written_apart(text), "{text}: {:?}", addresses(text));
        }
    }

    #[test]
    fn a_text_is_told_without_them() {
        assert_eq!(without_addresses("See https://a.example/b, or  ask."), "See or ask.");
        assert_eq!(without_addresses("As  it\nstands."), "As  it\nstands.");
    }
}
