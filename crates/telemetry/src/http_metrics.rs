//! The two metrics of the HTTP server, which every request records.
//!
//! Looking a series up by its labels costs several times what adding to it does. So each series is
//! looked up once and its handle kept, per route for what is common: a status without an error.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, BoundUpDownCounter, Histogram, Meter, UpDownCounter};

use crate::conventions as names;
use crate::metrics::histogram;
use crate::server::Scheme;
use crate::table;

/// The one label of every path that no route matches.
pub(crate) const UNMATCHED: &str = "unmatched";

/// What tells the series of a route apart where nothing failed.
type Outcome = (&'static str, Scheme, u16);

/// A route template with the handles of its series.
pub(crate) struct Route {
    template: Arc<str>,
    durations: RwLock<HashMap<Outcome, BoundHistogram<f64>>>,
}

impl Route {
    pub(crate) fn template(&self) -> &str {
        &self.template
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Route").field(&self.template).finish()
    }
}

/// Duration and number of requests.
pub(crate) struct HttpMetrics {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
    /// By method and scheme: as few as there are of both.
    active_handles: RwLock<HashMap<(&'static str, Scheme), BoundUpDownCounter<i64>>>,
    /// By template: as many as the service has routes.
    routes: RwLock<HashMap<Arc<str>, Arc<Route>>>,
    unmatched: Arc<Route>,
}

impl HttpMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        let active = table::HTTP_SERVER_ACTIVE_REQUESTS;
        Self {
            duration: histogram(meter, &table::HTTP_SERVER_REQUEST_DURATION),
            active: meter
                .i64_up_down_counter(active.name)
                .with_description(active.help)
                .with_unit(active.unit)
                .build(),
            active_handles: RwLock::default(),
            routes: RwLock::default(),
            unmatched: Arc::new(Route { template: Arc::from(UNMATCHED), durations: RwLock::default() }),
        }
    }

    /// The route of this template, which must be one of the service's own and no path.
    pub(crate) fn route(&self, template: &str) -> Arc<Route> {
        kept(&self.routes, template, || {
            let template = Arc::from(template);
            let route = Route { template: Arc::clone(&template), durations: RwLock::default() };
            (template, Arc::new(route))
        })
    }

    /// The route of paths that no route matches.
    pub(crate) const fn unmatched(&self) -> &Arc<Route> {
        &self.unmatched
    }

    /// A request came in.
    pub(crate) fn begun(&self, method: &'static str, scheme: Scheme) {
        self.active(method, scheme, 1);
    }

    fn active(&self, method: &'static str, scheme: Scheme, change: i64) {
        let handle = kept(&self.active_handles, &(method, scheme), || {
            let labels = [
                KeyValue::new(names::HTTP_REQUEST_METHOD, method),
                KeyValue::new(names::URL_SCHEME, scheme.as_str()),
            ];
            ((method, scheme), self.active.bind(&labels))
        });
        handle.add(change);
    }

    /// A request is done. `status` is absent when the client left before an answer.
    pub(crate) fn done(
        &self,
        method: &'static str,
        scheme: Scheme,
        route: &Route,
        status: Option<u16>,
        error_type: Option<&'static str>,
        duration: Duration,
    ) {
        self.active(method, scheme, -1);
        let seconds = duration.as_secs_f64();
        if let (Some(status), None) = (status, error_type) {
            let outcome = (method, scheme, status);
            let handle = kept(&route.durations, &outcome, || {
                (outcome, self.duration.bind(&labels(method, scheme, route, Some(status), None)))
            });
            handle.record(seconds);
        } else {
            self.duration.record(seconds, &labels(method, scheme, route, status, error_type));
        }
    }
}

fn labels(
    method: &'static str,
    scheme: Scheme,
    route: &Route,
    status: Option<u16>,
    error_type: Option<&'static str>,
) -> Vec<KeyValue> {
    let mut labels = vec![
        KeyValue::new(names::HTTP_REQUEST_METHOD, method),
        KeyValue::new(names::URL_SCHEME, scheme.as_str()),
        KeyValue::new(names::HTTP_ROUTE, Arc::clone(&route.template)),
    ];
    labels.extend(status.map(|status| KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, i64::from(status))));
    labels.extend(error_type.map(|kind| KeyValue::new(names::ERROR_TYPE, kind)));
    labels
}

/// What is kept under a key, or is made and kept.
fn kept<K, Q, V>(map: &RwLock<HashMap<K, V>>, key: &Q, make: impl FnOnce() -> (K, V)) -> V
where
    K: std::hash::Hash + Eq + std::borrow::Borrow<Q>,
    Q: std::hash::Hash + Eq + ?Sized,
    V: Clone,
{
    // A panic in between leaves a sound map.
    if let Some(value) = map.read().unwrap_or_else(PoisonError::into_inner).get(key) {
        return value.clone();
    }
    let (key, value) = make();
    map.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(value).clone()
}
