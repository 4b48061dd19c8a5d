//! `/openapi.json`, completed: what no handler says by itself because it follows from its shape.
//!
//! A handler names its successes and the problems that are its own. From its method and body follow
//! those that any such operation can answer, the form of each problem, and the HEAD beside each GET.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, Header, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
    Type,
};

const PROBLEM: &str = "application/problem+json";

/// Problems of every operation: their status and when they come.
const ALWAYS: [(&str, &str); 5] = [
    ("400", "The request names no valid host, or its path or a parameter is malformed"),
    ("421", "The service does not answer under this host name"),
    ("500", "Something went wrong inside the service; it was logged under the trace id"),
    ("503", "The service has too much to do, or is stopping"),
    ("504", "The request took too long"),
];
/// Those of what changes something.
const OF_WRITES: [(&str, &str); 1] = [("403", "Pages of other origins may not change anything here")];
/// Those of what takes a body.
const OF_BODIES: [(&str, &str); 2] =
    [("408", "The body did not arrive in time"), ("413", "The body is too large")];

/// Completes the document; `guarded` says whether writes need a token.
pub(super) fn complete(openapi: &mut OpenApi, guarded: bool) {
    for item in openapi.paths.paths.values_mut() {
        for (writes, operation) in operations(item) {
            if let Some(security) = operation.security.as_mut().filter(|_| !guarded) {
                // The token is taken and not asked for.
                security.push(SecurityRequirement::default());
                operation.responses.responses.remove("401");
            }
            add_problems(operation, writes);
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response {
                    describe(status, response);
                }
            }
        }
        item.head = item.get.as_ref().map(head_of);
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [(false, get), (true, put), (true, post), (true, delete), (true, patch)];
    all.into_iter().filter_map(|(writes, operation)| Some((writes, operation.as_mut()?)))
}

fn add_problems(operation: &mut Operation, writes: bool) {
    let of_writes = OF_WRITES.iter().filter(|_| writes);
    let of_bodies = OF_BODIES.iter().filter(|_| operation.request_body.is_some());
    for (status, when) in ALWAYS.iter().chain(of_writes).chain(of_bodies) {
        let response = || RefOr::T(ResponseBuilder::new().description(*when).build());
        operation.responses.responses.entry((*status).to_owned()).or_insert_with(response);
    }
}

/// The form of a problem, and the headers that go with a status.
fn describe(status: &str, response: &mut Response) {
    if !status.starts_with(['4', '5']) {
        return;
    }
    response.content.clear();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    response.content.insert(PROBLEM.to_owned(), RefOr::T(content));
    let header = match status {
        "401" => ("WWW-Authenticate", header(Type::String, "`Bearer`")),
        "429" | "503" => {
            ("Retry-After", header(Type::Integer, "Seconds after which trying again makes sense"))
        }
        _ => return,
    };
    response.headers.insert(header.0.to_owned(), RefOr::T(header.1));
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
