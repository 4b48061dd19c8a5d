//! `/api/v1/runs` and `/api/v1/scenarios`.

use reqwest::header::{CONTENT_TYPE, LOCATION};
use rustix::process::Signal;
use serde_json::json;

use crate::k6;
use crate::service::{Service, command, run};
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_from_its_start_to_its_report() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut command(data.path(), &shop.targets())).await;
    let (_, scenarios) = service.get_json("/api/v1/scenarios").await;
    assert!(scenarios["items"].as_array().unwrap().iter().any(|scenario| scenario["name"] == "smoke"));

    let body = json!({ "scenario": "smoke", "target": "local", "durationSeconds": 2, "users": 2, "provider": "ollama" });
    let answer =
        service.client.post(format!("{}/API/v1/Runs", service.url)).json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let path = answer.headers()[LOCATION].to_str().unwrap().to_owned();
    let accepted: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(path, format!("/api/v1/runs/{}", accepted["id"].as_str().unwrap()));
    assert_eq!((&accepted["scenario"], &accepted["state"]), (&"smoke".into(), &"queued".into()));

    let ended =
        service.wait_until(accepted["id"].as_str().unwrap(), &["finished", "failed", "cancelled"]).await;
    assert_eq!((&ended["state"], &ended["outcome"]), (&"finished".into(), &"passed".into()), "{ended}");
    assert_eq!((&ended["engine"], &ended["simulated"]), (&"local".into(), &true.into()));
    assert!(ended["summary"]["thresholds"].as_array().unwrap().len() > 1);

    let (status, results) = service.get_json(&format!("{path}/summary")).await;
    assert_eq!((status, &results["summary"]), (200, &ended["summary"]));
    let report = service.client.get(format!("{}{path}/report", service.url)).send().await.unwrap();
    assert_eq!(report.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(report.text().await.unwrap().contains("smoke"));
    assert_eq!(service.get(&format!("{path}/log")).await.0, 200);

    let (_, page) = service.get_json("/api/v1/runs").await;
    assert_eq!((&page["total"], &page["items"][0]), (&1.into(), &ended));
    let (status, problem) = service.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &"run_ended".into()));
    let (_, metrics) = service.get("/metrics").await;
    assert!(metrics.contains(r#"perf_runs_total{outcome="passed",scenario="smoke"} 1"#), "{metrics}");
    let (_, openapi) = service.get_json("/openapi.json").await;
    assert!(openapi["paths"]["/api/v1/runs/{id}/cancel"]["post"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_wait_for_each_other_and_a_cancelled_one_leaves_no_k6() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut command(data.path(), &shop.targets())).await;
    let long = json!({ "scenario": "smoke", "durationSeconds": 60 });
    let first = service.start_run(&long).await;
    let folder = k6::busy_run(data.path());
    let k6_pid = k6::pid(&folder);
    let second = service.start_run(&long).await;
    let third = service.start_run(&long).await;
    let (status, cancelled) = service.post(&format!("/api/v1/runs/{second}/cancel"), &json!({})).await;
    assert_eq!((status, &cancelled["state"]), (202, &"cancelled".into()), "{cancelled}");
    assert!(cancelled.get("startedAt").is_none());

    let (status, stopping) = service.post(&format!("/api/v1/runs/{first}/cancel"), &json!({})).await;
    assert_eq!(status, 202);
    assert!(["stopping", "cancelled"].contains(&stopping["state"].as_str().unwrap()), "{stopping}");
    let stopped = service.wait_until(&first, &["cancelled", "finished", "failed"]).await;
    assert_eq!((&stopped["state"], stopped.get("outcome")), (&"cancelled".into(), None), "{stopped}");
    assert_eq!(stopped["reason"], "somebody cancelled it");
    assert!(k6::is_gone(k6_pid));
    let (again, _) = service.post(&format!("/api/v1/runs/{first}/cancel"), &json!({})).await;
    assert_eq!(again, 202);

    // It was the third one's turn all along.
    service.wait_until(&third, &["running"]).await;
    let states = service.get_json("/api/v1/runs?limit=2").await.1;
    assert_eq!((&states["items"][0]["id"], &states["total"]), (&third.as_str().into(), &3.into()));
    let cursor = states["nextCursor"].as_str().unwrap();
    let (_, rest) = service.get_json(&format!("/api/v1/runs?limit=2&cursor={cursor}")).await;
    assert_eq!((&rest["items"][0]["id"], rest.get("nextCursor")), (&first.as_str().into(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_leaves_no_k6() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut command(data.path(), &shop.targets())).await;
    let long = json!({ "scenario": "smoke", "durationSeconds": 60 });
    service.start_run(&long).await;
    let folder = k6::busy_run(data.path());
    service.start_run(&long).await;
    let k6_pid = k6::pid(&folder);
    service.process.signal(Signal::TERM);
    let (code, out, err) = service.process.end();
    assert_eq!(code, 0, "{out}{err}");
    assert!(k6::is_gone(k6_pid));
    for folder in k6::run_folders(data.path()) {
        let entry = k6::entry(&folder);
        assert_eq!(
            (&entry["state"], &entry["reason"]),
            (&"cancelled".into(), &"perf-service was stopped".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_run_is_refused_with_a_problem() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut command(data.path(), &shop.targets())).await;
    for (body, status, code) in [
        (json!({"scenario": "nosuch"}), 400, "unknown_scenario"),
        (json!({"scenario": "../x"}), 400, "unknown_scenario"),
        (json!({"scenario": "<script>alert(1)</script>"}), 400, "unknown_scenario"),
        (json!({"scenario": "smoke", "target": "http://127.0.0.1:1"}), 400, "unknown_target"),
        (json!({"scenario": "smoke", "durationSeconds": 0}), 422, "validation_failed"),
        (json!({"scenario": "smoke", "durationSeconds": 3601}), 422, "validation_failed"),
        (json!({"scenario": "smoke", "users": 4_000_000_000_u32}), 422, "validation_failed"),
        (json!({"scenario": "smoke", "users": -1}), 422, "validation_failed"),
        (json!({"scenario": "smoke", "provider": "$(id)"}), 422, "validation_failed"),
        (json!({"scenario": "smoke", "image": "evil"}), 422, "validation_failed"),
        (json!({"target": "local"}), 422, "validation_failed"),
    ] {
        let (got, problem) = service.post("/api/v1/runs", &body).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{body}: {problem}");
        assert_eq!(problem["instance"], "/api/v1/runs");
    }
    let (_, unknown) = service.post("/api/v1/runs", &json!({"scenario": "nosuch"})).await;
    assert!(unknown["detail"].as_str().unwrap().contains("smoke"), "{unknown}");
    let (_, both) =
        service.post("/api/v1/runs", &json!({"scenario": "smoke", "users": 0, "durationSeconds": 0})).await;
    assert_eq!(both["errors"].as_array().unwrap().len(), 2, "{both}");
    let plain = service.client.post(format!("{}/api/v1/runs", service.url)).body(r#"{"scenario":"smoke"}"#);
    assert_eq!(plain.send().await.unwrap().status(), 415);
    let absent = "/api/v1/runs/01890000-0000-7000-8000-000000000000";
    for (path, status) in [
        (absent.to_owned(), 404),
        (format!("{absent}/report"), 404),
        ("/api/v1/runs/x".to_owned(), 400),
        ("/api/v1/runs/..%2f..%2fetc".to_owned(), 400),
        ("/api/v1/runs?limit=0".to_owned(), 422),
        ("/api/v1/runs?cursor=x".to_owned(), 400),
        ("/api/v1/runs?page=1".to_owned(), 400),
    ] {
        assert_eq!(service.get(&path).await.0, status, "{path}");
    }
    assert_eq!(service.post(&format!("{absent}/cancel"), &json!({})).await.0, 404);
    assert!(k6::run_folders(data.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_only_its_holder_starts_runs() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let token = "a-token-that-nobody-guesses";
    let service = Service::start(command(data.path(), &shop.targets()).env("API_TOKEN", token)).await;
    let body = json!({ "scenario": "smoke", "durationSeconds": 60 });
    assert_eq!(service.post("/api/v1/runs", &body).await.0, 401);
    assert_eq!(service.get("/api/v1/runs").await.0, 200);
    let allowed = service.client.post(format!("{}/api/v1/runs", service.url)).bearer_auth(token).json(&body);
    let run: serde_json::Value = allowed.send().await.unwrap().json().await.unwrap();
    let cancel = format!("/api/v1/runs/{}/cancel", run["id"].as_str().unwrap());
    assert_eq!(service.post(&cancel, &json!({})).await.0, 401);
    let allowed = service.client.post(format!("{}{cancel}", service.url)).bearer_auth(token);
    assert_eq!(allowed.send().await.unwrap().status(), 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_or_folder_that_cannot_be_used_is_told() {
    let data = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, _, err) = run(command(data.path(), "a=http://127.0.0.1:1").env("HTTP_PORT", &port));
    assert!(code == 1 && err.contains("in use"), "{code}: {err}");
    let file = data.path().join("file");
    std::fs::write(&file, "").unwrap();
    for verb in [&["serve"][..], &["run", "smoke"]] {
        let (code, _, err) =
            run(command(&file.join("data"), "a=http://127.0.0.1:1").env("HTTP_PORT", "0").args(verb));
        assert!(code == 1 && err.contains("set DATA_DIR to another"), "{code}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_newer_version_is_told_as_such_and_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let started = || async { Service::start(&mut command(data.path(), "local=http://127.0.0.1:1")).await };
    let service = started().await;
    let id = service.start_run(&json!({ "scenario": "smoke" })).await;
    service.wait_until(&id, &["failed"]).await;
    service.process.signal(rustix::process::Signal::TERM);
    service.process.end();
    let ledger = rusqlite::Connection::open(data.path().join("runs.sqlite")).unwrap();
    let newer = r#"{"of":"the future"}"#;
    ledger.execute("UPDATE runs SET version = 2, ended = 0, entry = ? WHERE id = ?", [newer, &id]).unwrap();

    let service = started().await;
    for part in ["", "/log", "/report", "/summary", "/events"] {
        let (status, problem) = service.get_json(&format!("/api/v1/runs/{id}{part}")).await;
        assert_eq!((status, &problem["code"]), (409, &"entry_newer".into()), "{part}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains("newer perf-service"), "{problem}");
    }
    let (status, problem) = service.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &"entry_newer".into()), "{problem}");
    let (_, page) = service.get_json("/api/v1/runs").await;
    assert_eq!((page["items"].as_array().unwrap().len(), &page["total"]), (0, &0.into()), "{page}");
    let (entry, takeovers): (String, u32) = ledger
        .query_row("SELECT entry, takeovers FROM runs WHERE id = ?", [&id], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!((entry.as_str(), takeovers), (newer, 0));
}
