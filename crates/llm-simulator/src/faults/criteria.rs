//! Which requests a rule is about. Pure.

use crate::call::{Call, Protocol};

/// What stands for any text in a model's name.
const ANY: u8 = b'*';

/// Which requests a rule is about: those that fit all that is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// The route, as the route table writes it.
    pub route: Option<&'static str>,
    /// The model as the simulator offers it; `*` stands for any text.
    pub model: Option<String>,
    /// Whose request it is.
    pub tenant: Option<String>,
    /// Whether the answer is to come in pieces.
    pub stream: Option<bool>,
}

impl Criteria {
    /// Whether a call is one of those.
    #[must_use]
    pub fn fit(&self, call: &Call) -> bool {
        self.protocol.is_none_or(|protocol| protocol == call.protocol)
            && self.route.is_none_or(|route| route == call.route)
            && self.stream.is_none_or(|stream| stream == call.stream)
            && self.model.as_deref().is_none_or(|model| fits(model, &call.question.model))
            && (self.tenant.is_none() || self.tenant == call.tenant)
    }

    /// Whether there can be such a call.
    #[must_use]
    pub fn are_possible(&self) -> bool {
        self.reach().next().is_some()
    }

    /// Whether every call that fits `other` fits this, too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let models = match (self.model.as_deref(), other.model.as_deref()) {
            (None, _) => true,
            (Some(wide), Some(narrow)) => fits(wide, narrow),
            (Some(wide), None) => wide.bytes().all(|byte| byte == ANY),
        };
        let tenants = self.tenant.is_none() || self.tenant == other.tenant;
        models && tenants && other.reach().all(|place| self.reach().any(|own| own == place))
    }

    /// The routes where such calls come, each with whether it streams.
    fn reach(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let protocols = Protocol::ALL.into_iter().filter(|one| self.protocol.is_none_or(|own| own == *one));
        protocols
            .flat_map(|protocol| protocol.routes().iter().copied())
            .filter(|route| self.route.is_none_or(|own| own == *route))
            .flat_map(|route| [(route, false), (route, true)])
            .filter(|(route, stream)| streams(route).is_none_or(|only| only == *stream))
            .filter(|(_, stream)| self.stream.is_none_or(|own| own == *stream))
    }
}

/// Whether a route always or never streams; nothing where the request says it.
fn streams(route: &str) -> Option<bool> {
    match route {
        "/model/{modelId}/converse" => Some(false),
        "/model/{modelId}/converse-stream" => Some(true),
        _ => None,
    }
}

/// Whether a name fits a pattern in which `*` stands for any text, none included. Where the name is
/// a pattern itself, whether each name that fits it fits this, too.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut reached) = (0, 0);
    // Where the last star stood, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while reached < name.len() {
        if pattern.get(at) == Some(&ANY) {
            star = Some((at, reached));
            at += 1;
        } else if pattern.get(at).is_some() && pattern.get(at) == name.get(reached) {
            at += 1;
            reached += 1;
        } else if let Some((place, taken)) = star {
            star = Some((place, taken + 1));
            at = place + 1;
            reached = taken + 1;
        } else {
            return false;
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == ANY))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Criteria, fits};
    use crate::call::{Call, Protocol};
    use crate::question::Question;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("gpt-*", "gpt-4o", true),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "GPT-4o", false),
            ("*sonnet*", "us.anthropic.claude-sonnet-4-5", true),
            ("*:1b", "me/own:1b", true),
            ("*a*b", "aXbYb", true),
            ("*a*b", "aXbYc", false),
            ("**", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn what_a_wider_pattern_covers_it_fits(wide in "[ab*]{0,6}", narrow in "[ab*]{0,6}", name in "[ab]{0,6}") {
            if fits(&wide, &narrow) && fits(&narrow, &name) {
                prop_assert!(fits(&wide, &name), "{wide} {narrow} {name}");
            }
        }

        #[test]
        fn what_covers_others_fits_what_they_fit(wide in criteria(), narrow in criteria(), call in call()) {
            if wide.covers(&narrow) && narrow.fit(&call) {
                prop_assert!(wide.fit(&call), "{wide:?} {narrow:?} {call:?}");
            }
            prop_assert!(wide.covers(&wide) && Criteria::default().covers(&wide));
        }
    }

    fn criteria() -> impl Strategy<Value = Criteria> {
        (
            proptest::option::of(prop::sample::select(Protocol::ALL.to_vec())),
            proptest::option::of("[ab*]{1,3}"),
            proptest::option::of("[xy]"),
            proptest::option::of(any::<bool>()),
            any::<u8>(),
        )
            .prop_map(|(protocol, model, tenant, stream, at)| {
                let route = protocol.and_then(|one| one.routes().get(usize::from(at % 4)).copied());
                Criteria { protocol, route, model, tenant, stream }
            })
    }

    fn call() -> impl Strategy<Value = Call> {
        let protocol = prop::sample::select(Protocol::ALL.to_vec());
        (protocol, "[ab]{0,3}", proptest::option::of("[xy]"), any::<bool>(), any::<u8>()).prop_map(
            |(protocol, model, tenant, stream, at)| {
                let routes = protocol.routes();
                let route = routes[usize::from(at) % routes.len()];
                let stream = super::streams(route).unwrap_or(stream);
                let question = Question { model, ..Question::default() };
                Call { protocol, route, question, stream, tenant }
            },
        )
    }

    #[test]
    fn what_no_call_can_be_is_known() {
        let of = |route, stream| Criteria { route: Some(route), stream: Some(stream), ..Criteria::default() };
        assert!(!of("/model/{modelId}/converse", true).are_possible());
        assert!(of("/model/{modelId}/converse-stream", true).are_possible());
        assert!(of("/api/chat", false).are_possible());
    }
}
