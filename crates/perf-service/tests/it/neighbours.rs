//! Two services with ledgers of their own that share a target through Redis. `REDIS_URL` has to name
//! one.

use std::path::Path;
use std::process::Command;

use perf_service::targets;
use rustix::process::Signal;
use serde_json::json;

use crate::k6;
use crate::service::{Service, command};
use crate::shop::Shop;

fn redis_url() -> String {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where Redis is")]
    let url = std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty());
    url.expect(
        "REDIS_URL is not set: start a Redis, `docker run -p 127.0.0.1:6379:6379 redis:7.2`, and name it",
    )
}

fn sharing(data: &Path, targets: &str) -> Command {
    let mut command = command(data, targets);
    command.env("REDIS_URL", redis_url());
    command
}

/// Redis forgets who is at a shop, as if it had been started anew.
async fn forget_place_at(shop: &Shop) {
    let address = targets::parse(&shop.targets()).unwrap()[0].fingerprint();
    let mut connection =
        redis::Client::open(redis_url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let forgotten: u8 = redis::cmd("DEL")
        .arg(format!("perf-service:v1:target:{address}:0"))
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(forgotten, 1, "nobody was there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_place_was_forgotten_proves_nothing_even_when_it_has_it_again() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service = Service::start(&mut sharing(data.path(), &shop.targets())).await;
    let id = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 6 })).await;
    k6::busy_run(data.path());
    forget_place_at(&shop).await;
    let ended = service.wait_until(&id, &["finished", "failed", "cancelled"]).await;
    assert_eq!(ended["outcome"], "inconclusive", "{ended}");
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.contains("another run may have put load on the target"), "{reason}");
    let (_, summary) = service.get_json(&format!("/api/v1/runs/{id}/summary")).await;
    assert_eq!(summary["outcome"], "inconclusive", "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_runs_that_a_forgetful_redis_let_in_neither_counts() {
    let (one_data, other_data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shop = Shop::open().await;
    // Nobody reads what they log, and this takes a while.
    let quiet = |data: &Path| {
        let mut command = sharing(data, &shop.targets());
        command.env("LOG_FILTER", "error");
        command
    };
    let one = Service::start(&mut quiet(one_data.path())).await;
    let other = Service::start(&mut quiet(other_data.path())).await;
    let first = one.start_run(&json!({ "scenario": "smoke", "durationSeconds": 25 })).await;
    k6::busy_run(one_data.path());
    let second = other.start_run(&json!({ "scenario": "smoke", "durationSeconds": 8 })).await;
    // Whoever asks first has the place; after a few times it is the second one.
    while other.get_json(&format!("/api/v1/runs/{second}")).await.1["state"] == "queued" {
        forget_place_at(&shop).await;
        tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    }
    for (service, id) in [(&one, &first), (&other, &second)] {
        let ended = service.wait_until(id, &["finished", "failed", "cancelled"]).await;
        assert_eq!(ended["outcome"], "inconclusive", "{ended}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_share_a_target_and_see_each_others_runs() {
    let (one_data, other_data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shop = Shop::open().await;
    let one = Service::start(&mut sharing(one_data.path(), &shop.targets())).await;
    // Under another name it is the same target.
    let renamed = format!("shop=http://{}", shop.address);
    let other = Service::start(&mut sharing(other_data.path(), &renamed)).await;
    let long = json!({ "scenario": "smoke", "durationSeconds": 60 });
    let first = one.start_run(&long).await;
    k6::busy_run(one_data.path());
    let second = other.start_run(&json!({ "scenario": "smoke", "durationSeconds": 1 })).await;

    let path = format!("/api/v1/runs/{first}");
    k6::wait_for("word of the run", || {
        let (status, run) =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(other.get_json(&path)));
        (status == 200 && run["state"] == "running").then_some(())
    });
    assert_eq!(other.get_json(&format!("/api/v1/runs/{second}")).await.1["state"], "queued");
    assert_eq!(k6::run_folders(other_data.path()).len(), 1, "the queued one's own");

    // The place outlives its holder's death, and is the same run's again.
    one.process.signal(Signal::KILL);
    one.process.end();
    let one = Service::start(&mut sharing(one_data.path(), &shop.targets())).await;
    assert_eq!(one.wait_until(&first, &["running"]).await["state"], "running");
    assert_eq!(other.get_json(&format!("/api/v1/runs/{second}")).await.1["state"], "queued");

    k6::wait_for("the stop by a neighbour", || {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let (status, _) = other.post(&format!("{path}/cancel"), &json!({})).await;
                assert!([202, 409].contains(&status), "{status}");
                (one.get_json(&path).await.1["state"] == "cancelled").then_some(())
            })
        })
    });
    let ended = other.wait_until(&first, &["cancelled"]).await;
    assert_eq!(ended["reason"], "somebody cancelled it");
    assert_eq!(other.wait_until(&second, &["finished"]).await["outcome"], "passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_run_waits_and_says_for_what() {
    let (data, shop) = (tempfile::tempdir().unwrap(), Shop::open().await);
    let service =
        Service::start(command(data.path(), &shop.targets()).env("REDIS_URL", "redis://:canary@127.0.0.1:1"))
            .await;
    let id = service.start_run(&json!({ "scenario": "smoke", "durationSeconds": 1 })).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(service.get_json(&format!("/api/v1/runs/{id}")).await.1["state"], "queued");
    assert_eq!(shop.requests(), 0);
    service.process.signal(Signal::TERM);
    let (code, out, err) = service.process.end();
    assert_eq!(code, 0, "{out}{err}");
    assert!(err.contains("neighbours") || out.contains("neighbours"), "{out}{err}");
    assert!(!format!("{out}{err}").contains("canary"), "{out}{err}");
}
