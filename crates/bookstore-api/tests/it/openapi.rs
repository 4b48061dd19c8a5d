//! `/openapi.json`: complete, and true. Every status that it documents is provoked here, or in the test
//! that a table names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::service::{Reply, Service, Start};

const TOKEN: &str = "0123456789abcdef";
const NOBODY: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

/// Statuses that no single request can provoke here: where they are seen.
const SEEN_ELSEWHERE: &[(u16, &str, &str)] = &[
    (408, "*", "http-server: tests of slow bodies"),
    (409, "patchAuthor", "catalog.rs: an_edit_that_never_finds_a_moment_ends"),
    (500, "*", "what_is_stored_and_cannot_be_read_is_a_500_that_shows_nothing"),
    (429, "generateSummary", "usage.rs: a_tenant_spends_its_own_budget_and_sees_it"),
    (503, "readLlmProviders", "http-server: tests of too many requests at once"),
    (503, "readLlmProvidersHead", "the same"),
    (503, "readExperiments", "the same; experiments.rs: a_store_that_is_down"),
    (503, "readExperimentsHead", "the same"),
    (403, "readLlmUsage", "usage.rs: a_key_opens_what_spends_and_nothing_else"),
    (403, "readLlmUsageHead", "the same"),
    (422, "generateSummary", "summaries.rs: failures of the provider have their own problems"),
    (502, "generateSummary", "summaries.rs: failures of the provider have their own problems"),
    (504, "*", "http-server: tests of the request deadline"),
];

/// The documented operations: method, path and the operation itself.
fn operations(docs: &Value) -> Vec<(Method, &str, &Value)> {
    let paths = docs["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| {
            (method.to_uppercase().parse().unwrap(), path.as_str(), operation)
        })
    });
    all.collect()
}

#[tokio::test]
async fn the_documentation_lists_every_route() {
    let service = Start::without_provider().serve();
    let docs = service.get("/openapi.json").await.expect(200);
    let found: BTreeSet<String> =
        operations(&docs).iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    for expected in [
        "GET HEAD POST /api/v1/books",
        "GET HEAD PUT PATCH DELETE /api/v1/books/{id}",
        "POST /api/v1/books/{id}/generate-summary",
        "POST /api/v1/books/import",
        "GET HEAD /api/v1/imports/{id}",
        "GET HEAD /api/v1/llm/usage",
        "GET HEAD /api/v1/llm/providers",
        "GET HEAD /api/v1/experiments",
        "GET HEAD POST /api/v1/authors",
        "GET HEAD PUT PATCH DELETE /api/v1/authors/{id}",
        "GET HEAD /health",
        "GET HEAD /health/live",
        "GET HEAD /health/ready",
    ] {
        let (methods, path) = expected.rsplit_once(' ').unwrap();
        for method in methods.split(' ') {
            assert!(found.contains(&format!("{method} {path}")), "{method} {path} is not documented");
        }
        assert_eq!(
            found.iter().filter(|name| name.ends_with(&format!(" {path}"))).count(),
            methods.split(' ').count()
        );
    }
    let schemas = docs["components"]["schemas"].as_object().unwrap();
    let text = docs.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is referred to and not described");
    }
    let page = service.get("/swagger/").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("text/html") && page.text.contains("swagger-ui"));
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own_examples_and_headers() {
    let service = Start::without_provider().environment("API_TOKEN", TOKEN).serve();
    let docs = service.get("/openapi.json").await.expect(200);
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations(&docs) {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let (code, place) = (status.parse::<u16>().unwrap(), format!("{method} {path} {status}"));
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{place}");
            if method == Method::HEAD {
                assert!(response.get("content").is_none(), "{place}: HEAD has no body");
                continue;
            }
            if code >= 400 {
                let problem = &response["content"]["application/problem+json"];
                let examples =
                    problem["examples"].as_object().unwrap_or_else(|| panic!("{place} has no example"));
                for (name, example) in examples {
                    assert_eq!(
                        (&example["value"]["code"], &example["value"]["status"]),
                        (&json!(name), &json!(code))
                    );
                }
            }
            let has = |header: &str| response["headers"].get(header).is_some();
            assert_eq!(has("Retry-After"), matches!(code, 429 | 503), "{place}");
            assert_eq!(has("WWW-Authenticate"), code == 401, "{place}");
            assert_eq!(has("Location"), matches!(code, 201 | 202), "{place}");
            assert_eq!(has("Link"), code == 200 && name.starts_with("list"), "{place}");
            let single = (name.contains("Book") || name.contains("Author"))
                && ["create", "read", "replace", "patch"].iter().any(|verb| name.starts_with(verb));
            assert_eq!(has("ETag"), code == 412 || single && matches!(code, 200 | 201 | 304), "{place}");
        }
        let spends = name == "generateSummary"
            || name.starts_with("readLlmUsage")
            || name.starts_with("readExperiments");
        let security = match method {
            _ if name.starts_with("readLlmProviders") => {
                Some(json!([{}, { "token": [] }, { "tenantKey": [] }]))
            }
            _ if spends => Some(json!([{ "token": [] }, { "tenantKey": [] }])),
            Method::GET | Method::HEAD => None,
            _ => Some(json!([{ "token": [] }])),
        };
        assert_eq!(operation.get("security"), security.as_ref(), "{name}");
        assert_eq!(responses.contains_key("401"), security.is_some(), "{name}");
    }
    // Without a token none is asked for, but may be sent.
    let open = Start::without_provider().serve().get("/openapi.json").await.expect(200);
    for (_, _, operation) in operations(&open) {
        let unauthorized = &operation["responses"]["401"]["content"]["application/problem+json"]["examples"];
        assert!(unauthorized.get("token_required").is_none());
        assert!(
            operation
                .get("security")
                .is_none_or(|security| security.as_array().unwrap().contains(&json!({})))
        );
    }
}

/// The codes that the sources make problems of: `Problem::new(status, "code"`.
fn codes_in(folder: &Path, found: &mut BTreeSet<(u16, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            codes_in(&path, found);
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            for made in text.split("Problem::new(").skip(1) {
                let mut arguments = made.splitn(3, ',');
                let (status, code) = (arguments.next().unwrap().trim(), arguments.next().unwrap().trim());
                if let (Ok(status), Some(code)) = (status.parse(), code.strip_prefix('"')) {
                    found.insert((status, code.trim_end_matches('"').to_owned()));
                }
            }
        }
    }
}

#[tokio::test]
async fn every_code_that_can_be_answered_is_listed() {
    let service = Start::without_provider().serve();
    let docs = service.get("/openapi.json").await.expect(200);
    let description = docs["info"]["description"].as_str().unwrap();
    let listed: BTreeSet<(u16, String)> = description
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let status = cells.next()?.parse().ok()?;
            Some((status, cells.next()?.trim_matches('`').to_owned()))
        })
        .collect();
    assert!(listed.len() > 30, "{description}");
    let mut made = BTreeSet::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for folder in ["http-server/src", "bookstore-api/src"] {
        codes_in(&crates.join(folder), &mut made);
    }
    assert!(made.len() > 10, "the sources look different: {made:?}");
    let unlisted: Vec<_> = made.difference(&listed).collect();
    assert!(unlisted.is_empty(), "http/errors/kinds.rs does not list {unlisted:?}");
    // And each of an operation's is explained there.
    for (_, _, operation) in operations(&docs) {
        for code in operation["x-problem-codes"].as_array().into_iter().flatten() {
            assert!(listed.iter().any(|(_, name)| code == name), "{code} is not listed");
        }
    }
}

/// What the requests of this file were answered: operation and status.
struct Seen<'a> {
    docs: &'a Value,
    seen: BTreeMap<String, BTreeSet<u16>>,
}

impl Seen<'_> {
    /// Notes an answer, which must be documented with its body and headers.
    #[track_caller]
    fn note(&mut self, name: &str, status: u16, reply: &Reply) {
        assert_eq!(reply.status, status, "{name}: {reply:?}");
        let all = operations(self.docs);
        let (_, _, operation) =
            all.iter().find(|(_, _, operation)| operation["operationId"] == name).unwrap();
        let documented = &operation["responses"][status.to_string()];
        assert!(documented.is_object(), "{name} does not document {status}: {reply:?}");
        if let Some(content) = documented["content"].as_object() {
            assert!(content.contains_key(reply.header("content-type")), "{name} {status}: {reply:?}");
        } else {
            assert_eq!(reply.text, "", "{name} {status}");
        }
        if status >= 400 && !reply.text.is_empty() {
            let problem = reply.json();
            let examples = &documented["content"]["application/problem+json"]["examples"];
            let example = &examples[problem["code"].as_str().unwrap()]["value"];
            assert_eq!(example["title"], problem["title"], "{name} {status}: {problem}");
        }
        for header in ["etag", "location", "link", "retry-after", "accept-patch", "www-authenticate"] {
            let named = documented["headers"]
                .as_object()
                .is_some_and(|headers| headers.keys().any(|name| name.eq_ignore_ascii_case(header)));
            assert!(named || reply.header(header).is_empty(), "{name} {status} has an undocumented {header}");
        }
        self.seen.entry(name.to_owned()).or_default().insert(status);
    }
}

async fn ask(service: &Service, method: &Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut request = service.request(method.clone(), path).bearer_auth(TOKEN);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    service.send(if body.is_empty() { request } else { request.body(body.to_owned()) }).await
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// The same for the operation that takes files.
async fn import_mistakes(seen: &mut Seen<'_>, service: &Service) {
    let (post, path, csv) = (Method::POST, "/api/v1/books/import", ("Content-Type", "text/csv"));
    let large = "x".repeat((32 << 20) + 1);
    for (status, headers, body) in [
        (400, vec![csv, ("Host", "not a host")], "a"),
        (403, vec![csv, ("Origin", "http://evil.example")], "a"),
        (413, vec![csv], large.as_str()),
        (415, vec![JSON], "{}"),
        (421, vec![csv, ("Host", "evil.example")], "a"),
        (422, vec![csv], "title\nEmma\n"),
    ] {
        seen.note("importBooks", status, &ask(service, &post, path, &headers, body).await);
    }
    let request = service.request(post, path).header(csv.0, csv.1).body("a");
    seen.note("importBooks", 401, &service.send(request).await);
}

/// What any operation answers to a request that is wrong in the same way.
async fn common_mistakes(seen: &mut Seen<'_>, service: &Service, id: &str) {
    let docs = seen.docs;
    for (method, template, operation) in operations(docs) {
        let name = operation["operationId"].as_str().unwrap();
        let path = template.replace("{id}", id);
        if name == "importBooks" {
            import_mistakes(seen, service).await;
            continue;
        }
        let body = if operation.get("requestBody").is_some() { "{}" } else { "" };
        let unsafe_method = !matches!(method, Method::GET | Method::HEAD);
        seen.note(name, 421, &ask(service, &method, &path, &[("Host", "evil.example"), JSON], body).await);
        seen.note(name, 400, &ask(service, &method, &path, &[("Host", "not a host"), JSON], body).await);
        if unsafe_method {
            let origin = ("Origin", "http://evil.example");
            seen.note(name, 403, &ask(service, &method, &path, &[origin, JSON], body).await);
            let request = service.request(method.clone(), &path).header(JSON.0, JSON.1).body(body);
            seen.note(name, 401, &service.send(request).await);
        }
        if template.contains("{id}") {
            let path = template.replace("{id}", "17");
            seen.note(name, 400, &ask(service, &method, &path, &[JSON], body).await);
            let path = template.replace("{id}", NOBODY);
            let whole = if template.contains("books") { "{\"title\":\"x\"}" } else { "{\"name\":\"x\"}" };
            let body = if body.is_empty() { "" } else { whole };
            seen.note(name, 404, &ask(service, &method, &path, &[JSON], body).await);
        }
        if !body.is_empty() {
            seen.note(name, 400, &ask(service, &method, &path, &[JSON], "{").await);
            seen.note(name, 422, &ask(service, &method, &path, &[JSON], "{\"nothing\":1}").await);
            seen.note(name, 415, &ask(service, &method, &path, &[("Content-Type", "text/csv")], "a").await);
            let large = format!("{{\"title\":\"{}\"}}", "x".repeat(1 << 20));
            seen.note(name, 413, &ask(service, &method, &path, &[JSON], &large).await);
        }
    }
}

/// What each operation answers by itself.
async fn own_answers(seen: &mut Seen<'_>, service: &Service) -> String {
    let (get, head, post) = (Method::GET, Method::HEAD, Method::POST);
    let (put, patch, delete) = (Method::PUT, Method::PATCH, Method::DELETE);
    let mut kept = String::new();
    for (one, many, draft, change) in [
        ("Author", "authors", r#"{"name":"Jane Austen"}"#, r#"{"bornYear":1775}"#),
        ("Book", "books", r#"{"title":"Emma","isbn":"9780142437247"}"#, r#"{"rating":4}"#),
    ] {
        let list = format!("/api/v1/{many}");
        let (listed, made) = (format!("list{one}s"), format!("create{one}"));
        let keyed = [JSON, ("Idempotency-Key", "k")];
        let created = ask(service, &post, &list, &keyed, draft).await;
        seen.note(&made, 201, &created);
        seen.note(&made, 201, &ask(service, &post, &list, &keyed, draft).await);
        seen.note(&made, 422, &ask(service, &post, &list, &keyed, &draft.replace('}', ",\"x\":1}")).await);
        seen.note(&made, 400, &ask(service, &post, &list, &[JSON, ("Idempotency-Key", "")], draft).await);
        seen.note(&listed, 200, &ask(service, &get, &list, &[], "").await);
        seen.note(&format!("{listed}Head"), 200, &ask(service, &head, &list, &[], "").await);
        for (query, status) in [("limit=0", 422), ("x=1", 400), ("cursor=x", 400)] {
            let path = format!("{list}?{query}");
            seen.note(&listed, status, &ask(service, &get, &path, &[], "").await);
            seen.note(&format!("{listed}Head"), status, &ask(service, &head, &path, &[], "").await);
        }
        let path = created.header("location");
        let read = format!("read{one}");
        for (method, name) in [(&get, read.clone()), (&head, format!("{read}Head"))] {
            seen.note(&name, 200, &ask(service, method, path, &[], "").await);
            seen.note(&name, 304, &ask(service, method, path, &[("If-None-Match", "*")], "").await);
            seen.note(&name, 400, &ask(service, method, path, &[("If-None-Match", "x")], "").await);
        }
        let (replaced, patched, deleted) =
            (format!("replace{one}"), format!("patch{one}"), format!("delete{one}"));
        let any = ("If-Match", "*");
        for (method, name, body) in
            [(&put, &replaced, draft), (&patch, &patched, change), (&delete, &deleted, "")]
        {
            seen.note(name, 428, &ask(service, method, path, &[JSON], body).await);
            seen.note(name, 412, &ask(service, method, path, &[JSON, ("If-Match", "\"99\"")], body).await);
            seen.note(name, 400, &ask(service, method, path, &[JSON, ("If-Match", "99")], body).await);
        }
        seen.note(&replaced, 200, &ask(service, &put, path, &[JSON, any], draft).await);
        seen.note(&patched, 200, &ask(service, &patch, path, &[JSON, any], change).await);
        if one == "Book" {
            seen.note(&made, 409, &ask(service, &post, &list, &[JSON], draft).await);
            let other = ask(service, &post, &list, &[JSON], r#"{"title":"x"}"#).await;
            let other = other.header("location");
            seen.note(&replaced, 409, &ask(service, &put, other, &[JSON, any], draft).await);
            let isbn = r#"{"isbn":"9780142437247"}"#;
            seen.note(&patched, 409, &ask(service, &patch, other, &[JSON, any], isbn).await);
            let summary = format!("{other}/generate-summary");
            seen.note("generateSummary", 200, &ask(service, &post, &summary, &[], "").await);
            let unknown = format!("{summary}?provider=eliza");
            seen.note("generateSummary", 400, &ask(service, &post, &unknown, &[], "").await);
            let html = ("Accept", "text/html");
            seen.note("generateSummary", 406, &ask(service, &post, &summary, &[html], "").await);
            // Ollama is out of reach.
            let ollama = format!("{summary}?provider=ollama");
            seen.note("generateSummary", 503, &ask(service, &post, &ollama, &[], "").await);
            other.clone_into(&mut kept);
        } else {
            let id = path.rsplit('/').next().unwrap();
            let draft = format!("{{\"title\":\"Persuasion\",\"authorIds\":[\"{id}\"]}}");
            ask(service, &post, "/api/v1/books", &[JSON], &draft).await.expect(201);
            seen.note(&deleted, 409, &ask(service, &delete, path, &[any], "").await);
            let wrong = format!("{path}?books=keep");
            seen.note(&deleted, 400, &ask(service, &delete, &wrong, &[any], "").await);
        }
        let path = format!("{path}{}", if one == "Author" { "?books=detach" } else { "" });
        seen.note(&deleted, 204, &ask(service, &delete, &path, &[any], "").await);
    }
    let file = "book_id,isbn,isbn13,authors,original_publication_year,title,language_code,average_rating\n";
    let taken = ask(service, &post, "/api/v1/books/import", &[("Content-Type", "text/csv")], file).await;
    seen.note("importBooks", 202, &taken);
    for (method, name) in [(&get, "readImport"), (&head, "readImportHead")] {
        seen.note(name, 200, &ask(service, method, taken.header("location"), &[], "").await);
    }
    for (method, name) in [(&get, "readLlmUsage"), (&head, "readLlmUsageHead")] {
        let path = "/api/v1/llm/usage";
        seen.note(name, 200, &ask(service, method, path, &[], "").await);
        seen.note(name, 401, &ask(service, method, path, &[("X-Api-Key", "nobody's")], "").await);
        let backwards = format!("{path}?from=2026-11-22&to=2026-11-21");
        seen.note(name, 422, &ask(service, method, &backwards, &[], "").await);
        seen.note(name, 400, &ask(service, method, &format!("{path}?from=today"), &[], "").await);
    }
    for (method, name) in [(&get, "readLlmProviders"), (&head, "readLlmProvidersHead")] {
        let path = "/api/v1/llm/providers";
        seen.note(name, 200, &ask(service, method, path, &[], "").await);
        let probing = format!("{path}?probe=true");
        seen.note(name, 401, &ask(service, method, &probing, &[("X-Api-Key", "nobody's")], "").await);
        seen.note(name, 403, &ask(service, method, &probing, &[("Origin", "https://x.example")], "").await);
        seen.note(name, 400, &ask(service, method, &format!("{path}?prove=true"), &[], "").await);
    }
    for (method, name) in [(&get, "readExperiments"), (&head, "readExperimentsHead")] {
        let path = "/api/v1/experiments";
        seen.note(name, 200, &ask(service, method, path, &[], "").await);
        seen.note(name, 401, &ask(service, method, path, &[("X-Api-Key", "nobody's")], "").await);
    }
    for name in ["live", "ready", "health"] {
        let path = if name == "health" { "/health".to_owned() } else { format!("/health/{name}") };
        seen.note(name, 200, &ask(service, &get, &path, &[], "").await);
        seen.note(&format!("{name}Head"), 200, &ask(service, &head, &path, &[], "").await);
    }
    kept
}

/// What is answered while the store is broken.
async fn broken_store(seen: &mut Seen<'_>, service: &Service, [book, author]: [&str; 2]) {
    let docs = seen.docs;
    for (method, template, operation) in operations(docs) {
        let name = operation["operationId"].as_str().unwrap();
        if name.starts_with("live") {
            continue;
        }
        // Without experiments their list needs no store.
        if name == "importBooks"
            || name.starts_with("readLlmProviders")
            || name.starts_with("readExperiments")
        {
            continue;
        }
        let of_authors = template.contains("authors");
        let path = template.replace("{id}", if of_authors { author } else { book });
        let body = match (operation.get("requestBody").is_some(), of_authors) {
            (false, _) => "",
            (true, false) => r#"{"title":"x"}"#,
            (true, true) => r#"{"name":"x"}"#,
        };
        let reply = ask(service, &method, &path, &[JSON, ("If-Match", "*")], body).await;
        seen.note(name, 503, &reply);
    }
    let file = "book_id,isbn,isbn13,authors,original_publication_year,title,language_code,average_rating\n";
    let csv = [("Content-Type", "text/csv")];
    seen.note("importBooks", 503, &ask(service, &Method::POST, "/api/v1/books/import", &csv, file).await);
}

#[tokio::test]
async fn what_is_stored_and_cannot_be_read_is_a_500_that_shows_nothing() {
    let start = Start::without_provider();
    let service = start.serve();
    let path = format!("/api/v1/books/{}", service.book("Moby-Dick").await);
    let store = Connection::open(start.data().join("bookstore.sqlite")).unwrap();
    store.execute("UPDATE books SET genres = 'canary'", []).unwrap();
    for path in [&path, "/api/v1/books"] {
        let reply = service.get(path).await;
        reply.problem(500, "internal_error");
        assert!(!reply.text.contains("canary"), "{reply:?}");
    }
    service.patch(&path, &json!({})).await.problem(500, "internal_error");
    service.logged(|line| line["detail"].as_str().is_some_and(|detail| detail.contains("canary"))).await;
}

#[tokio::test]
async fn every_documented_status_is_seen() {
    let start = Start::without_provider()
        .environment("API_TOKEN", TOKEN)
        .environment("REQUIRE_IF_MATCH", "true")
        .argument("--llm-provider", "simulated");
    let service = start.serve();
    let docs = service.get("/openapi.json").await.expect(200);
    let mut seen = Seen { docs: &docs, seen: BTreeMap::new() };
    let kept = own_answers(&mut seen, &service).await;
    let permissive = {
        // The same service without the condition, so that other mistakes come to light.
        let start = Start::without_provider().environment("API_TOKEN", TOKEN);
        start.serve()
    };
    let author = ask(&permissive, &Method::POST, "/api/v1/authors", &[JSON], r#"{"name":"x"}"#).await;
    let id = author.header("location").rsplit('/').next().unwrap().to_owned();
    common_mistakes(&mut seen, &permissive, &id).await;

    let author = ask(&service, &Method::POST, "/api/v1/authors", &[JSON], r#"{"name":"y"}"#).await;
    let store = Connection::open(start.data().join("bookstore.sqlite")).unwrap();
    store
        .execute_batch(
            "ALTER TABLE books RENAME TO b; ALTER TABLE authors RENAME TO a; ALTER TABLE jobs RENAME TO j; \
             ALTER TABLE tallies RENAME TO t",
        )
        .unwrap();
    let ids = [kept.as_str(), author.header("location")].map(|path| path.rsplit('/').next().unwrap());
    broken_store(&mut seen, &service, ids).await;

    let mut missing = Vec::new();
    for (_, _, operation) in operations(&docs) {
        let name = operation["operationId"].as_str().unwrap();
        let statuses = operation["responses"].as_object().unwrap().keys();
        for status in statuses.map(|status| status.parse::<u16>().unwrap()) {
            let here = seen.seen.get(name).is_some_and(|seen| seen.contains(&status));
            let elsewhere = SEEN_ELSEWHERE
                .iter()
                .any(|(other, operation, _)| *other == status && (*operation == "*" || *operation == name));
            if !here && !elsewhere {
                missing.push(format!("{name} {status}"));
            }
        }
    }
    assert!(missing.is_empty(), "documented and never seen: {missing:#?}");
}
