"""When each alert fires, when it just does not, and that it clears: the table that the tests are made of.

A case is told by the series behind its alert: what they are while all is well, just below the threshold, and just
above it. Counters are told by their growth a minute, gauges by their value.
"""

from dataclasses import dataclass, field

API = 'job="bookstore-api",instance="a:1"'
PERF = 'job="perf-service",instance="p:1"'
SIMULATOR = 'job="llm-simulator",instance="s:1"'
REQUESTS = "http_server_request_duration_seconds"
BOOKS = f'{API},http_route="/api/v1/books"'
SUMMARY = f'{API},http_route="/api/v1/books/{{id}}/generate-summary"'
# Just below and just above, as parts of a threshold.
BELOW, ABOVE = 0.98, 1.02


@dataclass(frozen=True)
class Series:
    name: str
    counter: bool
    well: float
    below: float
    above: float


def counter(name, well, below=None, above=None):
    """Growth a minute; the same throughout where only `well` is given."""
    return Series(name, True, well, well if below is None else below, well if above is None else above)


def gauge(name, well, below=None, above=None):
    return Series(name, False, well, well if below is None else below, well if above is None else above)


@dataclass(frozen=True)
class Case:
    """All is well for `well` minutes, then not for `bad`, then well again for `after`."""

    alert: str
    labels: dict
    series: tuple
    bad: int
    after: int
    well: int = 0
    # Minutes between evaluations and seconds between samples.
    every: int = 1
    seconds: int = 15
    # Which of an alert's rules.
    rule: dict = field(default_factory=dict)


def observed(name, selector, bound, beyond, share):
    """A histogram of 100 observations a minute, a share of them in the bucket up to `beyond` and not in `bound`."""
    quick = counter(f'{name}_bucket{{{selector},le="{bound}"}}', 100, *(100 - 100 * share * by for by in (BELOW, ABOVE)))
    rest = [counter(f'{name}_bucket{{{selector},le="{le}"}}', 100) for le in (beyond, "+Inf")]
    return (quick, *rest, counter(f"{name}_count{{{selector}}}", 100))


def failing(bad, good, share, each=100):
    """Of so many a minute a share fails."""
    below, above = (each * share * by for by in (BELOW, ABOVE))
    return (counter(bad, 0, below, above), counter(good, each, each - below, each - above))


def answers(share):
    selector = f"{REQUESTS}_count{{{BOOKS},http_response_status_code=%s}}"
    return failing(selector % '"503"', selector % '"200"', share)


def attempts(share):
    selector = 'bookstore_llm_attempts_total{%s,provider="ollama",outcome="%s"}'
    return failing(selector % (API, "unavailable"), selector % (API, "ok"), share)


def cost(times):
    """Dollars a minute on a budget of 14.40 a day, a cent a minute."""
    return (
        counter(f'bookstore_llm_cost_usd_total{{{API},provider="claude",model="m",kind="billed"}}',
                0, 0.01 * times * BELOW, 0.01 * times * ABOVE),
        gauge(f'bookstore_llm_budget_usd{{{API},scope="global",counts="billed"}}', 14.4),
    )


def spent(share):
    return (
        gauge(f'bookstore_llm_budget_spent_usd{{{API},scope="global"}}', 0, 10 * share * BELOW, 10 * share * ABOVE),
        gauge(f'bookstore_llm_budget_usd{{{API},scope="global"}}', 10),
    )


def descriptors(share):
    return (
        gauge(f"process_open_fds{{{API}}}", 20, 1000 * share * BELOW, 1000 * share * ABOVE),
        gauge(f"process_max_fds{{{API}}}", 1000),
    )


AT_API, AT_INSTANCE = {"job": "bookstore-api"}, {"job": "bookstore-api", "instance": "a:1"}
AT_PERF = {"job": "perf-service", "scenario": "smoke"}
AT_OLLAMA = {"job": "bookstore-api", "provider": "ollama"}
MIB = 1 << 20

CASES = [
    Case("ServiceDown", AT_INSTANCE, (gauge(f"up{{{API}}}", 1, 1, 0),), bad=3, after=8),
    Case("SimulatorDown", {"job": "llm-simulator", "instance": "s:1"}, (gauge(f"up{{{SIMULATOR}}}", 1, 1, 0),),
         bad=4, after=2),
    # A value a minute is another start a minute.
    Case("ServiceRestarts", AT_INSTANCE, (counter(f"process_start_time_seconds{{{API}}}", 0, 0, 1),), bad=5, after=40),
    Case("ErrorRateHigh", AT_API, answers(0.01), bad=15, after=10),
    Case("ErrorRateVeryHigh", AT_API, answers(0.1), bad=15, after=10),
    # 0.95 of them within 1 s is the threshold itself; those beyond are between 1 and 2.5 s.
    Case("LatencyP95High", AT_API, observed(REQUESTS, BOOKS, "1", "2.5", 0.05), bad=15, after=10),
    Case("LatencyP99High", AT_API, observed(REQUESTS, BOOKS, "2.5", "5", 0.01), bad=20, after=10),
    Case("LlmLatencyP95High", AT_API, observed(REQUESTS, SUMMARY, "10", "30", 0.05), bad=20, after=10),
    # 0.1 requests a second are 6 a minute; one every five minutes is traffic still.
    Case("NoTraffic", AT_API,
         (counter(f'{REQUESTS}_count{{{BOOKS},http_response_status_code="200"}}', 60, 0.2, 0), gauge(f"up{{{API}}}", 1)),
         well=80, bad=20, after=5),
    # After a load run nobody asks, and that is as it should be.
    Case("NoTraffic", AT_API,
         (counter(f'{REQUESTS}_count{{{BOOKS},http_response_status_code="200"}}', 60, 0, 0), gauge(f"up{{{API}}}", 1),
          gauge(f'perf_runs_under_way{{{PERF},state="running"}}', 0, 1, 0)),
         well=80, bad=20, after=5),
    Case("ProviderFailuresHigh", AT_OLLAMA, attempts(0.2), bad=15, after=10),
    Case("ProviderFails", AT_OLLAMA, attempts(0.8), bad=15, after=14),
    Case("BreakerOpen", {**AT_OLLAMA, "model": "m"},
         (gauge(f'bookstore_llm_breaker_state{{{API},provider="ollama",model="m",state="closed"}}', 1, 1, 0),
          gauge(f'bookstore_llm_breaker_state{{{API},provider="ollama",model="m",state="open"}}', 0, 0, 1)),
         bad=3, after=4),
    # 5 an hour.
    Case("UnsafeAnswers", AT_API,
         (counter(f'bookstore_answers_refused_total{{{API},reason="markup"}}', 0, 5 / 60 * 0.95, 5 / 60 * 1.05),),
         bad=70, after=10),
    # One a minute is more than none; half of one an hour is none.
    Case("PriceUnknown", AT_OLLAMA,
         (counter(f'bookstore_llm_cost_unknown_total{{{API},provider="ollama",kind="billed"}}', 0, 0, 1),),
         bad=5, after=70),
    Case("CostBurnsBudget", {**AT_API, "kind": "billed"}, cost(3), bad=70, after=10),
    Case("CostBurnsBudgetFast", {**AT_API, "kind": "billed"}, cost(12), bad=70, after=10),
    Case("BudgetNearlySpent", {**AT_API, "scope": "global"}, spent(0.8), bad=5, after=2),
    Case("BudgetSpent", {**AT_API, "scope": "global"}, spent(0.98), bad=5, after=2),
    Case("LlmCallsRefused", {**AT_API, "limit": "tenant_tokens"},
         (counter(f'bookstore_llm_limit_refusals_total{{{API},limit="tenant_tokens"}}', 0, 10 / 30 * 0.95, 10 / 30 * 1.05),),
         bad=40, after=10),
    Case("StoreDown", {**AT_API, "dependency": "store"},
         (gauge(f'bookstore_dependency_up{{{API},dependency="store"}}', 1, 1, 0),), bad=3, after=8),
    Case("StoreOperationsFail", {**AT_API, "store": "mongodb"},
         failing(*(f'bookstore_store_operation_duration_seconds_count{{{API},store="mongodb",operation="book",outcome="{outcome}"}}'
                   for outcome in ("timeout", "ok")), 0.01), bad=15, after=10),
    Case("StorePoolUsedUp", {**AT_INSTANCE, "db_client_connection_pool_name": "mongodb"},
         (gauge(f'db_client_connection_pending_requests{{{API},db_client_connection_pool_name="mongodb"}}', 0, 0, 1),),
         well=10, bad=10, after=2),
    Case("CacheDown", {**AT_API, "dependency": "cache"},
         (gauge(f'bookstore_dependency_up{{{API},dependency="cache"}}', 1, 1, 0),), bad=3, after=8),
    Case("CacheErrors", AT_API,
         failing(*(f'bookstore_cache_requests_total{{{API},cache="book",outcome="{outcome}"}}' for outcome in ("error", "hit")),
                 0.05), bad=15, after=10),
    Case("CacheInvalidationsWait", AT_INSTANCE,
         (gauge(f"bookstore_cache_invalidations_pending{{{API}}}", 0, 0, 1),), well=15, bad=15, after=2),
    Case("FileDescriptorsHigh", AT_INSTANCE, descriptors(0.8), bad=10, after=2),
    Case("FileDescriptorsUsedUp", AT_INSTANCE, descriptors(0.95), bad=10, after=2),
    Case("MemoryGrows", AT_INSTANCE,
         (gauge(f"process_resident_memory_bytes{{{API}}}", 100 * MIB, 150 * MIB * BELOW, 150 * MIB * ABOVE),
          gauge(f"process_start_time_seconds{{{API}}}", 0)),
         well=420, bad=120, after=60, every=5, seconds=60),
    Case("MemoryHigh", AT_INSTANCE,
         (gauge(f"process_resident_memory_bytes{{{API}}}", 40 * MIB, 204.8 * MIB * BELOW, 204.8 * MIB * ABOVE),),
         bad=10, after=2),
    # 54 seconds of a minute, on two workers.
    Case("EventLoopBusy", AT_INSTANCE,
         (*(counter(f'tokio_worker_busy_seconds_total{{{API},worker="{worker}"}}', 5, 54 * BELOW, 54 * ABOVE)
            for worker in (0, 1)), gauge(f"tokio_workers{{{API}}}", 2)), bad=15, after=10),
    Case("EventLoopQueued", AT_INSTANCE,
         (gauge(f"tokio_global_queue_depth{{{API}}}", 0, 100 * BELOW, 100 * ABOVE),), bad=10, after=10),
    Case("SlowPolls", AT_INSTANCE, observed("tokio_poll_duration_seconds", API, "0.05", "0.1", 0.01), bad=15, after=10),
    Case("BlockingPoolQueued", AT_INSTANCE,
         (gauge(f"tokio_blocking_queue_depth{{{API}}}", 0, 10, 11),), well=10, bad=10, after=2),
    Case("PerfRunsBroken", AT_PERF,
         (counter(f'perf_runs_total{{{PERF},scenario="smoke",outcome="broken"}}', 0, 0, 0.2),), well=10, bad=10, after=70),
    # One every three hours fails, and as many pass; two of four are half.
    Case("PerfRunsFail", AT_PERF,
         (counter(f'perf_runs_total{{{PERF},scenario="smoke",outcome="failed"}}', 0, 0.49, 0.51),
          counter(f'perf_runs_total{{{PERF},scenario="smoke",outcome="passed"}}', 1, 0.51, 0.49)),
         bad=400, after=60, every=5, seconds=60),
    # 1.5 in six hours.
    Case("PerfRunsInconclusive", AT_PERF,
         (counter(f'perf_runs_total{{{PERF},scenario="smoke",outcome="inconclusive"}}', 0, 1.5 / 360 * 0.95, 1.5 / 360 * 1.05),),
         bad=400, after=60, every=5, seconds=60),
    Case("SimulatorLate", {"job": "llm-simulator"},
         observed("simulator_lateness_seconds", f'{SIMULATOR},protocol="ollama"', "0.02", "0.05", 0.05), bad=10, after=10),
    Case("CollectorDown", {"job": "otel-collector", "instance": "c:1"},
         (gauge('up{job="otel-collector",instance="c:1"}', 1, 1, 0),), bad=4, after=2),
    *(Case("CollectorLosesData", {"job": "otel-collector", "exporter": "otlp_http/loki"},
           (counter(f'{name}{{job="otel-collector",instance="c:1",exporter="otlp_http/loki"}}', 0, 0, 1),),
           bad=15, after=10)
      for name in ("otelcol_exporter_send_failed_log_records_total", "otelcol_exporter_enqueue_failed_spans")),
    *(Case("CollectorRefuses", {"job": "otel-collector"},
           (counter(f'{name}{{job="otel-collector",instance="c:1"}}', 0, 0, 1),), bad=15, after=10)
      for name in ("otelcol_receiver_refused_spans", "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early_total")),
    Case("NotificationsFail", {"job": "alertmanager", "integration": "webhook"},
         (counter('alertmanager_notifications_failed_total{job="alertmanager",integration="webhook"}', 0, 0, 1),),
         bad=15, after=10),
    Case("ScrapesSlow", AT_INSTANCE, (gauge(f"scrape_duration_seconds{{{API}}}", 0.01, 2, 2.1),), bad=12, after=8),
    Case("RulesFail", {"job": "prometheus"},
         (counter('prometheus_rule_evaluation_failures_total{job="prometheus",instance="localhost:9090",rule_group="g"}', 0, 0, 1),),
         bad=5, after=10),
    Case("AlertsNotDelivered", {"job": "prometheus"},
         (counter('prometheus_notifications_dropped_total{job="prometheus",instance="localhost:9090"}', 0, 0, 1),),
         bad=5, after=10),
]

# Of each objective: a share of 100 events a minute that is bad.
EVENTS = {
    "availability": lambda share: answers(share),
    "latency": lambda share: observed(REQUESTS, BOOKS, "1", "2.5", share),
    "llm_latency": lambda share: observed(REQUESTS, SUMMARY, "10.0", "30.0", share),
    "summaries": lambda share: failing(
        *(f'bookstore_summaries_total{{{API},provider="ollama",outcome="{outcome}"}}' for outcome in ("timeout", "generated")),
        share),
}
# Minutes of the long window and of the short one, and how closely time has to be looked at for them.
BURNS = {"14.4": (60, 5, 1, 15), "6": (360, 30, 5, 60), "3": (1440, 120, 10, 120), "1": (4320, 360, 20, 120)}


def burn(objective, factor):
    long, short, every, seconds = BURNS[factor]
    allowed = 1 - float(objective.target)
    return Case(
        objective.alert, AT_API, EVENTS[objective.slo](float(factor) * allowed),
        # The whole of the long window, and for as long as the alert waits; until the short one has no more of it.
        bad=(long + 40) // every * every, after=(short // every + 2) * every, every=every, seconds=seconds,
        rule={"slo": objective.slo, "burn": f"{factor}x"},
    )


def exhausted(objective):
    return Case(
        "ErrorBudgetSpent", {}, EVENTS[objective.slo](1 - float(objective.target)), bad=240, after=240,
        every=10, seconds=120, rule={"slo": objective.slo},
    )
