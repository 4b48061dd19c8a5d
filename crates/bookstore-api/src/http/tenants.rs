//! On whose account a request spends, and who may spend: the headers of it.
//!
//! `X-Api-Key` names a tenant for certain; `X-Tenant-Id` only when a trusted peer says so. A tenant's key
//! counts as authorisation where spending needs the API token, and nowhere else.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::ORIGIN;
use http_server::access::{bears, token_required};
use http_server::{ApiToken, Peer};

use super::errors::ApiError;
use crate::tenants::{Tenant, Tenants};

/// The key of a tenant.
const API_KEY: &str = "x-api-key";
/// The name of a tenant, from trusted peers.
const TENANT_ID: &str = "x-tenant-id";
/// Where a browser says that a request comes from.
const FETCH_SITE: &str = "sec-fetch-site";

/// On whose account a request spends: an extension of every request that may.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The tenant.
    pub tenant: Tenant,
    /// Whether its key was sent; else the request has the token, or none is needed.
    pub by_key: bool,
}

/// Who is let in to what spends or shows spending.
pub(crate) struct Door {
    /// The tenants.
    pub tenants: Tenants,
    /// The API token, where one is needed.
    pub token: Option<ApiToken>,
}

/// Lets in who bears the token or a tenant's key, and says on whose account it is.
pub(crate) async fn admit(State(door): State<Arc<Door>>, mut request: Request, next: Next) -> Response {
    let caller = match door.caller(&request) {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    let by_token = |token: &ApiToken| bears(request.headers(), token);
    if !caller.by_key && !door.token.as_ref().is_none_or(by_token) {
        return token_required();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Lets everybody look, and whoever [`admit`] lets in probe: never a page of another origin, which may send
/// any `GET` of which it needs no answer.
pub(crate) async fn admit_probes(door: State<Arc<Door>>, request: Request, next: Next) -> Response {
    // Looking needs no query, and whether this one probes is for the handler to say.
    if request.uri().query().is_none() {
        return next.run(request).await;
    }
    if comes_from_another_page(request.headers()) {
        return ApiError::CrossOrigin.into_response();
    }
    admit(door, request, next).await
}

/// Whether a browser says that a page of another origin sends this (Fetch Metadata; `Origin` where there is
/// none). Programs send neither.
fn comes_from_another_page(headers: &HeaderMap) -> bool {
    match headers.get(FETCH_SITE) {
        Some(site) => site != "same-origin" && site != "none",
        None => headers.contains_key(ORIGIN),
    }
}

impl Door {
    fn caller(&self, request: &Request) -> Result<Caller, ApiError> {
        let headers = request.headers();
        if headers.contains_key(API_KEY) {
            let key = only(headers, API_KEY).and_then(|key| self.tenants.of_key(key));
            return key.map(|tenant| Caller { tenant, by_key: true }).ok_or(ApiError::UnknownApiKey);
        }
        let peer = request.extensions().get::<Peer>().map(|Peer(address)| *address);
        let tenant = self.tenants.of_peer(peer, only(headers, TENANT_ID));
        Ok(Caller { tenant, by_key: false })
    }
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    value.to_str().ok().map(str::trim)
}
