//! Experiments: which arm a request belongs to. Pure.
//!
//! The unit, a book or a tenant, always comes to the same arm: its place follows from a hash, by nothing
//! that is stored. Adding an experiment does not move another's units. What came of the arms is counted in
//! `experiments/outcomes.rs`.

use std::sync::Arc;

use llm::{Arm, ProviderName};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::tenants::Tenant;

pub mod file;
pub mod outcomes;

/// What stays with an arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// A book.
    Book,
    /// A tenant.
    Tenant,
}

impl Sticky {
    /// The name in the file and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Tenant => "tenant",
        }
    }
}

/// One way to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Its names, for spans and answers.
    pub arm: Arc<Arm>,
    /// Its part of the units, against the other variants'.
    pub weight: u32,
    /// Whom it asks.
    pub provider: ProviderName,
    /// Which model; the provider's own when absent.
    pub model: Option<String>,
    /// With which version of the prompt.
    pub prompt_version: &'static str,
}

/// A split of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its name.
    pub name: String,
    /// What stays with its arm.
    pub sticky: Sticky,
    /// The part of all units that take part, 0 to 1.
    pub share: f64,
    /// Its arms.
    pub variants: Vec<Variant>,
}

impl Experiment {
    /// The arm of a unit; nothing for those that take no part.
    fn variant(&self, unit: &str) -> Option<&Variant> {
        let digest = Sha256::new().chain_update(&self.name).chain_update([0]).chain_update(unit).finalize();
        let (first, rest) = digest.split_first_chunk::<8>()?;
        let second = rest.first_chunk::<8>()?;
        if place(*first) >= self.share {
            return None;
        }
        let all: u64 = self.variants.iter().map(|variant| u64::from(variant.weight)).sum();
        // The larger half of a product of two 64-bit numbers: even to within 2^-32.
        let drawn = (u128::from(u64::from_be_bytes(*second)) * u128::from(all)) >> 64;
        let mut passed = 0;
        self.variants.iter().find(|variant| {
            passed += u128::from(variant.weight);
            drawn < passed
        })
    }
}

/// Eight bytes as a number from 0 to below 1.
fn place(bytes: [u8; 8]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "the 53 bits that are kept fit exactly")]
    let place = (u64::from_be_bytes(bytes) >> 11) as f64;
    place / (1_u64 << 53) as f64
}

/// All experiments, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiments(Vec<Experiment>);

impl Experiments {
    /// The arm of a request: that of the first experiment in which its unit takes part.
    #[must_use]
    pub fn variant(&self, book: Uuid, tenant: &Tenant) -> Option<&Variant> {
        self.0.iter().find_map(|experiment| match experiment.sticky {
            Sticky::Book => experiment.variant(&book.to_string()),
            Sticky::Tenant => experiment.variant(tenant.as_str()),
        })
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Experiment> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use llm::ProviderName;
    use uuid::Uuid;

    use super::Experiments;
    use super::file::parse;
    use crate::tenants::Tenant;

    fn experiments(text: &str) -> Experiments {
        parse(text, |_: ProviderName| Ok(())).unwrap()
    }

    const SPLIT: &str = r#"{"version":1,"experiments":[
        {"name":"models","sticky":"book","share":0.5,"arms":[
            {"name":"a","weight":90,"provider":"ollama"},{"name":"b","weight":10,"provider":"simulated"}]},
        {"name":"rest","sticky":"tenant","arms":[{"name":"only","weight":1,"provider":"ollama"}]}]}"#;

    #[test]
    fn a_unit_stays_and_the_split_is_that_of_the_weights() {
        let (all, tenant) = (experiments(SPLIT), Tenant::default());
        let mut counts = [0_u32; 3];
        for number in 0..20_000_u128 {
            let book = Uuid::from_u128(number);
            let arm = &all.variant(book, &tenant).unwrap().arm;
            assert_eq!(arm, &all.variant(book, &Tenant::named("acme").unwrap()).unwrap().arm);
            counts[["a", "b", "only"].iter().position(|name| *name == arm.arm).unwrap()] += 1;
        }
        // Five standard deviations of the binomials.
        for (count, wanted, deviation) in
            [(counts[0], 9_000, 352), (counts[1], 1_000, 155), (counts[2], 10_000, 354)]
        {
            assert!(count.abs_diff(wanted) < deviation, "{counts:?}");
        }
    }

    #[test]
    fn shares_of_none_and_all_are_none_and_all() {
        let text = |share: &str| {
            format!(
                r#"{{"version":1,"experiments":[{{"name":"x","sticky":"tenant","share":{share},
                "arms":[{{"name":"a","weight":1,"provider":"ollama"}}]}}]}}"#
            )
        };
        for number in 0..1_000 {
            let tenant = Tenant::named(&format!("tenant-{number}")).unwrap();
            assert_eq!(experiments(&text("0")).variant(Uuid::nil(), &tenant), None);
            assert!(experiments(&text("1")).variant(Uuid::nil(), &tenant).is_some());
        }
        assert_eq!(Experiments::default().variant(Uuid::nil(), &Tenant::default()), None);
    }
}
