//! `/`, `/api/…`: Ollama's wire protocol.

use std::time::{Duration, Instant};

use llm_simulator::profile::{Profile, Profiles};
use serde_json::{Value, json};

use crate::shape::{DETAILS, END, LINE, LOADED, MODEL, SHOWN, fields, has};
use crate::{Simulated, json, lines, settings};

const PROMPT: &str = "Title: Moby-Dick\\nAuthors: Herman Melville\\nDescription: A captain hunts the whale.";

fn chat(more: &str) -> String {
    format!(r#"{{"model":"llama3.2","messages":[{{"role":"user","content":"{PROMPT}"}}]{more}}}"#)
}

fn generate(more: &str) -> String {
    format!(r#"{{"model":"llama3.2","prompt":"{PROMPT}"{more}}}"#)
}

fn told<'a>(lines: impl IntoIterator<Item = &'a Value>) -> String {
    let text = |line: &'a Value| line["response"].as_str().or(line["message"]["content"].as_str()).unwrap();
    lines.into_iter().map(text).collect()
}

/// What is not drawn, but measured.
fn without_measurements(value: &Value) -> Value {
    let mut value = value.clone();
    for field in ["created_at", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration"] {
        value.as_object_mut().unwrap().remove(field);
    }
    value
}

#[tokio::test]
async fn streamed_and_whole_answers_say_and_count_the_same() {
    let simulated = Simulated::start(&settings()).await;
    for (path, body, text, more) in [
        ("/api/chat", chat as fn(&str) -> String, "message", &[][..]),
        ("/api/generate", generate, "response", &["context"][..]),
    ] {
        // Streaming is the default.
        let lines = lines(simulated.post(path, &body("")).await).await;
        let whole = json(simulated.post(path, &body(r#","stream":false"#)).await).await;
        let (end, parts) = lines.split_last().unwrap();
        for part in parts {
            has(part, &LINE, &[text]);
            assert_eq!((&part["done"], &part["model"]), (&json!(false), &json!("llama3.2+simulated")));
        }
        for end in [end, &whole] {
            has(end, &END, &[&[text], more].concat());
            assert_eq!((&end["done"], &end["done_reason"]), (&json!(true), &json!("stop")));
            let parts = ["load_duration", "prompt_eval_duration", "eval_duration"];
            let sum: u64 = parts.iter().map(|part| end[part].as_u64().unwrap()).sum();
            // Zeros are told as one nanosecond.
            assert!(end["total_duration"].as_u64().unwrap().abs_diff(sum) <= 2, "{end}");
        }
        assert_eq!(told(&lines), told([&whole]));
        assert_eq!(parts.len() as u64, end["eval_count"].as_u64().unwrap(), "one token a line");
        for count in ["eval_count", "prompt_eval_count"] {
            assert_eq!(end[count], whole[count]);
        }
        assert!(told([&whole]).contains("Moby-Dick by Herman Melville"), "{whole}");
    }
}

#[tokio::test]
async fn a_chat_and_a_prompt_that_ask_the_same_are_answered_the_same() {
    let simulated = Simulated::start(&settings()).await;
    let chat = json(simulated.post("/api/chat", &chat(r#","stream":false"#)).await).await;
    let generate = json(simulated.post("/api/generate", &generate(r#","stream":false"#)).await).await;
    assert_eq!(chat["message"], json!({"role": "assistant", "content": generate["response"]}));
    assert_eq!(chat["eval_count"], generate["eval_count"]);
}

#[tokio::test]
async fn the_same_seed_answers_the_same_in_another_instance_and_under_concurrency() {
    let (one, two) = (Simulated::start(&settings()).await, Simulated::start(&settings()).await);
    let mut other_seed = settings();
    other_seed.seed = 2;
    let three = Simulated::start(&other_seed).await;
    let body = chat(r#","stream":false"#);
    let ask = async |simulated: &Simulated| {
        without_measurements(&json(simulated.post("/api/chat", &body).await).await)
    };
    let first = ask(&one).await;
    let (body, base, client) = (body.clone(), one.base.clone(), one.client.clone());
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (body, base, client) = (body.clone(), base.clone(), client.clone());
        asked.spawn(async move { json(crate::post(&client, &base, "/api/chat", &body).await).await });
    }
    for answer in asked.join_all().await {
        assert_eq!(without_measurements(&answer), first);
    }
    assert_eq!(ask(&two).await, first);
    assert_ne!(ask(&three).await, first);
}

#[tokio::test]
async fn an_answer_takes_the_time_drawn_and_tells_the_time_taken() {
    let mut slow = settings();
    slow.profiles = crate::slow(150.0);
    let simulated = Simulated::start(&slow).await;
    for body in [chat(""), chat(r#","stream":false"#)] {
        let started = Instant::now();
        let response = simulated.post("/api/chat", &body).await;
        let head = started.elapsed();
        let text = response.text().await.unwrap();
        let took = started.elapsed();
        let end: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert!(head >= Duration::from_millis(150), "{head:?}");
        let told = Duration::from_nanos(end["total_duration"].as_u64().unwrap());
        let until_first = ["load_duration", "prompt_eval_duration"].map(|part| end[part].as_u64().unwrap());
        assert!(Duration::from_nanos(until_first.iter().sum()) >= Duration::from_millis(150), "{end}");
        assert!(told <= took && told >= Duration::from_millis(150), "{told:?} of {took:?}");
    }
}

#[tokio::test]
async fn num_predict_and_stop_are_obeyed() {
    let simulated = Simulated::start(&settings()).await;
    let whole = json(simulated.post("/api/chat", &chat(r#","stream":false"#)).await).await;
    let body = chat(r#","stream":false,"options":{"num_predict":7}"#);
    let short = json(simulated.post("/api/chat", &body).await).await;
    assert_eq!((&short["eval_count"], &short["done_reason"]), (&json!(7), &json!("length")));
    let lines = lines(simulated.post("/api/chat", &chat(r#","options":{"num_predict":7}"#)).await).await;
    assert_eq!((lines.len(), &lines[7]["done_reason"]), (8, &json!("length")));
    assert_eq!(told(&lines), told([&short]));
    for none in ["-1", "0"] {
        let body = chat(&format!(r#","stream":false,"options":{{"num_predict":{none}}}"#));
        let unbounded = json(simulated.post("/api/chat", &body).await).await;
        assert_eq!(unbounded["message"], whole["message"]);
    }
    let body = chat(r#","stream":false,"options":{"stop":["."]}"#);
    let stopped = json(simulated.post("/api/chat", &body).await).await;
    assert!(!told([&stopped]).contains('.') && stopped["done_reason"] == "stop", "{stopped}");
}

#[tokio::test]
async fn json_is_given_where_json_is_asked_for() {
    let simulated = Simulated::start(&settings()).await;
    let body = generate(r#","stream":false,"format":"json""#);
    let any = json(simulated.post("/api/generate", &body).await).await;
    let object: Value = serde_json::from_str(any["response"].as_str().unwrap()).unwrap();
    assert!(object["summary"].as_str().unwrap().contains("Moby-Dick"), "{object}");
    let schema = r#"{"type":"object","properties":{"age":{"type":"integer"},"free":{"type":"boolean"}}}"#;
    let body = generate(&format!(r#","stream":false,"format":{schema}"#));
    let fitting = json(simulated.post("/api/generate", &body).await).await;
    let object: Value = serde_json::from_str(fitting["response"].as_str().unwrap()).unwrap();
    has(&object, &["age", "free"], &[]);
    assert!(object["age"].is_i64() && object["free"].is_boolean(), "{object}");
}

#[tokio::test]
async fn asking_nothing_loads_the_model() {
    let simulated = Simulated::start(&settings()).await;
    for (path, body, text, reason) in [
        ("/api/chat", r#"{"model":"llama3.2"}"#, "message", "load"),
        ("/api/chat", r#"{"model":"llama3.2","messages":[],"keep_alive":0}"#, "message", "unload"),
        ("/api/generate", r#"{"model":"llama3.2","prompt":""}"#, "response", "load"),
        ("/api/generate", r#"{"model":"llama3.2","keep_alive":"0"}"#, "response", "unload"),
    ] {
        let answer = json(simulated.post(path, body).await).await;
        has(&answer, &LOADED, &[text]);
        assert_eq!((&answer["done"], &answer["done_reason"]), (&json!(true), &json!(reason)), "{body}");
        assert_eq!(told([&answer]), "");
    }
    let metrics = simulated.metrics().await;
    let mut counted = metrics.lines().filter(|line| line.starts_with("simulator_answers_total{"));
    assert!(counted.all(|line| line.ends_with("} 0")), "nothing was answered: {metrics}");
}

#[tokio::test]
async fn failures_are_drawn_and_counted() {
    let mut failing = settings();
    failing.profiles = Profiles::all(crate::profile().with_error_rate(1.0));
    let simulated = Simulated::start(&failing).await;
    let response = simulated.post("/api/chat", &chat("")).await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()["x-llm-simulated"], "true");
    let body = json(response).await;
    has(&body, &["error"], &[]);
    assert!(body["error"].as_str().unwrap().starts_with("simulated failure"), "{body}");
    let line = r#"simulator_answers_total{model="llama3.2",outcome="error",protocol="ollama"} 1"#;
    assert!(simulated.metrics().await.contains(line));

    // Two runs, fresh: the same retries fail.
    failing.profiles = Profiles::all(crate::profile().with_error_rate(0.5));
    let mut runs = Vec::new();
    for _ in 0..2 {
        let simulated = Simulated::start(&failing).await;
        let mut run = Vec::new();
        for _ in 0..12 {
            let body = chat(r#","stream":false,"options":{"num_predict":1}"#);
            run.push(simulated.post("/api/chat", &body).await.status().as_u16());
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&200) && runs[0].contains(&500), "{:?}", runs[0]);
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_answer() {
    let mut endless = settings();
    endless.profiles =
        Profiles::all(Profile::log_normal("slow", (10.0, 10.0), (200.0, 200.0), (60.0, 90.0)).unwrap());
    let simulated = Simulated::start(&endless).await;
    let mut response = simulated.post("/api/chat", &chat("")).await;
    assert!(response.chunk().await.unwrap().is_some());
    drop(response);
    let deadline = Instant::now() + Duration::from_secs(5);
    let line = r#"simulator_answers_total{model="llama3.2",outcome="abandoned",protocol="ollama"} 1"#;
    while !simulated.metrics().await.contains(line) {
        assert!(Instant::now() < deadline, "{}", simulated.metrics().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_was_told_is_what_is_counted() {
    let simulated = Simulated::start(&settings()).await;
    let (mut input, mut output) = (0, 0);
    for body in [chat(""), chat(r#","stream":false"#), chat(r#","options":{"num_predict":3}"#)] {
        let text = simulated.post("/api/chat", &body).await.text().await.unwrap();
        let end: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        input += end["prompt_eval_count"].as_u64().unwrap();
        output += end["eval_count"].as_u64().unwrap();
    }
    let metrics = simulated.metrics().await;
    for line in [
        r#"simulator_answers_total{model="llama3.2",outcome="ok",protocol="ollama"} 3"#.to_owned(),
        format!(r#"simulator_tokens_total{{model="llama3.2",protocol="ollama",type="input"}} {input}"#),
        format!(r#"simulator_tokens_total{{model="llama3.2",protocol="ollama",type="output"}} {output}"#),
    ] {
        assert!(metrics.contains(&line), "{line} is missing in\n{metrics}");
    }
}

/// Status and words as an Ollama 0.17.4 answered.
#[tokio::test]
async fn refusals_are_those_of_ollama() {
    let simulated = Simulated::start(&settings()).await;
    for (path, body, status, said) in [
        ("/api/chat", r#"{"model":"nope","messages":[]}"#, 404, "model 'nope' not found"),
        ("/api/generate", r#"{"model":"nope","prompt":"x"}"#, 404, "model 'nope' not found"),
        ("/api/generate", "{}", 404, "model '' not found"),
        ("/api/show", r#"{"model":"nope"}"#, 404, "model 'nope' not found"),
        ("/api/show", "{}", 400, "model is required"),
        ("/api/chat", "{}", 400, "model is required"),
        ("/api/chat", "", 400, "missing request body"),
        ("/api/chat", "{bad", 400, "invalid character 'b' looking for beginning of object key string"),
        (
            "/api/generate",
            r#"{"model":"llama3.2","prompt":5}"#,
            400,
            "json: cannot unmarshal number into Go struct field GenerateRequest.prompt of type string",
        ),
        (
            "/api/generate",
            r#"{"model":"llama3.2","prompt":"x","options":{"num_predict":"5"}}"#,
            500,
            "option \"num_predict\" must be of type integer",
        ),
    ] {
        let response = simulated.post(path, body).await;
        assert_eq!(response.status(), status, "{path} {body}");
        assert_eq!(response.headers()["x-llm-simulated"], "true");
        assert_eq!(json(response).await, json!({"error": said}), "{path} {body}");
    }
    let large = |bytes| format!(r#"{{"model":"llama3.2","prompt":"{}"}}"#, "x".repeat(bytes));
    assert_eq!(simulated.post("/api/generate", &large(3 << 20)).await.status(), 200);
    let response = simulated.post("/api/generate", &large(32 << 20)).await;
    assert_eq!(response.status(), 413);
    has(&json(response).await, &["error"], &[]);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_plain_text() {
    let simulated = Simulated::start(&settings()).await;
    for path in ["/api/chat", "/api/generate", "/api/show"] {
        let response = simulated.get(path).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"POST".parse().unwrap())
        );
        assert_eq!(response.text().await.unwrap(), "405 method not allowed");
    }
    assert_eq!(simulated.post("/api/tags", "{}").await.status(), 405);
    let response = simulated.get("/api/nope").await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.text().await.unwrap(), "404 page not found");
}

#[tokio::test]
async fn models_are_listed_and_shown_and_say_what_they_are() {
    let simulated = Simulated::start(&settings()).await;
    let tags = json(simulated.get("/API/Tags").await).await;
    has(&tags, &["models"], &[]);
    let names: Vec<_> = tags["models"].as_array().unwrap().iter().map(|model| &model["name"]).collect();
    assert_eq!(names[..2], ["llama3.2:latest", "me/own:1b"]);
    for model in tags["models"].as_array().unwrap() {
        has(model, &MODEL, &[]);
        has(&model["details"], &DETAILS, &[]);
        assert_eq!(model["details"]["family"], "simulated");
        let name = model["name"].as_str().unwrap();
        let shown = json(simulated.post("/api/show", &format!(r#"{{"model":"{name}"}}"#)).await).await;
        has(&shown, &SHOWN, &[]);
        let body = format!(r#"{{"model":"{name}","prompt":"x","stream":false}}"#);
        let answer = json(simulated.post("/api/generate", &body).await).await;
        assert_eq!(answer["model"], format!("{name}+simulated"));
    }
    let version = json(simulated.get("/api/version").await).await;
    assert_eq!(fields(&version).len(), 1);
    assert!(version["version"].as_str().unwrap().ends_with("+simulated"), "{version}");
}

#[tokio::test]
async fn it_says_that_it_runs() {
    let simulated = Simulated::start(&settings()).await;
    assert_eq!(simulated.get("/").await.text().await.unwrap(), "Ollama is running");
    let head = simulated.client.head(format!("{}/", simulated.base)).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"17".parse().unwrap()));
}
