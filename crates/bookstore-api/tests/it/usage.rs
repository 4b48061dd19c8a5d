//! `GET /api/v1/llm/usage`, and on whose account summaries are: keys, trusted peers, budgets, refusals.

use bookstore_api::tenants::{DrawnKey, draw_key};
use futures::future::join_all;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::service::{Reply, Service, Start};
use crate::upstream::{Upstream, answer};

const TOKEN: &str = "0123456789abcdef";
const USAGE: &str = "/api/v1/llm/usage";

/// Ollama's answers cost here: 1000 dollars for a million tokens of an answer, a tenth of a cent for one.
const PRICES: &str = r#"{"version":2,"prices":[{"provider":"ollama","model":"*","input":"0","output":"1000",
    "source":"made up","asOf":"2026-11-21"}]}"#;

/// An Ollama whose answers all have 100 tokens, and so cost ten cents.
async fn upstream() -> Upstream {
    Upstream::with(|_: &wiremock::Request| answer("A captain hunts a whale.", 300, 100)).await
}

/// A service with a budget of so many dollars for acme, and one of a call a minute for whoever is unknown.
fn start(upstream: &Upstream, dollars: &str, key: &DrawnKey) -> Start {
    let start = Start::new(&upstream.url());
    let (prices, hash) = (start.file("prices.json", PRICES), &key.sha256);
    let tenants = format!(
        r#"{{"version":1,"default":{{"requestsPerMinute":1}},
            "tenants":[{{"id":"acme","apiKeySha256":["{hash}"],"dailyBudgetUsd":"{dollars}"}},{{"id":"other"}}]}}"#
    );
    let tenants = start.file("tenants.json", tenants);
    start
        .argument("--llm-prices-file", prices.to_str().unwrap())
        .argument("--tenants-file", tenants.to_str().unwrap())
}

/// Asks for a new summary with a header.
async fn summarise(service: &Service, book: &str, header: (&str, &str)) -> Reply {
    let path = format!("/api/v1/books/{book}/generate-summary?refresh=true");
    service.with(Method::POST, &path, header, &Value::Null).await
}

/// What is told of the spending of whoever sends this header.
async fn usage(service: &Service, query: &str, header: (&str, &str)) -> Value {
    service.with(Method::GET, &format!("{USAGE}{query}"), header, &Value::Null).await.expect(200)
}

fn close(value: &Value, wanted: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - wanted).abs() < 1e-9)
}

#[tokio::test]
async fn a_tenant_spends_its_own_budget_and_sees_it() {
    let (upstream, key) = (upstream().await, draw_key().unwrap());
    let start = start(&upstream, "1", &key);
    let service = start.serve();
    let book = service.book("Moby-Dick").await;
    let acme = ("X-Api-Key", key.key.as_str());
    let mut paid = 0;
    let refused = loop {
        let reply = summarise(&service, &book, acme).await;
        if reply.status == 429 {
            break reply;
        }
        assert!(close(&reply.expect(200)["costUsd"], 0.1), "{reply:?}");
        paid += 1;
        assert!(paid <= 10, "more than the budget was paid");
    };
    assert!(paid > 0);
    let problem = refused.problem(429, "llm_limit_reached");
    let limit = &problem["limit"];
    assert_eq!(
        (&limit["scope"], &limit["kind"]),
        (&json!("tenant"), &json!("daily_budget_usd")),
        "{problem}"
    );
    assert!(close(&limit["limit"], 1.0), "{problem}");
    assert!(close(&limit["left"], 1.0 - 0.1 * f64::from(paid)), "{problem}");
    assert!(limit["resetsAt"].as_str().unwrap().ends_with("T00:00:00Z"), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains(" is left"), "{problem}");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=86_400).contains(&wait), "{wait}");
    assert_eq!(upstream.calls().await, usize::try_from(paid).unwrap());
    let refusals = service.metric("bookstore_llm_limit_refusals_total", &[r#"limit="tenant_budget""#]).await;
    assert!((refusals - 1.0).abs() < 1e-9, "{refusals}");

    // What costs nothing goes on, and so do others, each with limits of their own.
    let free = format!("/api/v1/books/{book}/generate-summary?provider=simulated");
    service.with(Method::POST, &free, acme, &Value::Null).await.expect(200);
    summarise(&service, &book, ("X-Other", "")).await.expect(200);

    let own = usage(&service, "", acme).await;
    let items = own["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["tenant"] == "acme") && items.len() == 2, "{own}");
    let ollama = items.iter().find(|item| item["provider"] == "ollama").unwrap();
    assert_eq!((&ollama["model"], &ollama["simulated"]), (&json!("llama3.2"), &json!(false)));
    assert_eq!((&ollama["calls"], &ollama["outputTokens"]), (&json!(paid), &json!(100 * paid)));
    assert!(
        close(&ollama["costUsd"], 0.1 * f64::from(paid))
            && close(&own["totals"]["costUsd"], 0.1 * f64::from(paid))
    );
    assert_eq!((own["limits"].as_array().unwrap().len(), &own["limits"][0]["tenant"]), (1, &json!("acme")));
    assert!(close(&own["limits"][0]["left"], 1.0 - 0.1 * f64::from(paid)), "{own}");

    let all = usage(&service, "", ("X-Other", "")).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 3, "{all}");
    assert_eq!(all["totals"]["calls"], paid + 2, "{all}");
    // The cap of all together is ten dollars unless a setting says otherwise.
    let global = all["limits"].as_array().unwrap().iter().find(|limit| limit["scope"] == "global").unwrap();
    assert!(
        close(&global["limit"], 10.0) && close(&global["left"], 10.0 - 0.1 * f64::from(paid + 1)),
        "{all}"
    );
    let one = usage(&service, "?tenant=default", ("X-Other", "")).await;
    assert_eq!(
        (&one["items"][0]["tenant"], &one["totals"]["calls"]),
        (&json!("default"), &json!(1)),
        "{one}"
    );
    let none = usage(&service, "?from=2026-01-01&to=2026-01-31", ("X-Other", "")).await;
    assert_eq!((&none["items"], &none["totals"]["calls"]), (&json!([]), &json!(0)));

    // Neither a stop nor a kill makes anybody forget.
    let after_a_stop = {
        service.stop();
        start.serve()
    };
    assert_eq!(usage(&after_a_stop, "", ("X-Other", "")).await["items"], all["items"]);
    summarise(&after_a_stop, &book, acme).await.problem(429, "llm_limit_reached");
}

#[tokio::test]
async fn what_was_spent_survives_a_kill() {
    let (upstream, key) = (upstream().await, draw_key().unwrap());
    let start = start(&upstream, "1000", &key);
    let mut service = start.serve();
    let mut spent = 0;
    for _ in 0..3 {
        let book = service.book("Moby-Dick").await;
        let asked = (0..20).map(|_| summarise(&service, &book, ("X-Api-Key", &key.key)));
        for reply in join_all(asked).await {
            let summary = reply.expect(200);
            spent += summary["usage"]["outputTokens"].as_u64().unwrap();
        }
        // What is told is written.
        let before = usage(&service, "", ("X-Other", "")).await;
        assert_eq!(before["totals"]["outputTokens"], spent, "{before}");
        service.signal(Signal::KILL);
        service.wait();
        service = start.serve();
        let after = usage(&service, "", ("X-Other", "")).await;
        assert_eq!(after["items"], before["items"]);
        assert!(
            close(&after["limits"][0]["left"], 1000.0 - after["totals"]["costUsd"].as_f64().unwrap()),
            "{after}"
        );
    }
    assert_eq!(
        spent,
        100 * u64::try_from(upstream.calls().await).unwrap(),
        "what was said to be used up was"
    );
}

#[tokio::test]
async fn a_tenant_without_money_is_not_in_the_way_of_one_with_it() {
    let (upstream, key) = (upstream().await, draw_key().unwrap());
    let start = start(&upstream, "0.0001", &key);
    let service = start.serve();
    let book = service.book("Moby-Dick").await;
    // The default tenant has no budget, but a rate: its second call a minute is refused by that.
    let poor = join_all((0..20).map(|_| summarise(&service, &book, ("X-Api-Key", &key.key))));
    let rich = summarise(&service, &book, ("X-Other", ""));
    let (poor, rich) = tokio::join!(poor, rich);
    rich.expect(200);
    for reply in poor.iter().filter(|reply| reply.status != 200) {
        let problem = reply.problem(429, "llm_limit_reached");
        assert!(problem["detail"].as_str().unwrap().contains("has to be raised"), "{problem}");
        assert_eq!(reply.header("retry-after"), "", "no wait helps");
    }
}

#[tokio::test]
async fn invented_tenants_share_the_default_ones_limits() {
    let (upstream, key) = (upstream().await, draw_key().unwrap());
    let service = start(&upstream, "1000", &key).serve();
    let book = service.book("Moby-Dick").await;
    // 127.0.0.1 is no trusted peer: even a name that there is counts for nothing.
    summarise(&service, &book, ("X-Tenant-Id", "other")).await.expect(200);
    for name in ["invented-1", "invented-2", "acme", "other", "../x", ""] {
        let problem =
            summarise(&service, &book, ("X-Tenant-Id", name)).await.problem(429, "llm_limit_reached");
        assert_eq!(problem["limit"]["kind"], "requests_per_minute", "{name}: {problem}");
    }
    let all = usage(&service, "", ("X-Other", "")).await;
    assert_eq!((all["items"].as_array().unwrap().len(), &all["items"][0]["tenant"]), (1, &json!("default")));

    // A peer that is trusted is believed, as far as there are such tenants.
    let trusting = start(&upstream, "1000", &key).argument("--trusted-peers", "127.0.0.0/8").serve();
    let book = trusting.book("Moby-Dick").await;
    for name in ["other", "other", "acme", "acme"] {
        summarise(&trusting, &book, ("X-Tenant-Id", name)).await.expect(200);
    }
    summarise(&trusting, &book, ("X-Tenant-Id", "invented-1")).await.expect(200);
    summarise(&trusting, &book, ("X-Tenant-Id", "invented-2")).await.problem(429, "llm_limit_reached");
    let all = usage(&trusting, "", ("X-Other", "")).await;
    let calls = |name: &str| {
        let items = all["items"].as_array().unwrap();
        items.iter().find(|item| item["tenant"] == name).unwrap()["calls"].clone()
    };
    assert_eq!([calls("other"), calls("acme"), calls("default")], [2, 2, 1]);
}

#[tokio::test]
async fn a_key_opens_what_spends_and_nothing_else() {
    let (upstream, key) = (upstream().await, draw_key().unwrap());
    let service = start(&upstream, "1000", &key).environment("API_TOKEN", TOKEN).serve();
    let draft = json!({ "title": "Moby-Dick" });
    let acme = ("X-Api-Key", key.key.as_str());
    let books = "/api/v1/books";
    service.with(Method::POST, books, acme, &draft).await.problem(401, "token_required");
    let bearer = format!("Bearer {TOKEN}");
    let token = ("Authorization", bearer.as_str());
    let book = service.with(Method::POST, books, token, &draft).await.expect(201);
    let book = book["id"].as_str().unwrap();
    let path = format!("{books}/{book}");
    service.with(Method::DELETE, &path, acme, &Value::Null).await.problem(401, "token_required");

    summarise(&service, book, acme).await.expect(200);
    summarise(&service, book, token).await.expect(200);
    summarise(&service, book, ("X-Tenant-Id", "acme")).await.problem(401, "token_required");
    let wrong = format!("{}x", &key.key[1..]);
    for key in [wrong.as_str(), "", "short", TOKEN, "\u{e9}"] {
        let reply = summarise(&service, book, ("X-Api-Key", key)).await;
        reply.problem(401, "unknown_api_key");
        assert!(key.len() < 3 || !reply.text.contains(key), "{reply:?}");
    }
    // Two keys are none.
    let request = service.request(Method::GET, USAGE).header(acme.0, acme.1).header(acme.0, acme.1);
    service.send(request).await.problem(401, "unknown_api_key");

    service.get(USAGE).await.problem(401, "token_required");
    service.with(Method::HEAD, USAGE, ("X-Other", ""), &Value::Null).await.headers["www-authenticate"]
        .to_str()
        .unwrap();
    let all = usage(&service, "", token).await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
    assert_eq!(usage(&service, "?tenant=acme", acme).await["items"].as_array().unwrap().len(), 1);
    for other in ["default", "other", "nobody"] {
        let path = format!("{USAGE}?tenant={other}");
        service.with(Method::GET, &path, acme, &Value::Null).await.problem(403, "other_tenant");
    }
    for wrong in [
        "from=2026-11-22&to=2026-11-21",
        "from=2020-01-01&to=2026-11-21",
        "tenant=A%2FB",
        "tenant=",
        "tenant=acmee",
    ] {
        let path = format!("{USAGE}?{wrong}");
        service.with(Method::GET, &path, token, &Value::Null).await.problem(422, "validation_failed");
    }
    for wrong in ["from=yesterday", "to=2026-02-30", "x=1", "from=2026-01-01&from=2026-01-02"] {
        let path = format!("{USAGE}?{wrong}");
        service.with(Method::GET, &path, token, &Value::Null).await.problem(400, "malformed_query");
    }
    // As far into time as a day can be.
    usage(&service, "?to=-262143-01-01&from=-262143-01-01", token).await;
    let log = service.stop().concat();
    assert!(!log.contains(&key.key) && !log.contains(TOKEN));
}

#[tokio::test]
async fn a_drawn_key_is_shown_once_and_its_line_is_the_files() {
    let start = Start::without_provider();
    let output = start.run(&["tenant-key", "acme"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let key = text.trim_end();
    let told = String::from_utf8(output.stderr).unwrap();
    let line = told.lines().last().unwrap();
    assert!(key.len() >= 24 && key.lines().count() == 1 && !told.contains(key));
    let tenants = start.file("tenants.json", format!(r#"{{"version":1,"tenants":[{line}]}}"#));
    let service = start.argument("--tenants-file", tenants.to_str().unwrap()).serve();
    let book = service.book("Moby-Dick").await;
    let path = format!("/api/v1/books/{book}/generate-summary?provider=simulated");
    service.with(Method::POST, &path, ("X-Api-Key", key), &Value::Null).await.expect(200);
    assert_eq!(usage(&service, "", ("X-Api-Key", key)).await["items"][0]["tenant"], "acme");
    for wrong in ["", "default", "A", "a/b"] {
        assert_eq!(Start::without_provider().run(&["tenant-key", wrong]).status.code(), Some(2), "{wrong}");
    }
}

#[tokio::test]
async fn mistakes_in_the_tenants_file_and_unpriced_models_are_told_at_the_start() {
    let start = Start::without_provider();
    let tenants = start.file("tenants.json", r#"{"version":1,"tenants":[{"id":"A"},{"id":"b","x":1}]}"#);
    let output = start.argument("--tenants-file", tenants.to_str().unwrap()).run(&["serve"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert_eq!(text.matches("TENANTS_FILE: ").count(), 2, "{text}");

    let unpriced = || {
        Start::without_provider()
            .argument("--openai-base-url", "http://127.0.0.1:9/v1")
            .argument("--openai-model", "gpt-99-canary")
    };
    let output = unpriced().run(&["serve"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in ["gpt-99-canary of openai", "LLM_PRICES_FILE", "LLM_DAILY_BUDGET_USD=none"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    unpriced().argument("--llm-daily-budget-usd", "none").serve();
}

#[cfg(feature = "integration")]
#[tokio::test]
async fn two_instances_share_a_budget_and_without_redis_nothing_is_paid() {
    use crate::servers::OwnRedis;

    let (upstream, key, mut redis) = (upstream().await, draw_key().unwrap(), OwnRedis::start());
    let start = start(&upstream, "3", &key).environment("REDIS_URL", &redis.url());
    let services = [start.serve(), start.serve()];
    let mut paid = 0;
    for round in 0..3 {
        let mut books = Vec::new();
        for number in 0..30 {
            books.push(services[0].book(&format!("Book {round} {number}")).await);
        }
        let asked = books
            .iter()
            .enumerate()
            .map(|(number, book)| summarise(&services[number % 2], book, ("X-Api-Key", &key.key)));
        for reply in join_all(asked).await {
            match reply.status {
                200 => paid += 1,
                503 => drop(reply.problem(503, "budget_unavailable")),
                _ => drop(reply.problem(429, "llm_limit_reached")),
            }
        }
        redis.command(&["FLUSHALL"]);
    }
    assert!(paid > 10 && paid <= 30, "{paid}");
    assert_eq!(upstream.calls().await, paid);
    let told = usage(&services[1], "", ("X-Api-Key", &key.key)).await;
    assert!(close(&told["totals"]["costUsd"], 0.1 * f64::from(u32::try_from(paid).unwrap())), "{told}");

    redis.stop();
    let book = services[0].book("Moby-Dick").await;
    let reply = summarise(&services[0], &book, ("X-Api-Key", &key.key)).await;
    reply.problem(503, "budget_unavailable");
    assert!(reply.header("retry-after").parse::<u64>().unwrap() > 0);
    let free = format!("/api/v1/books/{book}/generate-summary?provider=simulated");
    services[0].with(Method::POST, &free, ("X-Api-Key", &key.key), &Value::Null).await.expect(200);
    let told = usage(&services[0], "", ("X-Api-Key", &key.key)).await;
    assert_eq!(told.get("limits"), None, "nobody knows: {told}");
    redis.restart();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let told = usage(&services[0], "", ("X-Api-Key", &key.key)).await;
    assert_eq!(told["limits"].as_array().unwrap().len(), 1, "{told}");
}
