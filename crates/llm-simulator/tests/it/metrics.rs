//! What `/metrics` of the real process shows, against the table.

use std::time::Duration;

use telemetry::table::listing::of_service;
use telemetry::table::scrape::contradictions;

use crate::process::serve;

/// Shown by the recorder only, which asks another.
const WHILE_RECORDING: [&str; 1] = ["http.client.request.duration"];

#[tokio::test]
async fn what_is_shown_is_in_the_table_and_the_other_way_round() {
    let (mut child, port) = serve();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let question =
        serde_json::json!({ "model": "llama3.2", "messages": [{ "role": "user", "content": "A whale?" }] });
    let answer = client.post(format!("{url}/api/chat")).json(&question).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("x-trace-id"));
    answer.text().await.unwrap();
    let text = client.get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
    let stopped =
        std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success() && child.wait().unwrap().success());
    let expected = of_service("llm-simulator").filter(|metric| !WHILE_RECORDING.contains(&metric.name));
    assert_eq!(contradictions(&text, expected), Vec::<String>::new(), "{text}");
}
