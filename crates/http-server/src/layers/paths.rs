//! Paths and queries before any route sees them: what no route could read is refused, and under
//! `/api/` case does not matter, for clients of the original write `/api/v1/Books`.

use common_models::Problem;
use http::Uri;

use crate::ProblemResponse;

/// Refuses what is no text.
pub(super) fn refuse(uri: &Uri) -> Option<ProblemResponse> {
    unsound(uri).map(ProblemResponse)
}

/// What is wrong with a path or query, if anything.
fn unsound(uri: &Uri) -> Option<Problem> {
    let (utf8, zero) = decoded(uri.path());
    if !utf8 || zero {
        let wrong = if utf8 { "holds a zero byte" } else { "is not UTF-8 once %xx are decoded" };
        return Some(
            Problem::new(400, "malformed_path", "The path is malformed").with_detail(format!("It {wrong}.")),
        );
    }
    let (utf8, _) = uri.query().map_or((true, false), decoded);
    (!utf8).then(|| {
        Problem::new(400, "malformed_query", "A query parameter is malformed or unknown")
            .with_detail("The query is not UTF-8 once %xx are decoded.")
    })
}

/// Whether a text is UTF-8 once its escapes are decoded, and whether it then holds a zero byte.
fn decoded(text: &str) -> (bool, bool) {
    if !text.contains('%') {
        // hyper takes neither zero bytes nor anything but UTF-8 as they are.
        return (true, false);
    }
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(text).collect();
    (std::str::from_utf8(&bytes).is_ok(), bytes.contains(&0))
}

/// The same request with its path in lower case, if it is one of the API.
pub(super) fn lower_api_path<B>(mut request: http::Request<B>) -> http::Request<B> {
    let path = request.uri().path();
    let is_api = path.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("/api/"));
    if is_api && path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        let mut lower = path.to_ascii_lowercase();
        if let Some(query) = request.uri().query() {
            lower.push('?');
            lower.push_str(query);
        }
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = lower.parse().ok();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use http::{Request, Uri};

    use super::{lower_api_path, unsound};

    #[test]
    fn only_api_paths_are_lowered_and_queries_are_kept() {
        let check = |from: &str, to: &str| {
            let request = lower_api_path(Request::builder().uri(from).body(()).unwrap());
            assert_eq!(request.uri().to_string(), to);
        };
        check("/api/v1/Books?q=Moby", "/api/v1/books?q=Moby");
        check("/API/V1/Books/018F?Cursor=aB", "/api/v1/books/018f?Cursor=aB");
        check("/Swagger/Index.html", "/Swagger/Index.html");
        check("/apiX", "/apiX");
        check("http://h:1/API/x", "http://h:1/api/x");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let code = |uri: &'static str| unsound(&Uri::from_static(uri)).map(|problem| problem.code);
        for sound in ["/", "/a%20b", "/%C3%A9?q=%C3%A9", "/100%", "/%zz?q=%zz%", "/?q=%00", "/%25ff"] {
            assert_eq!(code(sound), None, "{sound}");
        }
        for path in ["/%ff", "/%C3", "/a%00b", "/%ed%a0%80"] {
            assert_eq!(code(path).as_deref(), Some("malformed_path"), "{path}");
        }
        assert_eq!(code("/?q=%ff").as_deref(), Some("malformed_query"));
    }
}
