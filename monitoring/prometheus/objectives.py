"""The service level objectives: what is counted, what is recorded of it, and how fast a budget may burn.

Objectives are about bookstore-api, which is what readers meet. The ratios are recorded for perf-service too; it
has so few requests that a budget of it would say nothing. The simulator fails and is slow on purpose.
"""

from dataclasses import dataclass

from table import Alert, Record
from times import milliseconds

SERVICES = 'job=~"bookstore-api|perf-service"'
# The service that makes promises.
PROMISED = 'job="bookstore-api"'
# Where an LLM may take part. `/llm/providers` asks providers when it is to probe them.
LLM_ROUTES = ".*/generate-summary|.*/llm/providers"
# Not asked by readers: probes and scrapes.
PROBES = "/health.*|/metrics"
# As long as their client wants: events are followed, a file is as large as it is.
OPEN_ENDED = ".*/events|.*/log|.*/books/import"
# A bucket's bound as Prometheus 2 keeps it (`1`) and as Prometheus 3 does (`1.0`).
LE_1 = 'le=~"1|1[.]0"'
LE_10 = 'le=~"10|10[.]0"'
REQUESTS = "http_server_request_duration_seconds"
# Summaries that could not be given for what the caller asked or may spend, and those whose caller left, say
# nothing about the service. Every other kind of error does, one that is added later too.
CALLERS_OWN = (
    "bad_cursor|cancelled|contended|context_too_long|invalid|key_reused|not_admitted|not_found|"
    "precondition_failed|provider_not_configured|refused"
)
GOOD = "cached|generated|shared|stored"

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
# Over these the ratio is taken from what was recorded: 30 days of raw series are too many samples to read
# every few seconds.
LONG = ("1d", "3d", "30d")
# An alert needs this many bad events in its long window: of ten requests in an hour, one bad one is ten percent.
FEWEST_BAD = 5


@dataclass(frozen=True)
class Burn:
    """A row of the table in https://sre.google/workbook/alerting-on-slos/ (multiwindow, multi-burn-rate)."""

    factor: str
    long: str
    short: str
    severity: str
    # Share of the 30 days' budget that is gone when it fires.
    spent: str
    # So that the alert that names the cause (store down, provider fails) comes first, and can hold this one back.
    wait: str


BURNS = (
    Burn("14.4", "1h", "5m", "critical", "2 %", "2m"),
    Burn("6", "6h", "30m", "critical", "5 %", "2m"),
    Burn("3", "1d", "2h", "warning", "10 %", "15m"),
    Burn("1", "3d", "6h", "warning", "10 %", "15m"),
)


@dataclass(frozen=True)
class Objective:
    """`bad` and `total` are sums by job, with FN and W for the function and the window."""

    slo: str
    target: str
    ratio: str  # name of the recorded ratio, without its window
    bad: str
    total: str
    alert: str
    what: str  # what is promised
    missed: str  # who is counted as bad
    look: str
    do: str
    dashboard: str


def selected(metric, selector):
    return f"sum by (job) (FN({metric}{{{selector}}}[W]))"


def slower(selector, bound):
    """All but those within the bound."""
    return f"({selected(REQUESTS + '_count', selector)} - {selected(REQUESTS + '_bucket', f'{selector},{bound}')})"


ANSWERED = f'{SERVICES},http_route!~"{PROBES}",http_response_status_code!=""'
PLAIN = f'{SERVICES},http_route!~"{PROBES}|{LLM_ROUTES}|{OPEN_ENDED}"'
WITH_LLM = f'{SERVICES},http_route=~"{LLM_ROUTES}"'
ASKED = f'{SERVICES},outcome!~"{CALLERS_OWN}"'

OBJECTIVES = (
    Objective(
        "availability", "0.999", "slo:availability:error_ratio_rate",
        selected(f"{REQUESTS}_count", ANSWERED.replace('!=""', '=~"5.."')),
        selected(f"{REQUESTS}_count", ANSWERED),
        "AvailabilityBudgetBurns",
        "99.9 % of requests over 30 days are not answered with a 5xx status",
        "answered with a 5xx status",
        "which routes and error types fail, on the dashboard; then the log lines of those requests by their trace id",
        "If it began with a deployment, roll it back. If one dependency is behind it (store, provider), go on with "
        "the runbook of its alert",
        "errors",
    ),
    Objective(
        "latency", "0.95", "slo:latency:slow_ratio_rate",
        slower(PLAIN, LE_1), selected(f"{REQUESTS}_count", PLAIN),
        "LatencyBudgetBurns",
        "95 % of requests in which no LLM takes part are done within 1 s",
        "slower than 1 s, without an LLM",
        "which routes are slow, then the durations of store and cache operations and the Tokio workers",
        "If the store is slow, look at its own load and its pool; if the workers are busy, take load away or add "
        "instances; if the cache is down, bring it back",
        "http",
    ),
    Objective(
        "llm_latency", "0.95", "slo:llm_latency:slow_ratio_rate",
        slower(WITH_LLM, LE_10), selected(f"{REQUESTS}_count", WITH_LLM),
        "LlmLatencyBudgetBurns",
        "95 % of requests in which an LLM may take part are done within 10 s",
        "slower than 10 s, with an LLM",
        "the time to the first chunk and the duration of calls by provider and model, and retries",
        "If one provider is slow, make another the default (LLM_PROVIDER, LLM_FALLBACK) or lower "
        "LLM_DEADLINE_SECONDS; if cache hits fell, find out why",
        "llm",
    ),
    Objective(
        "summaries", "0.99", "slo:summaries:failure_ratio_rate",
        selected("bookstore_summaries_total", ASKED.replace(CALLERS_OWN, f"{GOOD}|{CALLERS_OWN}")),
        selected("bookstore_summaries_total", ASKED),
        "SummaryBudgetBurns",
        "99 % of summaries that could be asked for are given",
        "summaries that failed",
        "failures by provider and outcome, breakers, and attempts by outcome",
        "If one provider fails, make another the default or name it in LLM_FALLBACK; `unauthorized` is a key or a "
        "model that is not set up right; `unsafe_answer` is a prompt or a model that changed",
        "llm",
    ),
)


def over(expression, window, function="rate"):
    return expression.replace("FN", function).replace("[W]", f"[{window}]")


def recorded(objective):
    """The ratio over each window. Without traffic there is none; without a bad event it is 0."""
    base = f"slo:{objective.slo}"
    short = WINDOWS[0]
    total, bad = over(objective.total, short), over(objective.bad, short)
    yield Record(f"{base}:requests_rate5m", total)
    yield Record(f"{base}:bad_rate5m", f"{bad}\n  or\n0 * {base}:requests_rate5m")
    for window in WINDOWS:
        if window in LONG:
            bad = f"sum_over_time({base}:bad_rate5m[{window}])"
            total = f"sum_over_time({base}:requests_rate5m[{window}])"
        elif window == short:
            bad, total = f"{base}:bad_rate5m", f"{base}:requests_rate5m"
        else:
            total = over(objective.total, window)
            bad = f"(\n  {over(objective.bad, window)}\n    or\n  0 * {total}\n)"
        yield Record(f"{objective.ratio}{window}", f"{bad}\n  /\n({total} > 0)")


def budget(objective):
    yield Record("slo:objective", f"vector({objective.target})", {"slo": objective.slo})
    yield Record(
        "slo:error_budget_remaining:ratio",
        f"1 - sum({objective.ratio}30d{{{PROMISED}}})\n  /\n(1 - {objective.target})",
        {"slo": objective.slo},
    )


def bad_ones(objective, window):
    """How many were bad; over a day and more by what was recorded."""
    if window in LONG:
        return f"avg_over_time(slo:{objective.slo}:bad_rate5m{{{PROMISED}}}[{window}]) * {milliseconds(window) // 1000}"
    return over(objective.bad, window, "increase").replace(SERVICES, PROMISED)


def burning(objective):
    for burn in BURNS:
        threshold = f"({burn.factor} * (1 - {objective.target}))"
        both = [f"{objective.ratio}{window}{{{PROMISED}}} > {threshold}" for window in (burn.long, burn.short)]
        both.append(f"{bad_ones(objective, burn.long)} >= {FEWEST_BAD}")
        yield Alert(
            name=objective.alert,
            group=f"burn-{objective.slo}",
            family=objective.slo.replace("_", "-"),
            severity=burn.severity,
            team="bookstore",
            expr="\n  and on (job)\n".join(both),
            wait=burn.wait,
            labels={"slo": objective.slo, "burn": f"{burn.factor}x", "window": burn.long},
            summary=f"The {objective.slo.replace('_', ' ')} budget of {{{{ $labels.job }}}} burns "
                    f"{burn.factor} times as fast as it may",
            description=f"{{{{ $value | humanizePercentage }}}} of the requests of the last {burn.long} were "
                        f"{objective.missed}; so were too many of the last {burn.short}. {burn.spent} of the "
                        "30 days' budget are gone by now.",
            means=f"The objective is: {objective.what}. At this pace its budget is gone "
                  + ("long before the 30 days are" if burn.factor != "1" else "when the 30 days are, or before"),
            look=objective.look,
            do=objective.do + ("." if burn.severity == "critical" else
                               ". It can wait for working hours, not for next week."),
            dashboard=objective.dashboard,
        )


def spent(objective):
    """Nothing is left of a budget."""
    return Alert(
        name="ErrorBudgetSpent",
        group="budgets",
        family="budget-spent",
        severity="warning",
        team="bookstore",
        expr=f'slo:error_budget_remaining:ratio{{slo="{objective.slo}"}} <= 0',
        wait="15m",
        labels={"job": "bookstore-api", "slo": objective.slo},
        summary="The error budget of {{ $labels.slo }} is spent",
        description="{{ $value | humanizePercentage }} of the 30 days' error budget of {{ $labels.slo }} are left.",
        means=f"The objective was missed over the last 30 days: {objective.what}",
        look="when the budget went, on the SLO panels, and which alerts fired then",
        do="Put reliability before features until the budget is back; loosen the objective only if nobody minded.",
        dashboard="slo",
    )


def recordings():
    for objective in OBJECTIVES:
        yield f"slo-{objective.slo.replace('_', '-')}", [*recorded(objective), *budget(objective)]


def alerts():
    for objective in OBJECTIVES:
        yield from burning(objective)
    for objective in OBJECTIVES:
        yield spent(objective)
