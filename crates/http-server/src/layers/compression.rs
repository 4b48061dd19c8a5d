//! gzip, where it pays.

use http::Response;
use http::header::{CONTENT_TYPE, ETAG};
use http_body::Body;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;

/// Smallest body in bytes that is worth the time: see the figures in ARCHITECTURE.md.
const LEAST: u64 = 8 << 10;

/// Compresses for clients that ask for it.
pub(super) fn layer() -> CompressionLayer<Worthwhile> {
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(Worthwhile)
}

/// Whole texts of some size and without an `ETag`: a tag names the very bytes, and the one of a
/// book would no longer fit `If-Match`. What streams has no known size, and every piece of it has
/// to leave at once.
#[derive(Clone, Copy)]
pub(super) struct Worthwhile;

impl Predicate for Worthwhile {
    fn should_compress<B: Body>(&self, response: &Response<B>) -> bool {
        response.body().size_hint().exact().is_some_and(|size| size >= LEAST)
            && !response.headers().contains_key(ETAG)
            && response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_text)
    }
}

fn is_text(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim();
    essence == "application/json"
        || essence == "application/javascript"
        || essence.ends_with("+json")
        || (essence.starts_with("text/") && essence != "text/event-stream")
}
