//! What bookstore-api records of its cache, its dependencies and its business: a façade of its own.
//!
//! Gauges are told by whoever finds out in the background, and say what was found last.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundGauge, BoundHistogram, Gauge, Histogram, Meter};

use crate::handles::Handles;
use crate::metrics::{Metrics, dollars_now, gauge, histogram};
use crate::table;

/// What tells the series of cache operations apart: backend, operation and outcome.
type CacheOperation = (&'static str, &'static str, &'static str);

/// The instruments.
pub(crate) struct BookstoreMetrics {
    cache_duration: Histogram<f64>,
    cache_handles: Handles<CacheOperation, BoundHistogram<f64>>,
    dependency_up: Gauge<u64>,
    connections: Gauge<u64>,
    pending: Gauge<u64>,
    books: Gauge<u64>,
    books_with_summary: Gauge<u64>,
    authors: Gauge<u64>,
    budget: Gauge<f64>,
    budget_spent: Gauge<f64>,
}

impl BookstoreMetrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            cache_duration: histogram(meter, &table::CACHE_OPERATION_DURATION),
            cache_handles: Handles::default(),
            dependency_up: gauge(meter, &table::DEPENDENCY_UP),
            connections: gauge(meter, &table::DB_CONNECTIONS),
            pending: gauge(meter, &table::DB_PENDING_REQUESTS),
            books: gauge(meter, &table::BOOKS),
            books_with_summary: gauge(meter, &table::BOOKS_WITH_SUMMARY),
            authors: gauge(meter, &table::AUTHORS),
            budget: dollars_now(meter, &table::LLM_BUDGET),
            budget_spent: dollars_now(meter, &table::LLM_BUDGET_SPENT),
        }
    }
}

/// The pool of connections of a database. Cheap to clone.
#[derive(Clone)]
pub struct ConnectionPool {
    idle: BoundGauge<u64>,
    used: BoundGauge<u64>,
    pending: BoundGauge<u64>,
}

impl ConnectionPool {
    /// How many connections do nothing, and how many are in use.
    pub fn connections(&self, idle: u64, used: u64) {
        self.idle.record(idle);
        self.used.record(used);
    }

    /// How many operations wait for a connection.
    pub fn pending(&self, operations: u64) {
        self.pending.record(operations);
    }
}

impl Metrics {
    /// A cache operation ended: `ok` or the kind of its error. The backend is `redis` or `process`.
    pub fn cache_operation(
        &self,
        backend: &'static str,
        operation: &'static str,
        outcome: &'static str,
        duration: Duration,
    ) {
        let metrics = self.bookstore();
        let bind = || {
            metrics.cache_duration.bind(&[
                KeyValue::new("backend", backend),
                KeyValue::new("operation", operation),
                KeyValue::new("outcome", outcome),
            ])
        };
        let seconds = duration.as_secs_f64();
        metrics.cache_handles.with((backend, operation, outcome), bind, |handle| handle.record(seconds));
    }

    /// Whether the `store` or the `cache` answers.
    pub fn dependency(&self, dependency: &'static str, up: bool) {
        self.bookstore().dependency_up.record(u64::from(up), &[KeyValue::new("dependency", dependency)]);
    }

    /// The pool of connections of a database, which has none yet.
    #[must_use]
    pub fn connection_pool(&self, name: &'static str) -> ConnectionPool {
        const NAME: &str = "db.client.connection.pool.name";
        let metrics = self.bookstore();
        let in_state = |state: &'static str| {
            let labels = [KeyValue::new(NAME, name), KeyValue::new("db.client.connection.state", state)];
            metrics.connections.bind(&labels)
        };
        let pool = ConnectionPool {
            idle: in_state("idle"),
            used: in_state("used"),
            pending: metrics.pending.bind(&[KeyValue::new(NAME, name)]),
        };
        pool.connections(0, 0);
        pool.pending(0);
        pool
    }

    /// How many books there are, how many of them have a summary, and how many authors there are.
    pub fn catalogue(&self, books: u64, books_with_summary: u64, authors: u64) {
        let metrics = self.bookstore();
        metrics.books.record(books, &[]);
        metrics.books_with_summary.record(books_with_summary, &[]);
        metrics.authors.record(authors, &[]);
    }

    /// Dollars that all tenants together may spend today, and those that are spent or set aside. What
    /// counts, `billed` or `list`, is the kind of the cost that they are compared with.
    pub fn budget(&self, counts: &'static str, dollars: f64, spent: f64) {
        let scope = [KeyValue::new("scope", "global"), KeyValue::new("counts", counts)];
        self.bookstore().budget.record(dollars, &scope);
        self.bookstore().budget_spent.record(spent, &scope);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::Metrics;

    #[test]
    fn gauges_say_what_was_found_last_and_nothing_before() {
        let metrics = Metrics::unregistered();
        assert!(!metrics.render().contains("bookstore_llm_budget_usd"), "there is no budget");
        metrics.catalogue(10, 2, 7);
        metrics.catalogue(11, 3, 7);
        metrics.dependency("cache", true);
        metrics.dependency("cache", false);
        metrics.budget("billed", 25.0, 0.5);
        let pool = metrics.connection_pool("mongodb");
        pool.connections(3, 1);
        pool.pending(2);
        metrics.cache_operation("redis", "get", "ok", Duration::from_micros(300));
        let text = metrics.render();
        for line in [
            "bookstore_books 11",
            "bookstore_books_summarised 3",
            "bookstore_authors 7",
            r#"bookstore_dependency_up{dependency="cache"} 0"#,
            r#"bookstore_llm_budget_usd{counts="billed",scope="global"} 25"#,
            r#"bookstore_llm_budget_spent_usd{counts="billed",scope="global"} 0.5"#,
            r#"db_client_connection_count{db_client_connection_pool_name="mongodb",db_client_connection_state="used"} 1"#,
            r#"db_client_connection_count{db_client_connection_pool_name="mongodb",db_client_connection_state="idle"} 3"#,
            r#"db_client_connection_pending_requests{db_client_connection_pool_name="mongodb"} 2"#,
            r#"bookstore_cache_operation_duration_seconds_count{backend="redis",operation="get",outcome="ok"} 1"#,
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line} is missing in\n{text}");
        }
    }
}
