//! Which of two media types a client would rather have (RFC 9110, section 12.5.1). Pure.

use http::HeaderMap;
use http::header::ACCEPT;

/// How an answer is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Whole, as JSON.
    Json,
    /// As server-sent events.
    Events,
}

/// What the client would rather have, JSON where it does not say; nothing where it wants neither.
pub(crate) fn of(headers: &HeaderMap) -> Option<Offer> {
    let ranges: Vec<&str> = headers
        .get_all(ACCEPT)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .collect();
    if ranges.is_empty() {
        return Some(Offer::Json);
    }
    let json = wish(&ranges, "application", "json");
    let events = wish(&ranges, "text", "event-stream");
    match (json.quality, events.quality) {
        (0, 0) => None,
        (_, 0) => Some(Offer::Json),
        (0, _) => Some(Offer::Events),
        // As much wished for, events win where they were named and JSON was only allowed.
        (json_quality, events_quality) => {
            let json = (json_quality, json.exactness);
            Some(if (events_quality, events.exactness) > json { Offer::Events } else { Offer::Json })
        }
    }
}

/// How much a media type is wished for.
#[derive(Clone, Copy, Default)]
struct Wish {
    /// In thousandths.
    quality: u16,
    /// 3 where it was named, 2 for its kind, 1 for anything.
    exactness: u8,
}

/// The wish for a media type: the most exact range that covers it decides.
fn wish(ranges: &[&str], kind: &str, sub: &str) -> Wish {
    let mut wish = Wish::default();
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let exactness = match media.split_once('/') {
            Some((found, other)) if found == kind && other == sub => 3,
            Some((found, "*")) if found == kind => 2,
            Some(("*", "*")) => 1,
            _ => continue,
        };
        let quality = parts.find_map(quality).unwrap_or(1_000);
        if exactness > wish.exactness || exactness == wish.exactness && quality > wish.quality {
            wish = Wish { quality, exactness };
        }
    }
    wish
}

/// The weight of a parameter `q=…`, in thousandths; what is malformed counts as not wished for.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value: f32 = value.trim().parse().ok().filter(|value| (0.0..=1.0).contains(value)).unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    let thousandths = (value * 1_000.0).round() as u16;
    Some(thousandths)
}

#[cfg(test)]
mod tests {
    use http::header::ACCEPT;
    use http::{HeaderMap, HeaderValue};

    use super::{Offer, of};

    fn accepting(values: &[&str]) -> Option<Offer> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_str(value).unwrap());
        }
        of(&headers)
    }

    #[test]
    fn clients_get_what_they_would_rather_have() {
        let (json, events) = (Some(Offer::Json), Some(Offer::Events));
        for (wanted, values) in [
            (json, [].as_slice()),
            (json, &[""]),
            (json, &["*/*"]),
            (json, &["application/json"]),
            (json, &["application/*"]),
            (json, &["application/json, text/event-stream"]),
            (json, &["text/html, application/xhtml+xml, */*;q=0.8"]),
            (json, &["text/event-stream;q=0.5, application/json;q=0.9"]),
            (json, &["text/event-stream;q=0, */*"]),
            (json, &["text/event-stream;q=nonsense, */*"]),
            (events, &["text/event-stream"]),
            (events, &["TEXT/Event-Stream; charset=utf-8"]),
            (events, &["text/*"]),
            (events, &["*/*", "text/event-stream"]),
            (events, &["text/event-stream, */*;q=0.1"]),
            (events, &["application/json;q=0.2, text/event-stream;q=0.3"]),
            (events, &["application/json;q=0, */*;q=0.001"]),
            (None, &["text/html"]),
            (None, &["application/json;q=0"]),
            (None, &["*/*;q=0"]),
            (None, &["nonsense"]),
            (None, &["application/json;q=2"]),
        ] {
            assert_eq!(accepting(values), wanted, "{values:?}");
        }
    }
}
