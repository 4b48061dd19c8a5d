//! `/api/v1/runs/{id}/events`.

use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::k6;
use crate::service::{Running, Service, command};
use crate::shop::Shop;

/// All events of a run until its stream ends: name, id and data.
async fn followed(service: &Service, run: &str) -> Vec<(String, Option<String>, Value)> {
    let url = format!("{}/api/v1/runs/{run}/events", service.url);
    let answer = service.client.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("\n\n"), "{text}");
    let event = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
        (field("event: ").unwrap(), field("id: "), data)
    };
    text.split_terminator("\n\n").map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_from_its_start_to_its_end() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut command(data.path(), &shop.targets())).await;
    let id = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 3, "users": 2 })).await;
    let waiting = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 1 })).await;
    let (events, second) = tokio::join!(followed(&service, &id), followed(&service, &waiting));

    let ((name, event_id, ended), moments) = events.split_last().unwrap();
    assert_eq!((name.as_str(), event_id.as_deref()), ("ended", Some("ended")));
    assert_eq!(ended, &service.get_json(&format!("/api/v1/runs/{id}")).await.1);
    assert_eq!(ended["state"], "finished", "{ended}");
    assert!(moments.iter().all(|(name, _, moment)| name == "progress" && moment["id"] == id.as_str()));
    let measuring: Vec<&Value> =
        moments.iter().map(|(_, _, moment)| moment).filter(|moment| moment["phase"] == "measuring").collect();
    // 3 s of load, a moment each second.
    assert!(measuring.len() >= 2, "{moments:?}");
    for moment in &measuring {
        assert!(moment["rps"].as_f64().unwrap() > 0.0 && moment["p95Ms"].as_f64().unwrap() > 0.0, "{moment}");
        assert_eq!((&moment["totalSeconds"], &moment["failed"]), (&3.into(), &0.into()), "{moment}");
        assert!((0.0..=1.0).contains(&moment["progress"].as_f64().unwrap()), "{moment}");
    }
    let grows = |field: &str| measuring.iter().map(|m| m[field].as_f64().unwrap()).is_sorted();
    assert!(grows("requests") && grows("progress") && grows("measuredSeconds"));

    assert_eq!(second[0].2["phase"], "waiting");
    assert!(second.iter().any(|(_, _, moment)| moment["waitingFor"].is_string()), "{second:?}");
    assert_eq!(second.last().unwrap().0, "ended");

    // Who comes late gets the end alone, and a browser that has seen it is told to stay away.
    let late = followed(&service, &id).await;
    assert_eq!((late.len(), &late[0].2), (1, ended));
    let again = service.client.get(format!("{}/api/v1/runs/{id}/events", service.url));
    assert_eq!(again.header("Last-Event-ID", "ended").send().await.unwrap().status(), 204);
    let absent = "/api/v1/runs/01890000-0000-7000-8000-000000000000/events";
    assert_eq!((service.get(absent).await.0, service.get("/api/v1/runs/x/events").await.0), (404, 400));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_and_a_stopped_service_end_their_events() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut command(data.path(), &shop.targets())).await;
    let long = json!({ "scenario": "smoke", "durationSeconds": 60 });
    let (first, second) = (service.start_run(&long).await, service.start_run(&long).await);
    k6::wait_for("a busy run", || {
        let folder = data.path().join("runs").join(&first);
        let size = std::fs::metadata(folder.join("samples.ndjson")).ok()?.len();
        (size > 0).then_some(())
    });
    let cancel = format!("/api/v1/runs/{first}/cancel");
    let (events, _) = tokio::join!(followed(&service, &first), async {
        service.wait_until(&first, &["running"]).await;
        service.post(&cancel, &json!({})).await
    });
    assert_eq!(events.last().unwrap().2["state"], "cancelled", "{events:?}");
    assert!(events.iter().any(|(_, _, moment)| moment["phase"] == "stopping"), "{events:?}");

    let (events, ()) = tokio::join!(followed(&service, &second), async {
        service.wait_until(&second, &["running"]).await;
        service.process.signal(rustix::process::Signal::TERM);
    });
    let (name, _, run) = events.last().unwrap();
    assert_eq!((name.as_str(), &run["reason"]), ("ended", &"perf-service was stopped".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_another_process_is_followed_by_its_state() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let elsewhere = Running::start(command(data.path(), &shop.targets()).args([
        "run",
        "smoke",
        "--duration",
        "4s",
        "--max-p95-ms",
        "60000",
    ]));
    k6::busy_run(data.path());
    let service = Service::start(&mut command(data.path(), &shop.targets())).await;
    let (_, page) = service.get_json("/api/v1/runs").await;
    let id = page["items"][0]["id"].as_str().unwrap();
    let events = followed(&service, id).await;
    assert_eq!(elsewhere.end().0, 0);
    assert_eq!(events[0].2["state"], "running", "{events:?}");
    assert_eq!(events.last().unwrap().2["outcome"], "passed", "{events:?}");
}
