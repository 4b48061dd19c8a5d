//! k6's output as a long run writes it: the metrics of each request, in k6's order, with k6's tags.
//!
//! Owns the shape of the load: more request names and models than are kept apart, durations over six
//! decades, all of an hour. Must not know what is made of it.

use std::io::{self, Write};

use chrono::{DateTime, TimeDelta};

/// What k6 writes of every request, beside the checks.
const OF_A_REQUEST: [&str; 9] = [
    "http_reqs",
    "http_req_duration",
    "http_req_blocked",
    "http_req_connecting",
    "http_req_tls_handshaking",
    "http_req_sending",
    "http_req_waiting",
    "http_req_receiving",
    "http_req_failed",
];
/// Request names and models: more than a report keeps apart.
const NAMES: u64 = 150;
const MODELS: u64 = 60;
const SECONDS: u64 = 3_600;
const BEGIN_S: i64 = 1_795_235_562;

/// Writes `count` samples, and k6's summary.
pub(crate) fn write(count: u64, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        r#"{{"type":"Metric","data":{{"name":"http_req_duration","type":"trend","contains":"time","thresholds":[],"submetrics":[{{"name":"http_req_duration{{phase:measured}}","suffix":"phase:measured","tags":{{"phase":"measured"}}}}]}},"metric":"http_req_duration"}}"#
    )?;
    let mut written = 0;
    let mut request = 0;
    while written < count {
        written += write_request(request, count, written, out)?;
        request += 1;
    }
    writeln!(
        out,
        r#"{{"type":"Summary","data":{{"metrics":{{"http_req_duration{{phase:measured}}":{{"thresholds":{{"p(95)<1":{{"ok":false}}}}}}}}}}}}"#
    )
}

fn write_request(request: u64, count: u64, written: u64, out: &mut impl Write) -> io::Result<u64> {
    // A stream that is the same every time (Knuth's MMIX constants).
    let chance =
        (request + 1).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 11;
    let share = chance as f64 / (1_u64 << 53) as f64;
    let duration = 0.05 * (share * 14.0).exp();
    let micros = (written as f64 / count as f64 * SECONDS as f64 * 1e6) as i64;
    let at = DateTime::from_timestamp(BEGIN_S, 0).unwrap_or_default() + TimeDelta::microseconds(micros);
    let at = at.format("%Y-%m-%dT%H:%M:%S%.6fZ");
    let llm = request.is_multiple_of(7);
    let failed = request.is_multiple_of(997);
    let (name, trace) = (request % NAMES, u128::from(chance) << 64 | u128::from(request + 1));
    let status = if failed { 503 } else { 200 };
    let tags = format!(
        r#""tags":{{"expected_response":"{}","group":"","llm":"{llm}","method":"GET","name":"GET /api/v1/books/{{id}}/{name}","phase":"measured","scenario":"measured","status":"{status}"}},"metadata":{{"trace_id":"{trace:032x}"}}"#,
        !failed
    );
    for metric in OF_A_REQUEST {
        let value = match metric {
            "http_req_duration" | "http_req_waiting" => duration,
            "http_req_failed" => f64::from(u8::from(failed)),
            _ => 1.0,
        };
        writeln!(
            out,
            r#"{{"metric":"{metric}","type":"Point","data":{{"time":"{at}","value":{value},{tags}}}}}"#
        )?;
    }
    let mut lines = OF_A_REQUEST.len() as u64;
    let point = |out: &mut dyn Write, metric: &str, value: f64, tags: &str| {
        writeln!(
            out,
            r#"{{"metric":"{metric}","type":"Point","data":{{"time":"{at}","value":{value},"tags":{{{tags}}}}}}}"#
        )
    };
    point(out, "checks", f64::from(u8::from(!failed)), r#""check":"status is 200","phase":"measured""#)?;
    lines += 1;
    if llm {
        let tags = format!(
            r#""cached":"false","model":"model-{}","phase":"measured","provider":"ollama","simulated":"true""#,
            request % MODELS
        );
        for (metric, value) in [
            ("llm_summaries", 1.0),
            ("llm_input_tokens", 120.0),
            ("llm_output_tokens", 80.0),
            ("llm_cost_usd", 0.0),
            ("llm_first_chunk_ms", duration / 3.0),
            ("llm_generation_ms", duration),
        ] {
            point(out, metric, value, &tags)?;
            lines += 1;
        }
    }
    if request.is_multiple_of(300) {
        point(out, "vus", 50.0, "")?;
        lines += 1;
    }
    Ok(lines)
}
