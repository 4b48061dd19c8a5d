//! The page at `/`: what a service is, and where everything else of it is.
//!
//! Whoever opens a port in a browser for the first time lands here. Other ports are linked on the host that
//! the request names, which the checks before have found to be one of ours.

use std::fmt::Write;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, HOST, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName};

/// It has no script, loads nothing, and its style is its own.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("start_page.css");

/// A place to go to.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// What it is called.
    pub name: &'static str,
    /// Its path on this service, or on `port`.
    pub path: &'static str,
    /// The port of another service on the same host; this service's own when absent.
    pub port: Option<u16>,
    /// What is there.
    pub what: &'static str,
}

impl Link {
    /// A page of the service itself.
    #[must_use]
    pub const fn here(name: &'static str, path: &'static str, what: &'static str) -> Self {
        Self { name, path, port: None, what }
    }

    /// A page of another service beside it, by HTTP.
    #[must_use]
    pub const fn beside(name: &'static str, port: u16, path: &'static str, what: &'static str) -> Self {
        Self { name, path, port: Some(port), what }
    }
}

/// What the page says.
#[derive(Clone, Copy, Debug)]
pub struct StartPage {
    /// Name of the service.
    pub title: &'static str,
    /// What it is for, in a sentence.
    pub purpose: &'static str,
    /// Groups of links, each under its heading.
    pub groups: &'static [(&'static str, &'static [Link])],
}

/// `/`.
pub fn start_page_route(page: StartPage) -> Router {
    let answer = async move |headers: HeaderMap| {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let headers: [(HeaderName, &str); 2] =
            [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        (headers, Html(page.html(host)))
    };
    Router::new().route("/", get(answer))
}

impl StartPage {
    fn html(&self, host: &str) -> String {
        let host = escaped(name_of(host));
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p>{purpose}</p>\n",
            title = self.title,
            purpose = self.purpose,
        );
        for (heading, links) in self.groups {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "<section>\n<h2>{heading}</h2>\n<dl>");
            for Link { name, path, port, what } in *links {
                let place = port.map_or_else(String::new, |port| format!("http://{host}:{port}"));
                let _ = writeln!(page, "<div><dt><a href=\"{place}{path}\">{name}</a></dt><dd>{what}</dd></div>");
            }
            page.push_str("</dl>\n</section>\n");
        }
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }
}

/// A host without its port: `[::1]:7002` is `[::1]`.
fn name_of(host: &str) -> &str {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.rfind(':').unwrap_or(host.len()),
    };
    match host.get(..end) {
        Some(name) if !name.is_empty() => name,
        _ => "127.0.0.1",
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{Link, StartPage, name_of};

    const PAGE: StartPage = StartPage {
        title: "bookstore-api",
        purpose: "Books.",
        groups: &[(
            "Here and there",
            &[
                Link::here("Swagger", "/swagger", "every operation"),
                Link::beside("perf-service", 7004, "/", "load tests"),
            ],
        )],
    };

    #[test]
    fn other_ports_are_on_the_host_that_was_asked() {
        for (host, place) in [
            ("127.0.0.1:7002", "http://127.0.0.1:7004/"),
            ("localhost", "http://localhost:7004/"),
            ("[::1]:7002", "http://[::1]:7004/"),
            ("", "http://127.0.0.1:7004/"),
        ] {
            let html = PAGE.html(host);
            assert!(html.contains(&format!("<a href=\"{place}\">perf-service</a>")), "{host}: {html}");
            assert!(html.contains("<a href=\"/swagger\">Swagger</a>"), "{html}");
        }
        assert_eq!(name_of(":7002"), "127.0.0.1");
    }

    #[test]
    fn no_host_can_write_into_the_page() {
        let html = PAGE.html("\"><script>alert(1)</script>:7002");
        assert!(!html.contains("<script"), "{html}");
    }
}
