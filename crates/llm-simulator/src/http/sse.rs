//! Server-sent events, as OpenAI's and Anthropic's streams are framed.
//!
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>. JSON has no line break
//! outside of strings and none inside them, so one `data` line is enough.

use serde::Serialize;

use super::serving::encoded;

/// `Content-Type` of a stream.
pub(super) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// Adds an event, named or not, with its data in JSON.
pub(super) fn event(out: &mut Vec<u8>, name: Option<&str>, data: &impl Serialize) {
    if let Some(name) = name {
        out.extend(b"event: ");
        out.extend(name.as_bytes());
        out.push(b'\n');
    }
    out.extend(b"data: ");
    out.extend(encoded(data));
    out.extend(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::event;

    #[test]
    fn events_are_framed() {
        let mut out = Vec::new();
        event(&mut out, Some("ping"), &"a\nb\r");
        event(&mut out, None, &1);
        assert_eq!(String::from_utf8(out).unwrap(), "event: ping\ndata: \"a\\nb\\r\"\n\ndata: 1\n\n");
    }
}
