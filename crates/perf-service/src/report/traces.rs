//! Where a trace id leads: the address of a trace UI's page for one trace.
//!
//! Owns what is linked and what is not. Must not know which trace UI it is.

use url::Url;

/// What stands for the trace id.
const PLACE: &str = "{traceId}";

/// The address of a trace's page with a place for its id, such as
/// `http://127.0.0.1:16686/trace/{traceId}` (Jaeger) or
/// `http://127.0.0.1:15888/traces/detail/{traceId}` (the Aspire dashboard).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLinks {
    before: String,
    after: String,
}

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceLinksError {
    /// There is no place for the id, or more than one.
    #[error("it must hold {{traceId}} once, after the host, as in http://127.0.0.1:16686/trace/{{traceId}}")]
    Place,
    /// No address of a page.
    #[error("it is no http or https address without user and password")]
    Address,
}

impl TraceLinksError {
    /// A short, stable name.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Place => "trace_place",
            Self::Address => "trace_address",
        }
    }
}

impl TraceLinks {
    /// Reads an address.
    ///
    /// # Errors
    /// When no trace could be found by it.
    pub fn parse(address: &str) -> Result<Self, TraceLinksError> {
        let (before, after) = address.split_once(PLACE).ok_or(TraceLinksError::Place)?;
        if after.contains(PLACE) {
            return Err(TraceLinksError::Place);
        }
        let base = Url::parse(before).map_err(|_| TraceLinksError::Address)?;
        let is_page = matches!(base.scheme(), "http" | "https") && base.has_host();
        if !is_page || !base.username().is_empty() || base.password().is_some() {
            return Err(TraceLinksError::Address);
        }
        // As the host's last part, an id would choose the host.
        let host_ends = before.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#']));
        if !host_ends {
            return Err(TraceLinksError::Place);
        }
        if address.contains(|letter: char| letter.is_control() || letter.is_whitespace()) {
            return Err(TraceLinksError::Address);
        }
        Ok(Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// The address of a trace; none for what is no trace id
    /// (<https://www.w3.org/TR/trace-context/#trace-id>).
    #[must_use]
    pub fn to(&self, trace_id: &str) -> Option<String> {
        let is_id = trace_id.len() == 32
            && trace_id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && trace_id.bytes().any(|byte| byte != b'0');
        is_id.then(|| format!("{}{trace_id}{}", self.before, self.after))
    }
}

#[cfg(test)]
mod tests {
    use super::{TraceLinks, TraceLinksError};

    #[test]
    fn an_id_takes_its_place() {
        let links = TraceLinks::parse("https://traces.example/t/{traceId}?tab=1").unwrap();
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(links.to(id).unwrap(), format!("https://traces.example/t/{id}?tab=1"));
        for hostile in
            ["", "0", "javascript:alert(1)", "../../x", &"0".repeat(32), &"A".repeat(32), &"é".repeat(16)]
        {
            assert_eq!(links.to(hostile), None, "{hostile}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for (address, error) in [
            ("", TraceLinksError::Place),
            ("http://127.0.0.1:16686/trace/", TraceLinksError::Place),
            ("http://127.0.0.1/{traceId}/{traceId}", TraceLinksError::Place),
            ("http://host{traceId}/", TraceLinksError::Place),
            ("http://{traceId}", TraceLinksError::Address),
            ("javascript:alert('{traceId}')", TraceLinksError::Address),
            ("data:text/html,{traceId}", TraceLinksError::Address),
            ("/trace/{traceId}", TraceLinksError::Address),
            ("http://user:word@host/{traceId}", TraceLinksError::Address),
            ("http://host/a b/{traceId}", TraceLinksError::Address),
            ("http://host/{traceId}\n", TraceLinksError::Address),
        ] {
            assert_eq!(TraceLinks::parse(address), Err(error), "{address}");
        }
    }
}
