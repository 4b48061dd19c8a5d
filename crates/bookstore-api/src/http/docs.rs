//! `/openapi.json`, completed: what no handler says by itself because it follows from its shape.
//!
//! A handler names its own successes, and in `x-problem-codes` the problems that are its own. From
//! these, the parameters and the body follow the problems that any such operation can answer, the
//! headers of each answer, an example of every problem, and the HEAD beside each GET.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, Header, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    Type,
};

use super::errors::kinds::{self, Kind};
use super::merge_patch::ACCEPTED;

/// Where an operation lists the codes of its problems.
const CODES: &str = "x-problem-codes";
const PROBLEM: &str = "application/problem+json";

/// Completes the document; `guarded` says whether writes need a token.
pub(crate) fn complete(openapi: &mut OpenApi, guarded: bool) {
    let mut description = openapi.info.description.take().unwrap_or_default();
    description.push_str(&catalogue_of_problems());
    openapi.info.description = Some(description);
    for (path, item) in &mut openapi.paths.paths {
        for (method, operation) in operations(item) {
            let shape = Shape::of(path, method, operation);
            if !guarded && shape.secured {
                // The token is taken and not asked for.
                let security = operation.security.get_or_insert_default();
                let open = SecurityRequirement::default();
                if !security.contains(&open) {
                    security.push(open);
                }
            }
            add_problems(path, operation, &shape, guarded);
            add_headers(operation, &shape);
        }
        item.head = item.get.as_ref().map(head_of);
    }
}

/// Every kind of problem, as a table for people.
fn catalogue_of_problems() -> String {
    let mut text = "\n\n## Problems\n\nEvery error is `application/problem+json` (RFC 9457) with a stable `code`. \
                    Only what is no HTTP at all gets a bare 400, and too many or too large headers a bare 431.\n\n\
                    | status | code | meaning | what to do |\n|---|---|---|---|\n"
        .to_owned();
    for Kind { status, code, title, detail } in kinds::ALL {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "| {status} | `{code}` | {title} | {detail} |");
    }
    text
}

fn operations(item: &mut PathItem) -> Vec<(&'static str, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [("get", get), ("put", put), ("post", post), ("delete", delete), ("patch", patch)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?))).collect()
}

/// What the shape of an operation says of its answers.
struct Shape {
    method: &'static str,
    /// Not health, which answers however much there is to do.
    is_api: bool,
    writes: bool,
    /// What writes, and what shows spending.
    secured: bool,
    has_body: bool,
    takes_json: bool,
    has_id: bool,
    has_query: bool,
    /// Last part of a path without an id.
    collection: &'static str,
    /// Whether a single book or author is answered.
    tagged: bool,
    /// Whether pages are answered.
    paged: bool,
    keyed: bool,
}

impl Shape {
    fn of(path: &str, method: &'static str, operation: &Operation) -> Self {
        let parameters = serde_json::to_value(&operation.parameters).unwrap_or_default();
        let parameters = parameters.as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |name: &str, value: &str| {
            parameters.iter().any(|parameter| parameter.get(name).is_some_and(|found| found == value))
        };
        let body = serde_json::to_value(&operation.request_body).unwrap_or_default();
        let in_collection = path.ends_with("/books") || path.ends_with("/authors");
        Self {
            method,
            is_api: path.starts_with("/api/"),
            writes: method != "get",
            secured: operation.security.is_some(),
            has_body: !body.is_null(),
            takes_json: body
                .get("content")
                .and_then(Value::as_object)
                .is_some_and(|content| content.keys().any(|media| media.ends_with("/json"))),
            has_id: path.contains('{'),
            has_query: has("in", "query"),
            collection: ["books", "authors", "import"]
                .into_iter()
                .find(|last| path.ends_with(&format!("/{last}")))
                .unwrap_or_default(),
            tagged: in_collection && method == "post"
                || path.ends_with("s/{id}") && method != "delete" && !path.contains("imports"),
            paged: in_collection && method == "get",
            keyed: has("name", "Idempotency-Key"),
        }
    }

    /// Codes of the problems that any operation of this shape can answer.
    fn codes(&self, guarded: bool) -> Vec<&'static str> {
        let mut codes = vec!["host_missing", "host_not_allowed", "internal_error", "deadline_exceeded"];
        if self.is_api {
            codes.push("overloaded");
        }
        if self.writes {
            codes.push("cross_origin");
        }
        if self.secured && guarded {
            codes.push("token_required");
        }
        if self.has_body {
            codes.extend(["body_unreadable", "body_too_slow", "body_too_large", "unsupported_media_type"]);
        }
        if self.takes_json {
            codes.extend(["malformed_json", "validation_failed"]);
        }
        if self.has_id {
            codes.push("malformed_path");
        }
        if self.has_query {
            codes.push("malformed_query");
        }
        codes
    }
}

fn add_problems(path: &str, operation: &mut Operation, shape: &Shape, guarded: bool) {
    let own = serde_json::to_value(&operation.extensions).unwrap_or_default();
    let own: Vec<&str> =
        own.get(CODES).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let codes: BTreeSet<&str> = shape.codes(guarded).into_iter().chain(own).collect();
    let mut by_status: BTreeMap<u16, Vec<&Kind>> = BTreeMap::new();
    for kind in codes.iter().filter_map(|code| kinds::of(code)) {
        by_status.entry(kind.status).or_default().push(kind);
    }
    for (status, kinds) in by_status {
        operation.responses.responses.insert(status.to_string(), RefOr::T(problem(path, shape, &kinds)));
    }
}

/// The answer for the kinds of problem that have the same status.
fn problem(path: &str, shape: &Shape, kinds: &[&Kind]) -> Response {
    let titles: Vec<&str> = kinds.iter().map(|kind| kind.title).collect();
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    let examples = kinds.iter().map(|kind| (kind.code, example(path, kind)));
    content = content.examples_from_iter(examples.map(|(code, value)| {
        (code, utoipa::openapi::example::ExampleBuilder::new().value(Some(value)).build())
    }));
    let mut response =
        ResponseBuilder::new().description(titles.join("; ")).content(PROBLEM, content.build());
    let has = |code: &str| kinds.iter().any(|kind| kind.code == code);
    if kinds.iter().any(|kind| matches!(kind.status, 429 | 503)) {
        response = response.header("Retry-After", number("Seconds after which trying again makes sense"));
    }
    if has("token_required") || has("unknown_api_key") {
        response = response.header("WWW-Authenticate", text("Bearer"));
    }
    if has("precondition_failed") {
        response = response.header("ETag", text("The version there is now, where it could be found out"));
    }
    if has("unsupported_media_type") && shape.method == "patch" {
        response = response.header("Accept-Patch", text(&format!("`{ACCEPTED}`")));
    }
    if shape.keyed && (has("isbn_taken") || has("validation_failed")) {
        response = response.header("Idempotency-Replayed", replayed());
    }
    response.build()
}

fn example(path: &str, kind: &Kind) -> Value {
    let mut problem = kind.problem();
    problem.instance = Some(path.replace("{id}", "019a9e5e-7d5a-7cc3-98d0-5d3b1c3f0a11"));
    problem.trace_id = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
    let mut example = json!(problem);
    if kind.code == kinds::VALIDATION_FAILED.code
        && let Some(members) = example.as_object_mut()
    {
        members.insert(
            "errors".to_owned(),
            json!([{ "field": "title", "code": "required", "message": "must not be empty" }]),
        );
    }
    example
}

fn add_headers(operation: &mut Operation, shape: &Shape) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let mut add = |name: &str, header: Header| {
            response.headers.insert(name.to_owned(), RefOr::T(header));
        };
        let success = matches!(status.as_str(), "200" | "201" | "304");
        if success && shape.tagged {
            add("ETag", text("The version, in quotes"));
        }
        if matches!(status.as_str(), "201" | "202") {
            add("Location", text("Path of what was created"));
        }
        if matches!(status.as_str(), "201" | "202") {
            for (name, link) in links(shape.collection) {
                response.links.insert(name, RefOr::T(link));
            }
        }
        let mut add = |name: &str, header: Header| {
            response.headers.insert(name.to_owned(), RefOr::T(header));
        };
        if status == "201" && shape.keyed {
            add("Idempotency-Replayed", replayed());
        }
        if status == "200" && shape.paged {
            add("Link", text("`first` and, unless this is the last page, `next` (RFC 8288)"));
        }
    }
}

/// What can be done with something that was just made.
fn links(collection: &str) -> Vec<(String, Link)> {
    let operations: &[&str] = match collection {
        "books" => &["readBook", "replaceBook", "patchBook", "deleteBook", "generateSummary"],
        "authors" => &["readAuthor", "replaceAuthor", "patchAuthor", "deleteAuthor"],
        _ => &["readImport"],
    };
    let link = |operation: &&str| {
        let link = LinkBuilder::new().operation_id(*operation).parameter("id", "$response.body#/id");
        ((*operation).to_owned(), link.build())
    };
    operations.iter().map(link).collect()
}

fn replayed() -> Header {
    text("`true` when an earlier request with the same Idempotency-Key came to this answer")
}

fn text(description: &str) -> Header {
    header(Type::String, description)
}

fn number(description: &str) -> Header {
    header(Type::Integer, description)
}

fn header(of: Type, description: &str) -> Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(of)))
        .description(Some(description))
        .build()
}

/// The HEAD beside a GET: the same without bodies.
fn head_of(get: &Operation) -> Operation {
    let mut head = get.clone();
    head.operation_id = get.operation_id.as_ref().map(|id| format!("{id}Head"));
    head.summary = get.summary.as_ref().map(|summary| format!("{summary}, headers only"));
    for response in head.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.clear();
        }
    }
    head
}
