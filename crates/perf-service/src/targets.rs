//! What may be put under load: targets that the operator configured, by name.
//!
//! Owns the form of names and URLs. A request names a target and never gives a URL, so that nobody
//! can aim this service at somebody else's.

use sha2::{Digest, Sha256};
use url::Url;

/// Longest name.
const LONGEST_NAME: usize = 40;

/// Bytes of a fingerprint: enough that no two targets share one.
const FINGERPRINT_BYTES: usize = 16;

/// A configured target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// Where it is, without a trailing slash in its path beyond the root.
    pub url: Url,
}

impl Target {
    /// Tells targets apart by where they are, whatever they are called, without saying where.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.url.as_str().as_bytes());
        digest.iter().take(FINGERPRINT_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Reads `name=URL, …`. The first is the default.
///
/// # Errors
/// Every mistake, in words.
pub fn parse(text: &str) -> Result<Vec<Target>, Vec<String>> {
    let (mut targets, mut mistakes) = (Vec::<Target>::new(), Vec::new());
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        match one(item) {
            Ok(target) if targets.iter().any(|other| other.name == target.name) => {
                mistakes.push(format!("the target {} is given twice", target.name));
            }
            Ok(target) => targets.push(target),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if targets.is_empty() && mistakes.is_empty() {
        mistakes.push("no target is given; write local=http://127.0.0.1:7002".to_owned());
    }
    if mistakes.is_empty() { Ok(targets) } else { Err(mistakes) }
}

fn one(item: &str) -> Result<Target, String> {
    let (name, url) = item
        .split_once('=')
        .map(|(name, url)| (name.trim(), url.trim()))
        .ok_or_else(|| format!("{item:?} is not name=URL, such as local=http://127.0.0.1:7002"))?;
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(sound) {
        return Err(format!(
            "the target's name {name:?} is not 1 to {LONGEST_NAME} lower-case letters, digits and hyphens"
        ));
    }
    let parsed = Url::parse(url).map_err(|error| format!("the URL of target {name}: {error}"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(format!("the URL of target {name} is neither http nor https"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(format!("the URL of target {name} holds credentials; they would show in reports"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(format!("the URL of target {name} has a query or fragment; give where the API begins"));
    }
    Ok(Target { name: name.to_owned(), url: parsed })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn targets_by_name() {
        let targets = parse("local=http://127.0.0.1:7002, staging = https://shop.example/books ,").unwrap();
        let shown: Vec<_> =
            targets.iter().map(|target| (target.name.as_str(), target.url.as_str())).collect();
        assert_eq!(shown, [("local", "http://127.0.0.1:7002/"), ("staging", "https://shop.example/books")]);
    }

    #[test]
    fn all_mistakes_are_told_and_credentials_are_not() {
        let mistakes = parse(
            "x,A=http://a,../e=http://a,b=ftp://a,c=http://u:canary@a,d=http://a?x=1,e=http://,ok=http://a,ok=http://b,=http://a",
        )
        .unwrap_err();
        assert_eq!(mistakes.len(), 9, "{mistakes:?}");
        assert!(!mistakes.concat().contains("canary"));
        assert_eq!(parse(" , ").unwrap_err().len(), 1);
    }
}
