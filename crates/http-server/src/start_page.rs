//! The page at `/`: what a service is, and where everything else of it is.
//!
//! Whoever opens a port in a browser for the first time lands here. Other ports are linked on the host that
//! the request names, which the checks before have found to be one of ours.

use std::fmt::Write;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, HOST, X_CONTENT_TYPE_OPTIONS};
use http::uri::Authority;
use http::{HeaderMap, Uri};

use crate::layers::host;

/// It has no script, loads nothing, and its style is its own.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
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
    let answer = async move |uri: Uri, headers: HeaderMap| {
        let told = [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
        (told, Html(page.html(host_of(&uri, &headers))))
    };
    Router::new().route("/", get(answer))
}

impl StartPage {
    fn html(&self, host: &str) -> String {
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
                let _ =
                    writeln!(page, "<div><dt><a href=\"{place}{path}\">{name}</a></dt><dd>{what}</dd></div>");
            }
            page.push_str("</dl>\n</section>\n");
        }
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }
}

/// The host under which the page was asked for, without its port; loopback where it names none.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let header = || headers.get(HOST).and_then(|value| value.to_str().ok());
    uri.authority().map(Authority::as_str).or_else(header).and_then(host).unwrap_or("127.0.0.1")
}

#[cfg(test)]
mod tests {
    use http::header::HOST;
    use http::{HeaderMap, Uri};

    use super::{Link, StartPage, host_of};

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

    fn shown(host: &str) -> String {
        let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
        PAGE.html(host_of(&Uri::from_static("/"), &headers))
    }

    #[test]
    fn other_ports_are_on_the_host_that_was_asked() {
        for (host, place) in [
            ("127.0.0.1:7002", "http://127.0.0.1:7004/"),
            ("localhost", "http://localhost:7004/"),
            ("[::1]:7002", "http://[::1]:7004/"),
            ("", "http://127.0.0.1:7004/"),
        ] {
            let html = shown(host);
            assert!(html.contains(&format!("<a href=\"{place}\">perf-service</a>")), "{host}: {html}");
            assert!(html.contains("<a href=\"/swagger\">Swagger</a>"), "{html}");
        }
        // HTTP/2 names it here.
        let uri = Uri::from_static("https://books.example:7001/");
        assert_eq!(host_of(&uri, &HeaderMap::new()), "books.example");
    }

    #[test]
    fn no_host_can_write_into_the_page() {
        for host in ["\"><script>alert(1)</script>:7002", "a\" onclick=\"b", "<b>"] {
            let html = shown(host);
            assert!(html.contains("href=\"http://127.0.0.1:7004/\""), "{host}: {html}");
        }
    }
}
