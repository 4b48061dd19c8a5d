//! Two services with ledgers of their own that share a target through Redis. `REDIS_URL` has to name
//! one.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::k6;
use crate::service::{Service, command};
use crate::shop::Shop;

fn sharing(data: &Path, targets: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "tests are told by the environment where Redis is")]
    let url = std::env::var("REDIS_URL").ok().filter(|url| !url.is_empty());
    let url = url.expect(
        "REDIS_URL is not set: start a Redis, `docker run -p 127.0.0.1:6379:6379 redis:7.2`, and name it",
    );
    let mut command = command(data, targets);
    command.env("REDIS_URL", url);
    command
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
