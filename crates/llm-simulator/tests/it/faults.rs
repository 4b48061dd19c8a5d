//! Faults on the wire, as a client sees them: statuses, words, how a connection ends, and that
//! nothing is left behind.

use std::time::{Duration, Instant};

use llm_simulator::faults::Faults;
use llm_simulator::profile::{Profile, Profiles};
use llm_simulator::settings::Settings;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::raw::{Came, End, Raw, request};
use crate::{CONVERSE_MODEL, Simulated, json, settings};

const STREAMED: &str = r#"{"model":"llama3.2","prompt":"Dune","options":{"num_predict":6}}"#;
const WHOLE: &str = r#"{"model":"llama3.2","prompt":"Dune","stream":false,"options":{"num_predict":6}}"#;

fn with(rules: &str) -> Settings {
    let mut settings = settings();
    settings.faults = Faults::from_json(&format!(r#"{{"rules": [{rules}]}}"#)).unwrap();
    settings.profiles =
        Profiles::all(Profile::log_normal("test", (2.0, 2.0), (1.0, 1.0), (60.0, 90.0)).unwrap());
    settings
}

/// A request in OpenAI's protocol.
async fn chat(simulated: &Simulated, body: &str) -> reqwest::Response {
    let request = simulated.client.post(format!("{}/v1/chat/completions", simulated.base));
    let request = request.bearer_auth("sk-test").header("content-type", "application/json");
    request.body(body.to_owned()).send().await.unwrap()
}

/// One request of bare TCP, and what came of it.
async fn came(base: &str, body: &str) -> Came {
    let mut raw = Raw::to(base).await;
    raw.send(&request("/api/generate", "Connection: close\r\n", body)).await;
    raw.until_the_end().await
}

fn tells(metrics: &str, line: &str) -> bool {
    metrics.lines().any(|shown| shown == line)
}

/// Waits until nothing is under way any more.
async fn quiet(simulated: &Simulated) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let metrics = simulated.metrics().await;
        if tells(&metrics, r#"simulator_answers_under_way{protocol="ollama"} 0"#) {
            return metrics;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Open TCP connections of this process to and from a port, by the kernel.
fn connections(base: &str) -> usize {
    let port: u16 = base.rsplit(':').next().unwrap().parse().unwrap();
    let (port, established) = (format!(":{port:04X}"), "01");
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let open = table.lines().skip(1).filter(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1].ends_with(&port) && fields[3] == established
    });
    open.count()
}

/// What a kind does to a streamed and to a whole answer.
fn check(kind: &str, streamed: bool, came: &Came) {
    let complete = came.is_complete();
    let status = came.head().split(' ').nth(1).unwrap_or("none");
    let said = came.body();
    let whole_text = said.contains(r#""eval_count":6"#);
    let seen = format!("{kind} streamed={streamed}: {came:?}");
    match kind {
        "rate_limited" | "server_error" | "unavailable" | "overloaded" | "timeout" => {
            let expected = match kind {
                "rate_limited" => "429",
                "server_error" => "500",
                "timeout" => "504",
                _ => "503",
            };
            assert_eq!(status, expected, "{seen}");
            assert!(
                complete && came.end == End::Closed && said.starts_with(r#"{"error":"simulated "#),
                "{seen}"
            );
            let wait = came.head().to_ascii_lowercase().contains("\r\nretry-after: 3");
            assert_eq!(wait, kind == "rate_limited", "{seen}");
        }
        "reset" => assert!(came.text.is_empty() && came.end == End::Reset, "{seen}"),
        "reset_in_the_middle" => {
            assert!(status == "200" && !complete && came.end == End::Reset && said.len() > 20, "{seen}");
            if streamed {
                assert_eq!(said.matches(r#""done":false"#).count(), 2, "{seen}");
            }
        }
        "cut" => {
            assert!(status == "200" && !complete && came.end == End::Closed && said.len() > 20, "{seen}");
            if streamed {
                assert_eq!(said.matches(r#""done":false"#).count(), 2, "{seen}");
            }
        }
        "malformed" => {
            assert!(status == "200" && complete, "{seen}");
            let lines = said.lines().filter(|line| line.starts_with('{'));
            let broken = lines.filter(|line| serde_json::from_str::<Value>(line).is_err()).count();
            assert_eq!(broken, 1, "{seen}");
        }
        "stream_error" if streamed => {
            assert!(status == "200" && complete, "{seen}");
            assert_eq!(said.matches(r#""done":false"#).count(), 2, "{seen}");
            assert!(
                said.contains(r#"{"error":"simulated overload; ask again"}"#)
                    && !said.contains(r#""done":true"#),
                "{seen}"
            );
        }
        "truncated" => {
            assert!(status == "200" && complete, "{seen}");
            assert!(
                said.contains(r#""done_reason":"length""#) && said.contains(r#""eval_count":2"#),
                "{seen}"
            );
        }
        "wrong_usage" => {
            assert!(status == "200" && complete, "{seen}");
            assert!(
                said.contains(r#""eval_count":77"#) && said.contains(r#""prompt_eval_count":0"#),
                "{seen}"
            );
        }
        "refusal" => {
            assert!(status == "200" && complete, "{seen}");
            assert!(said.contains(r#""response":"""#) && said.contains(r#""eval_count":0"#), "{seen}");
        }
        // These take their time, and streams alone have errors in them.
        "stall" | "slow_first_token" | "stream_error" => {
            assert!(status == "200" && complete && whole_text, "{seen}");
        }
        other => panic!("{other}"),
    }
}

/// Each kind, streamed and whole, two hundred times each, twenty at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_is_seen_every_time_and_leaves_nothing_behind() {
    for (name, rule) in [
        ("rate_limited", r#""kind":"rate_limited","retry_after_seconds":2.5"#),
        ("server_error", r#""kind":"server_error""#),
        ("unavailable", r#""kind":"unavailable""#),
        ("overloaded", r#""kind":"overloaded""#),
        ("timeout", r#""kind":"timeout","seconds":0.02"#),
        ("reset", r#""kind":"reset""#),
        ("reset_in_the_middle", r#""kind":"reset","after_chunks":2"#),
        ("slow_first_token", r#""kind":"slow_first_token","seconds":0.02"#),
        ("stall", r#""kind":"stall","seconds":0.02,"after_chunks":2"#),
        ("cut", r#""kind":"cut","after_chunks":2"#),
        ("malformed", r#""kind":"malformed","after_chunks":2"#),
        ("stream_error", r#""kind":"stream_error","after_chunks":2"#),
        ("truncated", r#""kind":"truncated","after_chunks":2"#),
        ("wrong_usage", r#""kind":"wrong_usage","usage":{"output_tokens":77}"#),
        ("refusal", r#""kind":"refusal""#),
    ] {
        let simulated = Simulated::start(&with(&format!("{{{rule}}}"))).await;
        let mut clients = JoinSet::new();
        for _ in 0..20 {
            let base = simulated.base.clone();
            clients.spawn(async move {
                for at in 0..20 {
                    let streamed = at % 2 == 0;
                    let came = came(&base, if streamed { STREAMED } else { WHOLE }).await;
                    check(name, streamed, &came);
                }
            });
        }
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        let metrics = quiet(&simulated).await;
        let kind = name.strip_suffix("_in_the_middle").unwrap_or(name);
        let times = if kind == "stream_error" { 200 } else { 400 };
        let counted = format!(r#"simulator_faults_total{{kind="{kind}",protocol="ollama"}} {times}"#);
        assert!(tells(&metrics, &counted), "{counted} is missing in\n{metrics}");
        let counted = format!(
            r#"simulator_answers_total{{model="llama3.2",outcome="fault",protocol="ollama"}} {times}"#
        );
        assert!(tells(&metrics, &counted), "{counted} is missing in\n{metrics}");
        // The one that the metrics were asked over.
        let deadline = Instant::now() + Duration::from_secs(10);
        while connections(&simulated.base) > 1 {
            assert!(
                Instant::now() < deadline,
                "{name}: {} connections are left",
                connections(&simulated.base)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_connection_serves_on_after_a_fault() {
    let rules = r#"{"kind":"server_error","match":{"tenant":"a"}},{"kind":"malformed","match":{"tenant":"b"}},
        {"kind":"stream_error","match":{"tenant":"c"}},{"kind":"reset","after_chunks":1,"match":{"tenant":"d"}},
        {"kind":"rate_limited","match":{"tenant":"e"}}"#;
    let simulated = Simulated::start(&with(rules)).await;
    let ask =
        |tenant: &str, body: &str| request("/api/generate", &format!("X-Tenant-Id: {tenant}\r\n"), body);
    let mut raw = Raw::to(&simulated.base).await;
    for (tenant, status, end) in [
        ("a", "500", "\"}"),
        ("none", "200", "0\r\n\r\n"),
        ("b", "200", "0\r\n\r\n"),
        ("c", "200", "0\r\n\r\n"),
        ("e", "429", "\"}"),
        ("none", "200", "0\r\n\r\n"),
    ] {
        raw.send(&ask(tenant, STREAMED)).await;
        let answer = raw.until(end).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{tenant}: {answer}");
    }
    // Asked all at once, they are answered in their order, up to the reset.
    let all: String = ["a", "none", "e", "d", "none"].map(|tenant| ask(tenant, STREAMED)).concat();
    raw.send(&all).await;
    let came = raw.until_the_end().await;
    let statuses: Vec<_> =
        came.text.match_indices("HTTP/1.1 ").map(|(at, _)| &came.text[at + 9..at + 12]).collect();
    assert_eq!((statuses, came.end), (vec!["500", "200", "429", "200"], End::Reset), "{}", came.text);
}

#[tokio::test]
async fn a_rule_is_about_what_it_matches() {
    let rules = r#"
        {"kind":"server_error","match":{"route":"/api/chat"}},
        {"kind":"unavailable","match":{"model":"me/*"}},
        {"kind":"rate_limited","match":{"tenant":"acme"}},
        {"kind":"overloaded","match":{"stream":true,"protocol":"ollama"}},
        {"kind":"refusal","match":{"protocol":"openai"}}"#;
    let simulated = Simulated::start(&with(rules)).await;
    let chat = r#"{"model":"llama3.2","messages":[{"role":"user","content":"Dune"}],"stream":false}"#;
    let own = r#"{"model":"me/own:1b","prompt":"Dune","stream":false}"#;
    for (path, body, status) in [
        ("/api/chat", chat, 500),
        ("/api/generate", own, 503),
        ("/api/generate", STREAMED, 503),
        ("/api/generate", WHOLE, 200),
    ] {
        assert_eq!(simulated.post(path, body).await.status(), status, "{path} {body}");
    }
    for (tenant, status) in [("acme", 429), ("ACME", 200), ("other", 200)] {
        let request = simulated.client.post(format!("{}/api/generate", simulated.base));
        let response = request.header("x-tenant-id", tenant).body(WHOLE).send().await.unwrap();
        assert_eq!(response.status(), status, "{tenant}");
    }
}

#[tokio::test]
async fn a_schedule_is_followed() {
    let rules = r#"{"kind":"server_error","schedule":{"from_seconds":0.5,"for_seconds":0.5}}"#;
    let simulated = Simulated::start(&with(rules)).await;
    let started = Instant::now();
    let mut seen = Vec::new();
    while started.elapsed() < Duration::from_millis(1_500) {
        seen.push(simulated.post("/api/generate", WHOLE).await.status().as_u16());
    }
    seen.dedup();
    assert_eq!(seen, [200, 500, 200]);
}

#[tokio::test]
async fn a_run_with_the_same_seed_fails_at_the_same_places() {
    let rules = r#"{"kind":"server_error","rate":0.3},{"kind":"truncated","rate":0.3,"after_chunks":1}"#;
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let simulated = Simulated::start(&Settings { seed, ..with(rules) }).await;
        let mut run = Vec::new();
        for at in 0..40 {
            let body = WHOLE.replace("Dune", &format!("book {}", at % 4));
            run.push(simulated.post("/api/generate", &body).await.text().await.unwrap());
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    let failed = |run: &Vec<String>| run.iter().map(|text| text.contains("error")).collect::<Vec<_>>();
    assert_ne!(failed(&runs[0]), failed(&runs[2]));
    assert!(failed(&runs[0]).contains(&true) && failed(&runs[0]).contains(&false));
}

/// A client that leaves a pause, or a provider that never answers, ends it at once.
#[tokio::test]
async fn who_leaves_leaves_nothing_under_way() {
    for (rule, before) in [
        (r#"{"kind":"stall","seconds":3600,"after_chunks":1}"#, r#""done":false"#),
        (r#"{"kind":"slow_first_token","seconds":3600}"#, ""),
        (r#"{"kind":"timeout"}"#, ""),
    ] {
        let simulated = Simulated::start(&with(rule)).await;
        let mut waiting = Vec::new();
        for body in [STREAMED, WHOLE] {
            for _ in 0..20 {
                let mut raw = Raw::to(&simulated.base).await;
                raw.send(&request("/api/generate", "", body)).await;
                if body == STREAMED {
                    raw.until(before).await;
                }
                waiting.push(raw);
            }
        }
        let under_way = r#"simulator_answers_under_way{protocol="ollama"} 40"#;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !tells(&simulated.metrics().await, under_way) {
            assert!(Instant::now() < deadline, "{}", simulated.metrics().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(waiting);
        let metrics = quiet(&simulated).await;
        let abandoned =
            r#"simulator_answers_total{model="llama3.2",outcome="abandoned",protocol="ollama"} 40"#;
        assert!(tells(&metrics, abandoned), "{metrics}");
    }
}

/// As many streams as a load test has fit at once, and one more request is not turned away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_streams_fit() {
    let rules = r#"{"kind":"stall","seconds":3600,"after_chunks":1,"match":{"tenant":"many"}}"#;
    let simulated = Simulated::start(&with(rules)).await;
    let mut streams = Vec::new();
    for _ in 0..2_600 {
        let mut raw = Raw::to(&simulated.base).await;
        raw.send(&request("/api/generate", "X-Tenant-Id: many\r\n", STREAMED)).await;
        streams.push(raw);
    }
    for raw in &mut streams {
        let began = raw.until(r#""done":false"#).await;
        assert!(began.starts_with("HTTP/1.1 200 "), "{began}");
    }
    assert_eq!(simulated.post("/api/generate", WHOLE).await.status(), 200);
    let under_way = r#"simulator_answers_under_way{protocol="ollama"} 2600"#;
    assert!(tells(&simulated.metrics().await, under_way));
    drop(streams);
    quiet(&simulated).await;
}

/// What pauses for an hour does not hold up a stop for longer than its deadline.
#[tokio::test]
async fn a_stop_does_not_wait_for_a_pause() {
    for rule in [r#"{"kind":"stall","seconds":3600}"#, r#"{"kind":"timeout","seconds":3600}"#] {
        let mut simulated = Simulated::start(&with(rule)).await;
        let mut raw = Raw::to(&simulated.base).await;
        raw.send(&request("/api/generate", "", STREAMED)).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        simulated.stop.cancel();
        let stopped = tokio::time::timeout(Duration::from_secs(20), simulated.tasks.join_next()).await;
        assert!(stopped.is_ok(), "it goes on");
        assert!(!raw.until_the_end().await.is_complete());
    }
}

#[tokio::test]
async fn limits_per_minute_and_of_the_context_are_told_as_the_providers_do() {
    let mut limited = with("");
    limited.requests_per_minute = 2;
    limited.context_tokens = 50;
    let simulated = Simulated::start(&limited).await;
    for status in [200, 200, 429] {
        let response = simulated.post("/api/generate", WHOLE).await;
        assert_eq!(response.status(), status);
        if status == 429 {
            let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((20..=30).contains(&wait), "{wait}");
            assert!(json(response).await["error"].as_str().unwrap().contains("rate limit"));
        }
    }
    let long = "word ".repeat(100);
    let ollama = json!({"model": "me/own:1b", "prompt": long, "stream": false}).to_string();
    assert_eq!(json(simulated.post("/api/generate", &ollama).await).await["prompt_eval_count"], 50);
    let openai = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": long}]}).to_string();
    let refused = chat(&simulated, &openai).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(refused.headers()["x-ratelimit-limit-requests"], "2");
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], "context_length_exceeded");
    let short = openai.replace(&long, "Dune");
    let answered = chat(&simulated, &short).await;
    assert_eq!(
        (answered.status().as_u16(), &answered.headers()["x-ratelimit-remaining-requests"]),
        (200, &"0".parse().unwrap())
    );
    assert_eq!(chat(&simulated, &short).await.status(), 429);
}

#[tokio::test]
async fn an_error_in_a_stream_is_in_its_protocols_words() {
    let simulated = Simulated::start(&with(r#"{"kind":"stream_error","after_chunks":2}"#)).await;
    let messages = r#""messages":[{"role":"user","content":"Dune"}],"stream":true"#;
    let openai = format!(r#"{{"model":"gpt-4o",{messages}}}"#);
    let text = chat(&simulated, &openai).await.text().await.unwrap();
    let last = text.trim_end().lines().last().unwrap();
    let error: Value = serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(error["error"]["type"], "server_error", "{text}");
    let anthropic = format!(r#"{{"model":"claude-sonnet-4-5","max_tokens":50,{messages}}}"#);
    let request = simulated.client.post(format!("{}/v1/messages", simulated.base));
    let request = request.header("anthropic-version", "2023-06-01").header("x-api-key", "k");
    let request = request.header("content-type", "application/json").body(anthropic);
    let text = request.send().await.unwrap().text().await.unwrap();
    let (_, error) = text.split_once("event: error\ndata: ").unwrap();
    let error: Value = serde_json::from_str(error.trim_end()).unwrap();
    assert_eq!(error["error"], json!({"type": "overloaded_error", "message": "Overloaded"}));
    assert_eq!(text.matches("event: content_block_delta").count(), 2, "{text}");
    let converse = format!("{}/model/{CONVERSE_MODEL}/converse-stream", simulated.base);
    let request = simulated.client.post(converse).bearer_auth("k").header("content-type", "application/json");
    let request = request.body(r#"{"messages":[{"role":"user","content":[{"text":"Dune"}]}]}"#);
    let bytes = request.send().await.unwrap().bytes().await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(text.matches("contentBlockDelta").count(), 2, "{text}");
    let (_, exception) = text.split_once(":exception-type").unwrap();
    assert!(exception.contains("serviceUnavailableException"), "{text}");
    assert!(exception.contains(r#"{"message":"simulated overload; ask again"}"#), "{text}");
    assert!(!text.contains("messageStop"), "{text}");
}

#[tokio::test]
async fn series_start_at_zero() {
    let simulated = Simulated::start(&settings()).await;
    let metrics = simulated.metrics().await;
    for line in [
        r#"simulator_faults_total{kind="stall",protocol="bedrock"} 0"#,
        r#"simulator_answers_total{model="gpt-4o",outcome="ok",protocol="openai"} 0"#,
        r#"simulator_tokens_total{model="llama3.2",protocol="ollama",type="output"} 0"#,
        r#"simulator_answers_under_way{protocol="anthropic"} 0"#,
    ] {
        assert!(tells(&metrics, line), "{line} is missing in\n{metrics}");
    }
}
