//! Faults on purpose: which requests fail, and how. Pure.
//!
//! Rules are tried in their order; the first that fits a request, is on by its schedule and is drawn
//! is applied. Must not know a wire protocol nor a clock of its own. How rules are written is in
//! [`document`], which requests one is about in [`criteria`], when it is on in [`schedule`], and what
//! became of those in force in [`in_force`].

use std::time::Duration;

use crate::call::Call;
use crate::failure::{Failure, Trouble};

pub mod criteria;
pub mod document;
mod fields;
pub mod in_force;
mod parameters;
pub mod schedule;

pub use criteria::Criteria;
pub use document::{FaultsError, Mistake};
pub use in_force::InForce;
pub use schedule::Schedule;

/// Most rules at a time: each is looked at for every request.
pub const MOST_RULES: usize = 100;

/// What a rule does to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not answered.
    Failure(Failure),
    /// It is answered, and something goes wrong with the answer.
    Trouble(Trouble),
}

impl Fault {
    /// The kinds that a rule may name.
    pub const KINDS: [&'static str; 14] = [
        "rate_limited",
        "server_error",
        "unavailable",
        "overloaded",
        "timeout",
        "reset",
        "slow_first_token",
        "stall",
        "cut",
        "malformed",
        "stream_error",
        "truncated",
        "wrong_usage",
        "refusal",
    ];

    /// A short, stable name: the label in metrics and the kind in settings.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Failure(failure) => failure.kind(),
            Self::Trouble(trouble) => trouble.kind(),
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// A name, for people.
    pub id: Option<String>,
    /// What it is for, for people.
    pub comment: Option<String>,
    /// Which requests it is about.
    pub criteria: Criteria,
    /// The share of those that it is applied to: above 0, up to 1.
    pub rate: f64,
    /// When it is on.
    pub schedule: Schedule,
    /// What it does.
    pub fault: Fault,
}

impl Rule {
    /// Whether nothing that a later rule with these criteria is about can get past this one.
    fn hides(&self, later: &Self) -> bool {
        self.rate >= 1.0 && self.schedule.is_always() && self.criteria.covers(&later.criteria)
    }
}

/// Rules in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    rules: Vec<Rule>,
}

impl Faults {
    /// The rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether any of them is applied to a part of its requests only, so that it has to be drawn.
    #[must_use]
    pub fn are_drawn(&self) -> bool {
        self.rules.iter().any(|rule| rule.rate < 1.0)
    }

    /// The place of the rule that is applied to a call so long after the rules were put in force.
    /// `draw` gives the draw of a rule, from 0 up to 1; `matched` hears of every rule that was looked
    /// at and is about the call, whether it is on and drawn or not.
    pub fn pick(
        &self,
        call: &Call,
        elapsed: Duration,
        mut draw: impl FnMut(u16) -> f64,
        mut matched: impl FnMut(usize),
    ) -> Option<(usize, &Fault)> {
        let about = self.rules.iter().enumerate().filter(|(_, rule)| rule.criteria.fit(call));
        about.inspect(|(place, _)| matched(*place)).find_map(|(place, rule)| {
            let mut drawn = || rule.rate >= 1.0 || draw(u16::try_from(place).unwrap_or(u16::MAX)) < rule.rate;
            (rule.schedule.is_on(elapsed) && drawn()).then_some((place, &rule.fault))
        })
    }

    /// The kinds of the rules and how many there are of each, such as `cut 1, stall 2`.
    #[must_use]
    pub fn summary(&self) -> String {
        let count = |kind| self.rules.iter().filter(|rule| rule.fault.kind() == kind).count();
        let counted =
            Fault::KINDS.into_iter().map(|kind| (kind, count(kind))).filter(|(_, count)| *count > 0);
        counted.map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Fault, Faults};
    use crate::call::{Call, Protocol};
    use crate::question::Question;

    fn call(model: &str) -> Call {
        Call {
            protocol: Protocol::Ollama,
            route: "/api/chat",
            question: Question { model: model.to_owned(), ..Question::default() },
            stream: true,
            tenant: None,
        }
    }

    fn faults(text: &str) -> Faults {
        Faults::from_json(text).unwrap()
    }

    fn picked(faults: &Faults, model: &str, seconds: u64, draw: f64) -> (Option<&'static str>, Vec<usize>) {
        let mut matched = Vec::new();
        let elapsed = Duration::from_secs(seconds);
        let picked = faults.pick(&call(model), elapsed, |_| draw, |rule| matched.push(rule));
        (picked.map(|(_, fault)| fault.kind()), matched)
    }

    #[test]
    fn the_first_rule_that_fits_is_on_and_is_drawn_is_applied() {
        let rules = faults(
            r#"{"rules": [
                {"kind": "cut", "match": {"model": "a*"}, "rate": 0.5},
                {"kind": "refusal", "match": {"model": "ab"}, "schedule": {"from_seconds": 10}},
                {"kind": "overloaded", "match": {"protocol": "ollama"}}]}"#,
        );
        assert_eq!(picked(&rules, "ab", 0, 0.4), (Some("cut"), vec![0]));
        assert_eq!(picked(&rules, "ab", 10, 0.5), (Some("refusal"), vec![0, 1]));
        assert_eq!(picked(&rules, "ab", 9, 0.5), (Some("overloaded"), vec![0, 1, 2]));
        assert_eq!(picked(&rules, "b", 10, 0.0), (Some("overloaded"), vec![2]));
        assert_eq!(picked(&Faults::default(), "b", 10, 0.0), (None, vec![]));
        assert_eq!(rules.summary(), "overloaded 1, cut 1, refusal 1");
        assert!(rules.are_drawn() && !Faults::default().are_drawn());
    }

    #[test]
    fn each_rule_has_a_draw_of_its_own() {
        let rules = faults(
            r#"{"rules": [{"kind": "cut", "rate": 0.5}, {"kind": "stall", "seconds": 1, "rate": 0.5}]}"#,
        );
        let of = |draws: [f64; 2]| {
            let picked = rules.pick(&call("a"), Duration::ZERO, |rule| draws[usize::from(rule)], |_| {});
            picked.map(|(place, _)| place)
        };
        assert_eq!((of([0.1, 0.1]), of([0.9, 0.1]), of([0.9, 0.9])), (Some(0), Some(1), None));
    }

    #[test]
    fn every_kind_can_be_written() {
        for kind in Fault::KINDS {
            let seconds =
                if ["stall", "slow_first_token"].contains(&kind) { r#", "seconds": 1"# } else { "" };
            let rules = faults(&format!(r#"{{"rules": [{{"kind": "{kind}"{seconds}}}]}}"#));
            assert_eq!(rules.rules()[0].fault.kind(), kind);
        }
    }
}
