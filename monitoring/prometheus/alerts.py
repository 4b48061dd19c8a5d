"""Every alert that is not the burning of an error budget: expression, how long, whose, and what to do.

A table: long because each row carries its own runbook.
"""

from objectives import FEWEST_BAD, LLM_ROUTES, OPEN_ENDED, PROBES, REQUESTS, SERVICES
from table import Alert

# Attempts that say nothing about the provider: the caller left, our own limits, what was asked.
NOT_THE_PROVIDERS = "cancelled|not_admitted|refused|context_too_long"
READERS = f'{SERVICES},http_route!~"{PROBES}"'
PLAIN = f'{SERVICES},http_route!~"{PROBES}|{LLM_ROUTES}|{OPEN_ENDED}"'
LLM = f'{SERVICES},http_route=~"{LLM_ROUTES}"'
OURS = 'job=~"bookstore-api|perf-service|llm-simulator"'
SIMULATOR = 'job="llm-simulator"'


def ratio(bad, total):
    """Nothing where there is nothing to divide by."""
    return f"{bad}\n  /\n({total} > 0)"


def quantile(which, metric, selector, by="job"):
    """Prometheus answers NaN where nothing was observed, and NaN is above nothing."""
    return f"histogram_quantile({which}, sum by ({by}, le) (rate({metric}_bucket{{{selector}}}[5m])))"


ERRORS = ratio(
    f'sum by (job) (rate({REQUESTS}_count{{{READERS},http_response_status_code=~"5.."}}[5m]))',
    f'sum by (job) (rate({REQUESTS}_count{{{READERS},http_response_status_code!=""}}[5m]))',
)
FAILING = ratio(
    f'sum by (job, provider) (rate(bookstore_llm_attempts_total{{outcome!~"ok|{NOT_THE_PROVIDERS}"}}[5m]))',
    f'sum by (job, provider) (rate(bookstore_llm_attempts_total{{outcome!~"{NOT_THE_PROVIDERS}"}}[5m]))',
)
PER_DAY = "sum by (job, kind) (rate(bookstore_llm_cost_usd_total[%s])) * 86400"
# What counts against it is the kind of cost that it is compared with.
DAYS_BUDGET = (
    'max by (job, kind) (label_replace(bookstore_llm_budget_usd{scope="global"}, "kind", "$1", "counts", "(.*)")) > 0'
)


def pace(window):
    """Today's budgets that a day at this pace would cost. A budget of none has no pace."""
    return f"{PER_DAY % window}\n  / on (job, kind)\n({DAYS_BUDGET})"


# A page needs so many: of three requests in five minutes, one bad one is a third.
ERRORS_ENOUGH = (
    f'sum by (job) (increase({REQUESTS}_count{{{READERS},http_response_status_code=~"5.."}}[5m])) >= {FEWEST_BAD}'
)
# A breaker that is open has seen enough, and lets hardly any attempt through.
FAILING_ENOUGH = (
    f'(\n  sum by (job, provider) (increase(bookstore_llm_attempts_total{{outcome!~"ok|{NOT_THE_PROVIDERS}"}}[5m])) '
    f">= {FEWEST_BAD}\n    or\n"
    '  max by (job, provider) (max_over_time(bookstore_llm_breaker_state{state="open"}[5m])) == 1\n)'
)
BUDGET_SPENT = (
    'max by (job, scope) (bookstore_llm_budget_spent_usd{scope="global"})\n  /\n'
    '(max by (job, scope) (bookstore_llm_budget_usd{scope="global"}) > 0)'
)
OPEN_FILES = f"process_open_fds{{{OURS}}}\n  /\nprocess_max_fds{{{OURS}}}"
# Each by itself: their labels are the same, and a rate over several names would not tell them apart.
LOST = "\n  or\n".join(
    f"sum by (job, exporter) (rate(otelcol_exporter_{step}_failed_{what}{suffix}[5m])) > 0"
    for suffix in ("_total", "") for step in ("send", "enqueue") for what in ("spans", "log_records")
)

REFUSED = "\n  or\n".join(
    f"sum by (job) (rate(otelcol_{what}{suffix}[5m])) > 0"
    for suffix in ("_total", "")
    for what in ("receiver_refused_spans", "receiver_refused_log_records",
                 "processor_tail_sampling_sampling_trace_dropped_too_early")
)

SERVICE_ALERTS = (
    Alert(
        name="ServiceDown", group="services", family="service", severity="critical", team="platform",
        expr=f"up{{{SERVICES}}} == 0", wait="1m", keeps="6m",
        summary="{{ $labels.job }} is down",
        description="Prometheus has not reached {{ $labels.job }} at {{ $labels.instance }} for a minute "
                    "(up is {{ $value }}).",
        means="The process is gone, does not answer, or cannot be reached from Prometheus. Its other alerts are held "
              "back meanwhile",
        look="`make status` or `docker compose ps`, then the last lines of its log",
        do="Start it again if it is gone. If it was killed for memory, see the runbook of MemoryGrows. If it is up, "
           "look at the network between it and Prometheus.",
        dashboard="health",
    ),
    Alert(
        name="SimulatorDown", group="services", family="service", severity="warning", team="performance",
        expr='up{job="llm-simulator"} == 0', wait="2m",
        summary="llm-simulator is down",
        description="Prometheus has not reached llm-simulator at {{ $labels.instance }} for two minutes "
                    "(up is {{ $value }}).",
        means="Load runs against it fail, and so do summaries where it stands in for a provider",
        look="`make status` or `docker compose ps`, then the last lines of its log",
        do="Start it again, and repeat the runs that it broke.",
        dashboard="health",
    ),
    Alert(
        name="ServiceRestarts", group="services", family="restarts", severity="warning", team="platform",
        expr=f"changes(process_start_time_seconds{{{OURS}}}[30m]) > 2", wait="0s",
        summary="{{ $labels.job }} keeps restarting",
        description="{{ $labels.job }} at {{ $labels.instance }} was started {{ $value }} times anew within half an "
                    "hour.",
        means="Something ends the process again and again: a crash, a health check, the memory limit",
        look="the last lines of its log before each start, and `docker inspect` for OOMKilled",
        do="Repair what ends it. If it began with a deployment, roll it back.",
        dashboard="health",
    ),
    Alert(
        name="ErrorRateHigh", group="requests", family="errors", severity="warning", team="bookstore",
        expr=f"{ERRORS} > 0.01", wait="5m",
        summary="{{ $labels.job }} answers too many requests with a 5xx status",
        description="{{ $value | humanizePercentage }} of the requests to {{ $labels.job }} in the last 5 minutes "
                    "were answered with a 5xx status; 1 % is too much.",
        means="Clients are not given what they asked for, and not by their own mistake",
        look="which routes and error types, then the log lines of those requests by their trace id",
        do="If a dependency is behind it, go on with the runbook of its alert. If it began with a deployment, roll "
           "it back.",
        dashboard="errors",
    ),
    Alert(
        name="ErrorRateVeryHigh", group="requests", family="errors", severity="critical", team="bookstore",
        expr=f"{ERRORS} > 0.1\n  and on (job)\n{ERRORS_ENOUGH}", wait="2m",
        summary="{{ $labels.job }} fails for one request in ten",
        description="{{ $value | humanizePercentage }} of the requests to {{ $labels.job }} in the last 5 minutes "
                    "were answered with a 5xx status; 10 % is an outage.",
        means="The service is as good as down for many of its clients",
        look="which routes and error types, /health/ready, then the log lines of those requests by their trace id",
        do="If a dependency is behind it, go on with the runbook of its alert. If it began with a deployment, roll "
           "it back at once.",
        dashboard="errors",
    ),
    Alert(
        name="LatencyP95High", group="requests", family="latency", severity="warning", team="bookstore",
        expr=f'{quantile("0.95", REQUESTS, PLAIN)} > 1', wait="5m",
        summary="{{ $labels.job }} is slow",
        description="One in 20 requests to {{ $labels.job }} in which no LLM takes part takes longer than "
                    "{{ $value | humanizeDuration }}; 1 s is promised.",
        means="Readers wait. The objective is 95 % within 1 s",
        look="the slowest routes, the durations of store and cache operations, and how busy the Tokio workers are",
        do="Relieve what is slow: the store (load, pool, index), the cache (is it up?), the CPU (more instances).",
        dashboard="http",
    ),
    Alert(
        name="LatencyP99High", group="requests", family="latency-tail", severity="warning", team="bookstore",
        expr=f'{quantile("0.99", REQUESTS, PLAIN)} > 2.5', wait="10m",
        summary="{{ $labels.job }} is very slow for some",
        description="One in 100 requests to {{ $labels.job }} in which no LLM takes part takes longer than "
                    "{{ $value | humanizeDuration }}; more than 2.5 s is a broken page.",
        means="Most are fine and a few wait for very long: a lock, a pool that is used up, one slow route",
        look="the worst requests by their traces, pending requests of the store's pool, poll times of Tokio",
        do="Find in a trace what the time goes to, and relieve that.",
        dashboard="http",
    ),
    Alert(
        name="LlmLatencyP95High", group="requests", family="llm-latency", severity="warning", team="bookstore",
        expr=f'{quantile("0.95", REQUESTS, LLM)} > 10', wait="10m",
        summary="Summaries are slow",
        description="One in 20 requests to {{ $labels.job }} in which an LLM may take part takes longer than "
                    "{{ $value | humanizeDuration }}; 10 s is promised.",
        means="A provider is slow, is asked several times for one answer, or the cache stopped hitting",
        look="time to the first chunk by provider, retries and fallbacks, cache hits",
        do="Make a faster provider the default (LLM_PROVIDER), name a second one in LLM_FALLBACK, or lower "
           "LLM_DEADLINE_SECONDS.",
        dashboard="llm",
    ),
    Alert(
        name="NoTraffic", group="requests", family="traffic", severity="warning", team="bookstore",
        expr='avg_over_time(slo:availability:requests_rate5m{job="bookstore-api"}[1h] offset 10m) > 0.1\n'
             '  and on (job)\nsum by (job) (up{job="bookstore-api"}) > 0\n'
             '  unless on (job)\n(slo:availability:requests_rate5m{job="bookstore-api"} > 0)\n'
             # A load run that has ended looks the same, and is nothing that anybody has to be told of.
             '  unless on ()\n'
             '(sum(max_over_time(perf_runs_under_way{state=~"starting|running|stopping"}[70m])) > 0)',
        wait="5m",
        summary="Nobody asks {{ $labels.job }} any more",
        description="{{ $labels.job }} is up and had {{ $value | humanize }} requests a second within the last hour, "
                    "and now has none.",
        means="Requests do not arrive: a proxy, a name, a certificate, a client that broke. What "
              "perf-service's load runs leave behind is not told of; that of a k6 by hand is",
        look="whether a load run by hand has just ended; then ask the service from where its clients are",
        do="Repair the way to it. After a load run there is nothing to do: it ends within the hour.",
        dashboard="http",
    ),
)

LLM_ALERTS = (
    Alert(
        name="ProviderFailuresHigh", group="providers", family="provider", severity="warning", team="bookstore",
        expr=f"{FAILING} > 0.2", wait="10m",
        summary="{{ $labels.provider }} fails often",
        description="{{ $value | humanizePercentage }} of the attempts at {{ $labels.provider }} in the last "
                    "5 minutes failed; retries make good for about 20 %.",
        means="Answers take longer and cost more, since attempts are repeated or go to another provider",
        look="attempts by outcome: `rate_limited`, `overloaded` and `unavailable` are the provider's, "
             "`unauthorized` is a key or model",
        do="Look at the provider's status page. If it lasts, make another the default, and lower the load where it "
           "is `rate_limited`.",
        dashboard="llm",
    ),
    Alert(
        name="ProviderFails", group="providers", family="provider", severity="critical", team="bookstore",
        expr=f"{FAILING} > 0.8\n  and on (job, provider)\n{FAILING_ENOUGH}", wait="2m", keeps="6m",
        summary="{{ $labels.provider }} does not answer",
        description="{{ $value | humanizePercentage }} of the attempts at {{ $labels.provider }} in the last "
                    "5 minutes failed.",
        means="Hardly any summary comes from this provider; its breaker opens",
        look="attempts by outcome, /api/v1/llm/providers?probe=true, the provider's status page",
        do="Make another provider the default (LLM_PROVIDER) or name one in LLM_FALLBACK. `unauthorized`: renew the "
           "key.",
        dashboard="llm",
    ),
    Alert(
        name="BreakerOpen", group="providers", family="breaker", severity="warning", team="bookstore",
        # Between two probes it is half open for a moment; and for good once nobody asks.
        expr='max by (job, provider, model) (max_over_time(bookstore_llm_breaker_state{state="open"}[2m])) == 1',
        wait="1m",
        summary="{{ $labels.provider }} is being left alone",
        description="The breaker of {{ $labels.provider }}, {{ $labels.model }}, has been open again and "
                    "again for a minute: too many of its last calls failed (open is {{ $value }}).",
        means="Calls go to the next provider of LLM_FALLBACK at once, or fail where there is none",
        look="attempts by outcome, and /api/v1/llm/providers for the last error",
        do="Repair or replace the provider. The breaker lets a call through every now and then, and closes when two "
           "of them are answered.",
        dashboard="llm",
    ),
    Alert(
        name="UnsafeAnswers", group="providers", family="answers", severity="warning", team="bookstore",
        expr="sum by (job) (increase(bookstore_answers_refused_total[1h])) > 5", wait="0s",
        summary="LLMs give answers that are not let through",
        description="{{ $value | humanize }} answers were refused within an hour: they were not fit to be stored or "
                    "served.",
        means="A model or prompt changed, or texts of books try to give orders. Each was paid for",
        look="refusals by reason, and which books and models the log names",
        do="Look at those books' texts. If it began with a new model or prompt version, go back to the one before.",
        dashboard="llm",
    ),
    Alert(
        name="PriceUnknown", group="cost", family="price", severity="info", team="bookstore",
        expr="sum by (job, provider) (increase(bookstore_llm_cost_unknown_total[1h])) > 0.5", wait="0s",
        summary="Calls of {{ $labels.provider }} have no known price",
        description="{{ $value | humanize }} calls of {{ $labels.provider }} within an hour had no known price: "
                    "their dollars are not counted, and no budget sees them.",
        means="The model is not in the price list, so spending is higher than any figure says",
        look="which model is configured for this provider, and the log",
        do="Add its price by LLM_PRICES_FILE.",
        dashboard="cost",
    ),
    Alert(
        name="CostBurnsBudget", group="cost", family="cost", severity="warning", team="bookstore",
        expr=f'{pace("1h")} > 3\n  and on (job, kind)\n{pace("5m")} > 3', wait="0s",
        summary="Money goes three times as fast as the budget allows",
        description="At the pace of the last hour a day costs {{ $value | humanize }} of its budgets.",
        means="The day's budget is gone within eight hours, and requests that need an LLM are refused then",
        look="dollars by provider and model, cache hits, and which tenants spend (/api/v1/llm/usage)",
        do="Find who spends: a load run, a refresh in a loop, a dearer model. Set a tenant's limit, or the cheaper "
           "model as the default.",
        dashboard="cost",
    ),
    Alert(
        name="CostBurnsBudgetFast", group="cost", family="cost", severity="critical", team="bookstore",
        expr=f'{pace("1h")} > 12\n  and on (job, kind)\n{pace("5m")} > 12', wait="0s",
        summary="Money goes twelve times as fast as the budget allows",
        description="At the pace of the last hour a day costs {{ $value | humanize }} of its budgets.",
        means="The day's budget is gone within two hours, and requests that need an LLM are refused then",
        look="dollars by provider and model, cache hits, and which tenants spend (/api/v1/llm/usage)",
        do="Stop who spends. The budget bounds the loss: do not raise it before the reason is known.",
        dashboard="cost",
    ),
    Alert(
        name="BudgetNearlySpent", group="cost", family="budget", severity="warning", team="bookstore",
        expr=f"{BUDGET_SPENT} > 0.8", wait="1m",
        summary="Today's LLM budget is nearly spent",
        description="{{ $value | humanizePercentage }} of today's budget is spent.",
        means="When it is gone, summaries that are neither cached nor stored are refused with 429 until midnight UTC",
        look="when it was spent and by which provider and tenant (/api/v1/llm/usage)",
        do="If it was well spent, raise LLM_DAILY_BUDGET_USD; else stop who spends.",
        dashboard="cost",
    ),
    Alert(
        name="BudgetSpent", group="cost", family="budget", severity="critical", team="bookstore",
        expr=f"{BUDGET_SPENT} > 0.98", wait="1m",
        summary="Today's LLM budget is spent",
        description="{{ $value | humanizePercentage }} of today's budget is spent; calls are refused.",
        means="Summaries that are neither cached nor stored are refused with 429 until midnight UTC",
        look="refusals by limit, and who spent it (/api/v1/llm/usage)",
        do="Raise LLM_DAILY_BUDGET_USD if that is worth it, or wait for midnight UTC.",
        dashboard="cost",
    ),
    Alert(
        name="LlmCallsRefused", group="cost", family="limits", severity="info", team="bookstore",
        expr="sum by (job, limit) (increase(bookstore_llm_limit_refusals_total[30m])) > 10", wait="0s",
        summary="Calls are refused by {{ $labels.limit }}",
        description="{{ $value | humanize }} LLM calls were refused by {{ $labels.limit }} within half an hour.",
        means="A budget or rate limit of our own does what it is there for",
        look="which tenant it is (/api/v1/llm/usage)",
        do="Nothing, unless it meets somebody that it should not: then change the limit.",
        dashboard="cost",
    ),
)

DEPENDENCY_ALERTS = (
    Alert(
        name="StoreDown", group="dependencies", family="store", severity="critical", team="platform",
        expr='min by (job, dependency) (bookstore_dependency_up{dependency="store"}) == 0', wait="30s", keeps="6m",
        summary="The store of {{ $labels.job }} is down",
        description="{{ $labels.job }} has not reached its store for half a minute (up is {{ $value }}).",
        means="Nothing can be written, and nothing read but what is cached. Errors and slow answers that follow from "
              "it are held back",
        look="/health/ready for the reason, then MongoDB's own state and log",
        do="Bring the store back; the service reconnects by itself. Then let `bookstore-api check` look for "
           "contradictions.",
        dashboard="dependencies",
    ),
    Alert(
        name="StoreOperationsFail", group="dependencies", family="store", severity="warning", team="platform",
        expr=ratio(
            'sum by (job, store) (rate(bookstore_store_operation_duration_seconds_count'
            '{outcome=~"timeout|unavailable|corrupt"}[5m]))',
            "sum by (job, store) (rate(bookstore_store_operation_duration_seconds_count[5m]))",
        ) + " > 0.01",
        wait="5m",
        summary="Operations of the store fail",
        description="{{ $value | humanizePercentage }} of the operations of {{ $labels.store }} failed or timed out "
                    "in the last 5 minutes.",
        means="The store is overloaded, or the way to it is bad",
        look="which operations and outcomes, and pending requests of the pool",
        do="Relieve the store. `corrupt` is a document that cannot be read: let `bookstore-api check` find it.",
        dashboard="dependencies",
    ),
    Alert(
        name="StorePoolUsedUp", group="dependencies", family="store-pool", severity="warning", team="platform",
        expr="min_over_time(db_client_connection_pending_requests[5m]) > 0", wait="0s",
        summary="Requests wait for a connection to the store",
        description="For 5 minutes there were always requests waiting for a connection of "
                    "{{ $labels.db_client_connection_pool_name }}, at the least {{ $value }}.",
        means="All connections are in use: the store is slow, or there is more work than it has connections",
        look="durations of store operations, then connections in use",
        do="If operations are slow, relieve the store. If they are quick, use more instances.",
        dashboard="dependencies",
    ),
    Alert(
        name="CacheDown", group="dependencies", family="cache", severity="warning", team="platform",
        expr='min by (job, dependency) (bookstore_dependency_up{dependency="cache"}) == 0', wait="30s", keeps="6m",
        summary="The cache of {{ $labels.job }} is down",
        description="{{ $labels.job }} has not reached its cache for half a minute (up is {{ $value }}).",
        means="It works, and slower: every read is the store's. Several instances may pay for the same summary. What "
              "was invalidated meanwhile is invalidated when it is back",
        look="/health/ready, then Redis' own state and log",
        do="Bring Redis back; the service reconnects by itself. Watch the load of the store meanwhile.",
        dashboard="dependencies",
    ),
    Alert(
        name="CacheErrors", group="dependencies", family="cache-errors", severity="warning", team="platform",
        expr=ratio(
            'sum by (job) (rate(bookstore_cache_requests_total{outcome="error"}[5m]))',
            "sum by (job) (rate(bookstore_cache_requests_total[5m]))",
        ) + " > 0.05",
        wait="5m",
        summary="Look-ups in the cache fail",
        description="{{ $value | humanizePercentage }} of the look-ups in the cache of {{ $labels.job }} failed in "
                    "the last 5 minutes. Each is answered by the store.",
        means="Redis is slow (250 ms is its deadline), or the way to it is bad",
        look="durations of cache operations by outcome, then Redis' memory and slow log",
        do="Relieve Redis. The service goes on without it.",
        dashboard="dependencies",
    ),
    Alert(
        name="CacheInvalidationsWait", group="dependencies", family="cache-invalidations", severity="warning",
        team="platform",
        expr="min_over_time(bookstore_cache_invalidations_pending[10m]) > 0", wait="0s",
        summary="What was written may be read in its old state",
        description="For 10 minutes there were always invalidations waiting to be repeated, at the least "
                    "{{ $value }}.",
        means="Readers may be given books as they were before the last write, until their entries' time to live ends",
        look="whether the cache is up; invalidations repeated by outcome",
        do="Bring the cache back. If it is up and they still wait, restart it: it holds nothing that is not elsewhere.",
        dashboard="dependencies",
    ),
)

PROCESS_ALERTS = (
    Alert(
        name="FileDescriptorsHigh", group="processes", family="descriptors", severity="warning", team="platform",
        expr=f"{OPEN_FILES} > 0.8", wait="5m",
        summary="{{ $labels.job }} has most of its file descriptors open",
        description="{{ $labels.job }} at {{ $labels.instance }} has {{ $value | humanizePercentage }} of its file "
                    "descriptors open.",
        means="When they are used up, no connection is taken and no file opened",
        look="whether connections grow with traffic or without it",
        do="With traffic: raise the limit (ulimit -n) or add instances. Without: something leaks, restart it and "
           "look for what does not close.",
        dashboard="runtime",
    ),
    Alert(
        name="FileDescriptorsUsedUp", group="processes", family="descriptors", severity="critical", team="platform",
        expr=f"{OPEN_FILES} > 0.95", wait="1m",
        summary="{{ $labels.job }} is running out of file descriptors",
        description="{{ $labels.job }} at {{ $labels.instance }} has {{ $value | humanizePercentage }} of its file "
                    "descriptors open.",
        means="In a moment no connection is taken and no file opened",
        look="whether connections grow with traffic or without it",
        do="Take traffic away or restart it now; raise the limit (ulimit -n) or look for what does not close.",
        dashboard="runtime",
    ),
    Alert(
        name="MemoryGrows", group="processes", family="memory", severity="warning", team="platform",
        # The least of an hour is what the process keeps when it has little to do.
        expr=f"min_over_time(process_resident_memory_bytes{{{OURS}}}[1h])\n  /\n"
             f"(min_over_time(process_resident_memory_bytes{{{OURS}}}[1h] offset 6h) > 0) > 1.5\n  and\n"
             f"process_resident_memory_bytes{{{OURS}}} > 67108864\n  and on (job, instance)\n"
             # Six hours ago it has to have been at work, and not at its start.
             f"time() - process_start_time_seconds{{{OURS}}} > 28800",
        wait="30m",
        summary="{{ $labels.job }} keeps more and more memory",
        description="{{ $labels.job }} at {{ $labels.instance }} keeps {{ $value | humanize }} times as much memory "
                    "as six hours ago.",
        means="Something is kept that nobody needs any more, or a bound is too wide",
        look="allocated against resident bytes of the allocator: both grow where something is kept, resident alone "
             "where memory is fragmented; then tasks alive",
        do="Restart it before it reaches its limit, and look for what is kept.",
        dashboard="runtime",
    ),
    Alert(
        name="MemoryHigh", group="processes", family="memory-limit", severity="warning", team="platform",
        expr=f"process_resident_memory_bytes{{{OURS}}} > 214748364", wait="5m",
        summary="{{ $labels.job }} is near its memory limit",
        description="{{ $labels.job }} at {{ $labels.instance }} holds {{ $value | humanize1024 }}B of memory; in "
                    "compose it is killed at 256 MiB.",
        means="It is killed at its limit, with all requests under way",
        look="requests under way, CACHE_MIB, and whether the allocator's allocated bytes agree",
        do="Lower CACHE_MIB or MAX_CONCURRENT_REQUESTS, raise the limit, or see the runbook of MemoryGrows.",
        dashboard="runtime",
    ),
    Alert(
        name="EventLoopBusy", group="runtime", family="runtime", severity="warning", team="platform",
        expr=f"sum by (job, instance) (rate(tokio_worker_busy_seconds_total{{{OURS}}}[5m]))\n  /\n"
             f"(sum by (job, instance) (tokio_workers{{{OURS}}}) > 0) > 0.9",
        wait="5m",
        summary="The workers of {{ $labels.job }} have no time left",
        description="The Tokio workers of {{ $labels.job }} at {{ $labels.instance }} were busy for "
                    "{{ $value | humanizePercentage }} of the last 5 minutes.",
        means="Everything waits for a worker: latency grows with each further request",
        look="whether requests grew; if not, poll times: one long poll is work that blocks",
        do="Add instances or CPU. Work that blocks belongs on the blocking pool.",
        dashboard="threading",
    ),
    Alert(
        name="EventLoopQueued", group="runtime", family="runtime-queue", severity="warning", team="platform",
        expr=f"avg_over_time(tokio_global_queue_depth{{{OURS}}}[5m]) > 100", wait="0s",
        summary="Tasks of {{ $labels.job }} wait for a worker",
        description="On average {{ $value | humanize }} tasks of {{ $labels.job }} at {{ $labels.instance }} waited "
                    "for a worker in the last 5 minutes.",
        means="More becomes ready than the workers get done",
        look="how busy the workers are, and poll times",
        do="Add instances or CPU; if workers are idle, one of them is blocked: look for long polls.",
        dashboard="threading",
    ),
    Alert(
        name="SlowPolls", group="runtime", family="runtime-polls", severity="warning", team="platform",
        expr=f'{quantile("0.99", "tokio_poll_duration_seconds", OURS, "job, instance")} > 0.05', wait="5m",
        summary="Tasks of {{ $labels.job }} hold their worker for too long",
        description="One in 100 polls of {{ $labels.job }} at {{ $labels.instance }} took longer than "
                    "{{ $value | humanizeDuration }}.",
        means="A task computes or blocks without giving way; all others of that worker wait for it",
        look="what the traces of slow requests have in common",
        do="Move that work to the blocking pool, or cut it into pieces.",
        dashboard="threading",
    ),
    Alert(
        name="BlockingPoolQueued", group="runtime", family="runtime-blocking", severity="warning", team="platform",
        expr=f"min_over_time(tokio_blocking_queue_depth{{{OURS}}}[5m]) > 10", wait="0s",
        summary="Blocking work of {{ $labels.job }} waits for a thread",
        description="For 5 minutes at the least {{ $value }} pieces of blocking work of {{ $labels.job }} at "
                    "{{ $labels.instance }} waited for a thread.",
        means="The embedded store, files or DNS are slower than the work that comes",
        look="durations of store operations, and the disk",
        do="Relieve the disk. With many writers use MongoDB instead of the embedded store.",
        dashboard="threading",
    ),
)

LOAD_TEST_ALERTS = (
    Alert(
        name="PerfRunsBroken", group="load-tests", family="runs-broken", severity="warning", team="performance",
        expr='sum by (job, scenario) (increase(perf_runs_total{outcome="broken"}[1h])) > 0.5', wait="0s",
        summary="Load runs of {{ $labels.scenario }} break off",
        description="{{ $value | humanize }} runs of {{ $labels.scenario }} within an hour ended without a result.",
        means="Not the target but the run itself failed: k6, its image, the disk, Docker",
        look="the run's `reason` and log (`perf-service list`, /api/v1/runs)",
        do="Repair what the reason names, and run it again.",
        dashboard="performance",
    ),
    Alert(
        name="PerfRunsFail", group="load-tests", family="runs-failed", severity="warning", team="performance",
        expr=ratio(
            'sum by (job, scenario) (increase(perf_runs_total{outcome="failed"}[6h]))',
            'sum by (job, scenario) (increase(perf_runs_total{outcome=~"failed|passed"}[6h]))',
        ) + ' >= 0.5\n  and on (job, scenario)\n'
            'sum by (job, scenario) (increase(perf_runs_total{outcome="failed"}[6h])) > 1.5',
        wait="0s",
        summary="Load runs of {{ $labels.scenario }} miss their thresholds",
        description="{{ $value | humanizePercentage }} of the runs of {{ $labels.scenario }} within six hours broke "
                    "a threshold, two at the least.",
        means="The target became slower or fails, or the threshold never fitted it",
        look="the reports of those runs: which threshold, since which build",
        do="Compare the last good build with this one (`make perf-compare`), and repair or revert.",
        dashboard="performance",
    ),
    Alert(
        name="PerfRunsInconclusive", group="load-tests", family="runs-inconclusive", severity="info",
        team="performance",
        expr='sum by (job, scenario) (increase(perf_runs_total{outcome="inconclusive"}[6h])) > 1.5', wait="0s",
        summary="Load runs of {{ $labels.scenario }} say nothing",
        description="{{ $value | humanize }} runs of {{ $labels.scenario }} within six hours could not be judged.",
        means="k6 could not send what it should have sent: the machine was too busy, or iterations were dropped",
        look="what else ran on that machine, and dropped iterations in the report",
        do="Run it where there is CPU for both sides, or with fewer users.",
        dashboard="performance",
    ),
    Alert(
        name="SimulatorLate", group="load-tests", family="lateness", severity="warning", team="performance",
        expr=f'{quantile("0.95", "simulator_lateness_seconds", SIMULATOR)} > 0.02', wait="2m",
        summary="The simulator cannot keep its own time",
        description="One in 20 answers of the simulator was later than drawn by more than "
                    "{{ $value | humanizeDuration }}.",
        means="It lacks CPU: latencies that runs measure now are not those of the profile",
        look="the CPU of that machine, and how many answers are under way",
        do="Do not trust the runs of this time. Run it on a machine of its own, or with fewer users.",
        dashboard="performance",
    ),
)

TELEMETRY_ALERTS = (
    Alert(
        name="CollectorDown", group="telemetry", family="collector", severity="warning", team="platform",
        expr='up{job="otel-collector"} == 0', wait="2m",
        summary="The collector is down",
        description="Prometheus has not reached the collector at {{ $labels.instance }} for two minutes "
                    "(up is {{ $value }}).",
        means="Traces and logs of this time are lost once the services' queues are full. Requests are not touched, "
              "metrics go on",
        look="`docker compose ps`, then the last lines of its log",
        do="Start it again; memory_limiter in its log means that it needs more memory or a smaller share.",
        dashboard="health",
    ),
    Alert(
        name="CollectorLosesData", group="telemetry", family="collector-loss", severity="warning", team="platform",
        expr=LOST,
        wait="5m",
        summary="The collector loses traces or logs",
        description="{{ $value | humanize }} spans and log lines a second do not get through {{ $labels.exporter }}.",
        means="What is behind this exporter is down or too slow, and the queue is full or its retries ended",
        look="whether Tempo, Loki or the Aspire dashboard is up, whichever the exporter is",
        do="Bring it back. If it is up, give it more room or lower the share that tail sampling keeps.",
        dashboard="health",
    ),
    Alert(
        name="CollectorRefuses", group="telemetry", family="collector-loss", severity="warning", team="platform",
        expr=REFUSED,
        wait="5m",
        summary="The collector has more to do than it has memory for",
        description="{{ $value | humanize }} spans, log lines or traces a second are refused, or decided on before "
                    "they are whole.",
        means="The services send more than it takes: the services' queues fill up, and traces are torn",
        look="memory_limiter in its log, and how many spans a second come in",
        do="Give it memory (COLLECTOR_MEMORY_MIB, TRACES_AT_ONCE), or lower OTEL_TRACES_SAMPLER_ARG of the services.",
        dashboard="health",
    ),
    Alert(
        name="NotificationsFail", group="telemetry", family="notifications", severity="warning", team="platform",
        expr="sum by (job, integration) (rate(alertmanager_notifications_failed_total[5m])) > 0", wait="5m",
        summary="Alertmanager cannot tell anybody",
        description="{{ $value | humanize }} messages a second by {{ $labels.integration }} fail.",
        means="Nobody is told of what goes wrong now; this one shows in Prometheus and Alertmanager alone",
        look="Alertmanager's log: which receiver, and what it answered",
        do="Put the address of a receiver that there is into alertmanager.yml, or bring it back.",
        dashboard="health",
    ),
    Alert(
        name="ScrapesSlow", group="telemetry", family="scrapes", severity="warning", team="platform",
        expr=f"max_over_time(scrape_duration_seconds{{{OURS}}}[5m]) > 2", wait="5m",
        summary="{{ $labels.job }} takes long to tell its metrics",
        description="A scrape of {{ $labels.job }} at {{ $labels.instance }} took "
                    "{{ $value | humanizeDuration }}; at 10 s it is given up, and its metrics are gone.",
        means="There are too many series, or the service has no CPU left",
        look="scrape_samples_scraped, then how busy its workers are",
        do="Find the label that has too many values, or relieve the service.",
        dashboard="health",
    ),
    Alert(
        name="RulesFail", group="telemetry", family="rules", severity="critical", team="platform",
        expr="sum by (job) (increase(prometheus_rule_evaluation_failures_total[5m])) > 0", wait="0s",
        summary="Prometheus cannot evaluate its rules",
        description="{{ $value | humanize }} evaluations of rules failed within 5 minutes: alerts may be missing.",
        means="Nobody may be told of what goes wrong now",
        look="/rules of Prometheus for the error",
        do="Correct the rule (`make alerts-check`), or give Prometheus more memory.",
        dashboard="health",
    ),
    Alert(
        name="AlertsNotDelivered", group="telemetry", family="notifications", severity="critical", team="platform",
        expr="sum by (job) (rate(prometheus_notifications_dropped_total[5m])) > 0", wait="1m",
        summary="Alerts do not reach Alertmanager",
        description="{{ $value | humanize }} alerts a second are dropped on their way to Alertmanager.",
        means="Nobody is told of what goes wrong now; this one shows in Prometheus alone",
        look="/status of Prometheus: is an Alertmanager found, and does it answer?",
        do="Bring Alertmanager back.",
        dashboard="health",
    ),
)

ALERTS = (
    *SERVICE_ALERTS, *LLM_ALERTS, *DEPENDENCY_ALERTS, *PROCESS_ALERTS, *LOAD_TEST_ALERTS, *TELEMETRY_ALERTS,
)
