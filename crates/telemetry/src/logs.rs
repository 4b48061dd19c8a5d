//! The JSON form of a log line: one object a line, with the trace and span it belongs to.
//!
//! Owns the format and the writing; which lines pass is set up in `start.rs`. A layer of its own
//! and not the library's `fmt` layer: that one formats the fields of every span as it is made, and
//! building a map of strings for each event cost as much as the rest of a small request (figures in
//! ARCHITECTURE.md). The JSON itself is still written by serde_json.

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::sync::OnceLock;

use serde::Serializer;
use serde::ser::SerializeMap;
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::trace_ids;

/// A buffer larger than this is given back after a line.
const KEPT: usize = 16 << 10;

/// Writes an event as `{"timestamp","level","service","target","message",…fields…,"trace_id","span_id"}`.
///
/// A line leaves with one system call and before the event returns: nothing is lost when the
/// process is killed. A thread that wrote for all would cost more than the call, in waking it.
pub(crate) struct JsonLines<W> {
    service: &'static str,
    out: W,
    /// The subscriber that this layer is part of.
    dispatch: OnceLock<WeakDispatch>,
}

impl<W> JsonLines<W> {
    pub(crate) fn new(service: &'static str, out: W) -> Self {
        Self { service, out, dispatch: OnceLock::new() }
    }

    fn line(&self, event: &Event<'_>, line: &mut Vec<u8>) -> serde_json::Result<()> {
        let mut serializer = serde_json::Serializer::new(&mut *line);
        let mut object = serializer.serialize_map(None)?;
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        object.serialize_entry("timestamp", &now)?;
        object.serialize_entry("level", event.metadata().level().as_str())?;
        object.serialize_entry("service", self.service)?;
        object.serialize_entry("target", event.metadata().target())?;
        let mut fields = Fields { object, result: Ok(()) };
        event.record(&mut fields);
        let Fields { mut object, result } = fields;
        result?;
        // From the whole subscriber: this layer's own view lacks spans that its filter left out, and
        // a warning must name its trace even where `info` is off.
        let dispatch = self.dispatch.get().and_then(WeakDispatch::upgrade);
        if let Some(ids) = dispatch.and_then(|dispatch| trace_ids::current_in(&dispatch)) {
            object.serialize_entry("trace_id", &Displayed(ids.trace_id()))?;
            object.serialize_entry("span_id", &Displayed(ids.span_id()))?;
        }
        object.end()?;
        line.push(b'\n');
        Ok(())
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: Fn(&[u8]) + 'static,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        self.dispatch.get_or_init(|| dispatch.downgrade());
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with(|line| {
            // Taken by an event that is being written: one of a field's own `Debug`, say.
            let Ok(mut line) = line.try_borrow_mut() else { return };
            line.clear();
            if self.line(event, &mut line).is_ok() {
                (self.out)(&line);
            }
            line.shrink_to(KEPT);
        });
    }
}

/// Writes to standard error; where it is closed there is nobody to tell.
pub(crate) fn to_standard_error(line: &[u8]) {
    let _ = std::io::stderr().lock().write_all(line);
}

/// A value that is shown as text.
struct Displayed<T>(T);

impl<T: fmt::Display> serde::Serialize for Displayed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Fields<M: SerializeMap> {
    object: M,
    result: Result<(), M::Error>,
}

impl<M: SerializeMap> Fields<M> {
    fn put(&mut self, field: &Field, value: &(impl serde::Serialize + ?Sized)) {
        if self.result.is_ok() {
            let name = match field.name() {
                // Ours; a second one of the name would make the line ambiguous.
                "timestamp" => "timestamp_",
                "level" => "level_",
                "service" => "service_",
                "target" => "target_",
                "trace_id" => "trace_id_",
                "span_id" => "span_id_",
                name => name,
            };
            self.result = self.object.serialize_entry(name, value);
        }
    }
}

impl<M: SerializeMap> Visit for Fields<M> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &Displayed(format_args!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::Value;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::JsonLines;
    use crate::trace_ids::TraceIds;

    #[test]
    fn a_line_is_one_json_object_with_every_field_once() {
        static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
        let out = |line: &[u8]| LINES.lock().unwrap().extend_from_slice(line);
        let subscriber = tracing_subscriber::registry().with(TraceIds).with(JsonLines::new("tests", out));
        with_default(subscriber, || {
            let absent: Option<&str> = None;
            tracing::info_span!("request").in_scope(|| {
                tracing::warn!(
                    number = 7_u64,
                    negative = -7_i64,
                    ratio = 0.5,
                    nothing = f64::NAN,
                    yes = true,
                    text = "a \"quoted\"\nline \u{1}",
                    shown = %"plain",
                    debugged = ?Some("x"),
                    service = "another",
                    absent,
                    "what {}",
                    "happened"
                );
            });
            tracing::info!("outside");
        });
        let text = String::from_utf8(LINES.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("\"service\"").count(), 2, "{text}");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (first, second) = (&lines[0], &lines[1]);
        for (name, wanted) in [
            ("level", serde_json::json!("WARN")),
            ("service", "tests".into()),
            ("service_", "another".into()),
            ("message", "what happened".into()),
            ("number", 7.into()),
            ("negative", (-7).into()),
            ("ratio", 0.5.into()),
            ("nothing", Value::Null),
            ("yes", true.into()),
            ("text", "a \"quoted\"\nline \u{1}".into()),
            ("shown", "plain".into()),
            ("debugged", "Some(\"x\")".into()),
        ] {
            assert_eq!(first[name], wanted, "{name} in {text}");
        }
        assert_eq!(first.get("absent"), None);
        assert_eq!(first["trace_id"].as_str().map(str::len), Some(32));
        assert_eq!(first["span_id"].as_str().map(str::len), Some(16));
        assert!(first["timestamp"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().is_ok());
        assert_eq!((second.get("trace_id"), &second["message"]), (None, &"outside".into()));
    }
}
