//! Tenants: on whose account a request spends.
//!
//! Owns who they are, what limits they have, and how they are told apart: by key, else by a name that a
//! trusted peer gives. Knows no header and no store.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use sha2::{Digest, Sha256};

use crate::limits::Bounds;

pub mod file;

/// The tenant of whoever names none.
const DEFAULT: &str = "default";
/// Fewest and most characters of a key that is looked at.
const KEY_LENGTHS: std::ops::RangeInclusive<usize> = 24..=512;
/// Random bytes of a key that is drawn here; twice as many hex digits.
const KEY_BYTES: usize = 24;

/// A tenant's name, bounded and safe to be shown and stored; never a label of a metric.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of this name, if it can be one: up to 63 of lower-case letters, digits, `-` and `_`, of
    /// which the first is no sign.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let sound = name.len() <= 63
            && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
            && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
        sound.then(|| Self(Arc::from(name)))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self(Arc::from(DEFAULT))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The SHA-256 of a key.
type KeyHash = [u8; 32];

/// All tenants that are configured, the default one among them.
#[derive(Clone)]
pub struct Tenants(Arc<Configured>);

struct Configured {
    bounds: BTreeMap<Tenant, Bounds>,
    by_key: HashMap<KeyHash, Tenant>,
    trusted: Vec<IpNet>,
}

impl Default for Tenants {
    /// The default tenant alone, without limits of its own.
    fn default() -> Self {
        Self::new(BTreeMap::from([(Tenant::default(), Bounds::default())]), HashMap::new())
    }
}

impl Tenants {
    fn new(bounds: BTreeMap<Tenant, Bounds>, by_key: HashMap<KeyHash, Tenant>) -> Self {
        Self(Arc::new(Configured { bounds, by_key, trusted: Vec::new() }))
    }

    /// The same, with peers whose word on tenants is believed.
    #[must_use]
    pub fn trusting(self, trusted: Vec<IpNet>) -> Self {
        let (bounds, by_key) = (self.0.bounds.clone(), self.0.by_key.clone());
        Self(Arc::new(Configured { bounds, by_key, trusted }))
    }

    /// The tenant whose key this is.
    ///
    /// A look-up in a hash map takes a time that depends on what is compared; here that is SHA-256 digests.
    /// Nobody can choose a key whose digest resembles a stored one more than by chance, so that the time
    /// tells nothing about which keys there are. A key shorter than 24 characters is nobody's, even if its
    /// digest is in the file: it could be guessed.
    #[must_use]
    pub fn of_key(&self, key: &str) -> Option<Tenant> {
        if !KEY_LENGTHS.contains(&key.len()) {
            return None;
        }
        self.0.by_key.get(&hash(key)).cloned()
    }

    /// The tenant of a request without a key that came from `peer` and names `name`: that one if the peer
    /// is trusted and there is such a tenant; else the default one, which whoever makes up names shares.
    #[must_use]
    pub fn of_peer(&self, peer: Option<IpAddr>, name: Option<&str>) -> Tenant {
        let trusted = |peer: IpAddr| self.0.trusted.iter().any(|network| network.contains(&peer));
        let named = name.filter(|_| peer.is_some_and(trusted)).and_then(Tenant::named);
        named.filter(|tenant| self.0.bounds.contains_key(tenant)).unwrap_or_default()
    }

    /// A tenant's own limits.
    #[must_use]
    pub fn bounds(&self, tenant: &Tenant) -> Bounds {
        self.0.bounds.get(tenant).copied().unwrap_or_default()
    }

    /// Whether there is such a tenant.
    #[must_use]
    pub fn knows(&self, tenant: &Tenant) -> bool {
        self.0.bounds.contains_key(tenant)
    }

    /// All tenants, by name.
    pub fn all(&self) -> impl Iterator<Item = &Tenant> {
        self.0.bounds.keys()
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Configured { bounds, by_key, trusted } = &*self.0;
        formatter
            .debug_struct("Tenants")
            .field("bounds", bounds)
            .field("keys", &by_key.len())
            .field("trusted", trusted)
            .finish()
    }
}

fn hash(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A new key, and what of it goes into the tenants' file.
pub struct DrawnKey {
    /// The key, to be shown once.
    pub key: String,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// Draws a key.
///
/// # Errors
/// When the system gives no random bytes.
pub fn draw_key() -> Result<DrawnKey, getrandom::Error> {
    let mut bytes = [0_u8; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    let key = hex(&bytes);
    let sha256 = hex(&hash(&key));
    Ok(DrawnKey { key, sha256 })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Tenant, Tenants, draw_key, file};

    fn tenants(short: &str) -> (Tenants, String) {
        let drawn = draw_key().unwrap();
        let short = super::hex(&super::hash(short));
        let text = format!(
            r#"{{"version":1,"tenants":[{{"id":"acme","apiKeySha256":["{}","{short}"]}},{{"id":"other"}}]}}"#,
            drawn.sha256
        );
        let trusted = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        (file::parse(&text).unwrap().trusting(trusted), drawn.key)
    }

    #[test]
    fn a_key_tells_its_tenant_and_a_short_one_nobody() {
        let short = "twenty-three-characters";
        let (tenants, key) = tenants(short);
        assert_eq!(tenants.of_key(&key).unwrap().as_str(), "acme");
        for wrong in [short, "", &key[1..], &format!("{key} "), &key.to_uppercase(), &"x".repeat(10_000)] {
            assert_eq!(tenants.of_key(wrong), None, "{wrong}");
        }
        assert!(!format!("{tenants:?}").contains(&super::hex(&super::hash(&key))));
    }

    #[test]
    fn a_name_counts_from_trusted_peers_only_and_only_a_configured_one() {
        let (tenants, _) = tenants("");
        let peer = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for (from, name, tenant) in [
            (peer("10.1.2.3"), Some("acme"), "acme"),
            (peer("fd00::1"), Some("other"), "other"),
            (peer("10.1.2.3"), Some("invented"), "default"),
            (peer("10.1.2.3"), Some("default"), "default"),
            (peer("10.1.2.3"), Some("Acme"), "default"),
            (peer("10.1.2.3"), None, "default"),
            (peer("192.0.2.1"), Some("acme"), "default"),
            (peer("127.0.0.1"), Some("acme"), "default"),
            (None, Some("acme"), "default"),
        ] {
            assert_eq!(tenants.of_peer(from, name).as_str(), tenant, "{from:?} {name:?}");
        }
    }

    #[test]
    fn names_are_bounded() {
        for good in ["a", "0", "acme-eu_2", &"x".repeat(63)] {
            assert_eq!(Tenant::named(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "_a", "A", "a/b", "a b", "ü", "a.b", &"x".repeat(64)] {
            assert_eq!(Tenant::named(bad), None, "{bad}");
        }
    }

    #[test]
    fn drawn_keys_differ() {
        let (one, other) = (draw_key().unwrap(), draw_key().unwrap());
        assert!(one.key != other.key && one.key.len() == 48 && one.sha256.len() == 64);
    }
}
