//! Which pages of other origins may use a service from a browser.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method, Uri};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was told.
const REMEMBERED: Duration = Duration::from_secs(600);

/// An origin as a browser names it: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

impl Origin {
    /// The origins of a comma-separated list.
    ///
    /// # Errors
    /// In words, for the first that is none. `*` is none: with it any page that a user of the
    /// service looks at could read, and write, in the user's name.
    pub fn list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.contains('*') {
            return Err(format!(
                "{text:?} would let any page act in its reader's name; list the origins one by one"
            ));
        }
        let lower = text.to_ascii_lowercase();
        let uri = lower.parse::<Uri>().ok();
        let exact = uri.and_then(|uri| {
            let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
            Some(format!("{scheme}://{}", uri.authority()?))
        });
        // A path, even a lone slash, would never match what browsers send.
        if exact.as_ref() != Some(&lower) || lower.contains('@') {
            return Err(format!("{text:?} is no origin such as https://shop.example:8443"));
        }
        HeaderValue::try_from(lower).map(Self).map_err(|_| format!("{text:?} is no origin"))
    }

    /// Whether a browser means this one.
    pub(crate) fn is(&self, origin: &HeaderValue) -> bool {
        self.0 == origin
    }
}

/// What browsers are told; nothing where no origin may.
pub(crate) fn layer(origins: &[Origin]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().map(|origin| origin.0.clone())))
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_MATCH,
            IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("traceparent"),
        ])
        .expose_headers([ETAG, LOCATION, LINK, RETRY_AFTER, HeaderName::from_static("x-trace-id")])
        .max_age(REMEMBERED);
    Some(layer)
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn origins_are_exact() {
        let origins = Origin::list(" https://Shop.Example:8443, http://localhost:5173 ,").unwrap();
        assert_eq!(origins.len(), 2);
        assert!(origins[0].is(&"https://shop.example:8443".parse().unwrap()));
        assert!(Origin::list("").unwrap().is_empty());
        assert!(Origin::list("*").unwrap_err().contains("any page"));
        for wrong in [
            "https://*.example",
            "shop.example",
            "null",
            "https://shop.example/",
            "https://shop.example/path",
            "ftp://shop.example",
            "https://me@shop.example",
            "https://",
        ] {
            assert!(Origin::list(wrong).is_err(), "{wrong}");
        }
    }
}
