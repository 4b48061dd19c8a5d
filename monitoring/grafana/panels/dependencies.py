"""What bookstore-api stands on: the store, the cache, the providers."""

from .panel import Bad, Panel, Query
from .promql import API, PROVIDER, highest, quantile, share, total_rate, zero

STORE = "bookstore_store_operation_duration_seconds"
CACHE = "bookstore_cache_operation_duration_seconds"
LOOKUPS = "bookstore_cache_requests_total"
POOL = "db_client_connection_pool_name"

PANELS = (
    Panel(
        title="Store and cache reachable",
        shows="Whether the store and the cache answer, as /health/ready sees it.",
        bad="The store down: the service is not ready and answers 503. The cache down: all works, slower, and the store carries all reads.",
        do="Start it, or mend its address in the settings (MONGODB_URI, REDIS_URL); the service reconnects by itself.",
        unit="short", kind="states", states=((0, "down", "red"), (1, "up", "green")),
        queries=(Query(f"min by (dependency) (bookstore_dependency_up{{{API}}})", "{{dependency}}"),),
    ),
    Panel(
        title="Store operations a second",
        shows="What is asked of the store, the ten most frequent operations.",
        bad="Many reads of single books at a good hit ratio: they should come from the cache.",
        do="Compare with the hit ratio. Lists and searches always go to the store.",
        unit="ops", stacked=True,
        queries=(Query(highest(10, total_rate(f"{STORE}_count", API, by="store, operation")), "{{store}} {{operation}}"),),
    ),
    Panel(
        title="Duration of store operations",
        shows="p95 of the ten slowest operations of the store.",
        bad="Above 100 ms for a single book, above 500 ms for a list: an index is missing, or the store is overloaded.",
        do="Ask the database for its slow queries. All of them slow at once: its disk, its CPU, or the pool of connections.",
        unit="s", thresholds=Bad(0.1, 0.5),
        traces='{ resource.service.name = "bookstore-api" && span.db.operation.name = "${__field.labels.operation}" }',
        queries=(Query(highest(10, quantile(0.95, STORE, API, by="store, operation")), "{{store}} {{operation}}"),),
    ),
    Panel(
        title="Pool of database connections",
        shows="Connections to MongoDB in use and idle, and requests that wait for one. The embedded store has no pool.",
        bad="Requests that wait: all connections are in use.",
        do="If operations are slow, mend that first. If they are quick, raise maxPoolSize in MONGODB_URI.",
        unit="short",
        queries=(
            Query(f"sum by ({POOL}, db_client_connection_state) (db_client_connection_count{{{API}}})", "{{db_client_connection_state}}"),
            Query(f"sum by ({POOL}) (db_client_connection_pending_requests{{{API}}})", "waiting"),
        ),
    ),
    Panel(
        title="Hit ratio of the caches",
        shows="Share of look-ups that found an entry, of those that could be made, by cache.",
        bad="Below 50 % under steady load: entries are evicted, invalidated too often, or expire too soon.",
        do="After a start or a flush it climbs by itself. Else see Redis' evictions and memory, and how many writes there are.",
        unit="percentunit", thresholds=Bad(0.8, 0.5, below=True), highest=1,
        queries=(Query(share(total_rate(LOOKUPS, API, 'outcome="hit"', by="cache"), total_rate(LOOKUPS, API, 'outcome!="error"', by="cache")), "{{cache}}"),),
    ),
    Panel(
        title="Duration of cache operations",
        shows="p95 of what is asked of the cache, by backend and operation.",
        bad="Above 10 ms: the cache is hardly quicker than the store.",
        do="Redis: look at its slow log and its CPU, and whether it is on another machine. In process: the workers are overloaded.",
        unit="s", thresholds=Bad(0.005, 0.01),
        queries=(Query(quantile(0.95, CACHE, API, by="backend, operation"), "{{backend}} {{operation}}"),),
    ),
    Panel(
        title="Invalidations that wait",
        shows="Keys whose invalidation failed and is still to be carried out, and what became of those repeated, a second.",
        bad="Waiting keys that stay: readers may see old books. overflow or expired: they were given up, and only the entry's time ends it.",
        do="Check Redis; once it answers, they are carried out by themselves. After an overflow flush the cache.",
        unit="short", thresholds=Bad(1, 100),
        queries=(
            Query(f"sum(bookstore_cache_invalidations_pending{{{API}}})", "waiting"),
            Query(zero(total_rate("bookstore_cache_invalidation_retries_total", API, by="outcome"), "outcome"), "{{outcome}} a second"),
        ),
    ),
    Panel(
        title="Leases for provider calls",
        shows="Leases a second that keep two instances from paying for the same summary: acquired, held by another, unavailable, lost.",
        bad="unavailable: Redis does not answer, and two instances may pay for one summary. lost: a call took longer than its lease.",
        do="Check Redis. Lost ones come with slow providers: see the duration of LLM calls.",
        unit="cps",
        queries=(Query(zero(total_rate("bookstore_leases_total", API, by="outcome"), "outcome"), "{{outcome}}"),),
    ),
    Panel(
        title="Attempts at LLM providers",
        shows="Attempts a second by provider and outcome.",
        bad="One provider with hardly any ok.",
        do="See its failed attempts by kind and its breaker (Errors & Diagnostics); LLM_FALLBACK names who is asked in its place.",
        unit="cps", stacked=True,
        traces='{ resource.service.name = "bookstore-api" && span.gen_ai.operation.name != nil }',
        queries=(Query(f"{total_rate('bookstore_llm_attempts_total', PROVIDER, by='provider, outcome')} > 0 or on (provider) "
                       f"sum by (provider) (0 * bookstore_llm_attempts_total{{{PROVIDER},outcome=\"ok\"}})", "{{provider}} {{outcome}}"),),
    ),
)
