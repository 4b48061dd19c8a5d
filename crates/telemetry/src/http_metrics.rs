//! The two metrics of the HTTP server, which every request records.
//!
//! Series are recorded by handles, per route for what is common: a status without an error.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, BoundUpDownCounter, Histogram, Meter, UpDownCounter};

use crate::conventions::{self as names, METHODS};
use crate::handles::Handles;
use crate::metrics::histogram;
use crate::server::Scheme;
use crate::table;

/// The one label of every path that no route matches.
pub(crate) const UNMATCHED: &str = "unmatched";

/// What tells the series of a route apart where nothing failed: method, scheme and status.
type Outcome = (usize, Scheme, u16);

/// A route template with the handles of its series.
pub(crate) struct Route {
    template: Arc<str>,
    durations: Handles<Outcome, BoundHistogram<f64>>,
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
    /// By method and scheme.
    active_handles: [[OnceLock<BoundUpDownCounter<i64>>; 2]; METHODS.len()],
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
            active_handles: Default::default(),
            routes: RwLock::default(),
            unmatched: Arc::new(Route { template: Arc::from(UNMATCHED), durations: Handles::default() }),
        }
    }

    /// The route of this template, which must be one of the service's own and no path.
    pub(crate) fn route(&self, template: &str) -> Arc<Route> {
        if let Some(route) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(template) {
            return Arc::clone(route);
        }
        let template: Arc<str> = Arc::from(template);
        let route = Arc::new(Route { template: Arc::clone(&template), durations: Handles::default() });
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(template).or_insert(route))
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
        let handles = self.active_handles.get(index(method)).and_then(|row| row.get(scheme as usize));
        if let Some(handle) = handles {
            let bind = || {
                self.active.bind(&[
                    KeyValue::new(names::HTTP_REQUEST_METHOD, method),
                    KeyValue::new(names::URL_SCHEME, scheme.as_str()),
                ])
            };
            handle.get_or_init(bind).add(change);
        }
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
            let bind = || self.duration.bind(&labels(method, scheme, route, Some(status), None));
            let outcome = (index(method), scheme, status);
            route.durations.with(outcome, bind, |handle| handle.record(seconds));
        } else {
            self.duration.record(seconds, &labels(method, scheme, route, status, error_type));
        }
    }
}

/// Where a method stands among those that may be a label.
fn index(method: &'static str) -> usize {
    METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1)
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
