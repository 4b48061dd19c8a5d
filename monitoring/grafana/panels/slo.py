"""Objectives and their error budgets, from the recording rules in monitoring/prometheus/.

`slo:*:…_ratio_rate<window>` are shares of bad events over a window, `slo:objective` what is promised, and
`slo:error_budget_remaining:ratio` what is left of 30 days. A burn rate of 1 spends the budget in just 30 days.
The promises are those of bookstore-api; the series of perf-service are not shown.
"""

from .panel import Bad, Panel, Query
from .promql import API

# Objective, its series, what it promises.
OBJECTIVES = (
    ("availability", "slo:availability:error_ratio", "99.9 % of requests end without 5xx"),
    ("latency", "slo:latency:slow_ratio", "95 % of requests that no LLM takes part in end within 1 s"),
    ("llm_latency", "slo:llm_latency:slow_ratio", "95 % of requests on LLM routes end within 10 s"),
    ("summaries", "slo:summaries:failure_ratio", "99 % of summaries asked for are given"),
)
# Windows of the alerts: long and short of the two quick pairs.
WINDOWS = ("5m", "1h", "6h")
NEXT = {
    "availability": "Errors by route and type (Errors & Diagnostics) say what fails; then see which dependency is down.",
    "latency": "Slowest routes (HTTP & Server) and the p95 of store and cache (Dependencies) say what is slow.",
    "llm_latency": "Duration of LLM calls and the time to the first chunk (LLM Metrics) say which provider is slow; a fallback helps at once.",
    "summaries": "Summaries not delivered (Errors & Diagnostics) says the kind of failure and whose it is.",
}
WORST_BURN = " or ".join(
    f'label_replace({series}_rate6h{{{API}}} / on() group_left() (1 - slo:objective{{slo="{name}"}}), "slo", "{name}", "", "")'
    for name, series, _ in OBJECTIVES
)


def burn(series, name, window):
    return f'{series}_rate{window}{{{API}}} / on() group_left() (1 - slo:objective{{slo="{name}"}})'


def burn_panel(name, series, promise):
    return Panel(
        title=f"Burn rate: {name.replace('_', ' ')}",
        shows=f"How quickly the error budget is spent, over 5 minutes, 1 hour and 6 hours. Promised: {promise}.",
        bad="14.4 over an hour (2 % of the month's budget) or 6 over six hours (5 %): an alert pages. Above 1 for days: the promise is broken.",
        do=NEXT[name],
        unit="short", thresholds=Bad(1, 6), width=6,
        queries=tuple(Query(burn(series, name, window), f"over {window}") for window in WINDOWS),
    )


PANELS = (
    Panel(
        title="Error budget left",
        shows="What is left of each objective's budget of 30 days: 100 % is untouched, below 0 % the promise is broken.",
        bad="Below 25 %: what is left is for faults, not for risky releases. Below zero: the promise of this month is broken.",
        do="Hold back what changes the service until it recovers; the burn rates say whether it is still being spent.",
        unit="percentunit", kind="gauge", lowest=0, highest=1, thresholds=Bad(0.5, 0.25, below=True), width=12,
        queries=(Query("min by (slo) (slo:error_budget_remaining:ratio)", "{{slo}}"),),
    ),
    Panel(
        title="Error budget over time",
        shows="The same over the time shown. It recovers as bad hours become older than 30 days.",
        bad="A cliff: an outage. A steady slope: something small that never stops.",
        do="A cliff has an annotation or an alert beside it. For a slope look at the burn rate over 6 hours and mend what is most frequent.",
        unit="percentunit", lowest=None, highest=1, thresholds=Bad(0.5, 0.25, below=True), width=12,
        queries=(Query("min by (slo) (slo:error_budget_remaining:ratio)", "{{slo}}"),),
    ),
    *(burn_panel(*objective) for objective in OBJECTIVES),
    Panel(
        title="Objectives and what is kept of them",
        shows="Each objective, what is promised, the share of good events over 30 days, and the budget left.",
        bad="Good events below what is promised.",
        do="Start with the objective that has least left; its burn rate says whether the fault still goes on.",
        unit="percentunit", kind="table", decimals=3, thresholds=Bad(0.5, 0.25, below=True), width=12,
        queries=(
            Query("max by (slo) (slo:objective)", instant=True, column="promised", unit="percentunit"),
            Query(" or ".join(f'label_replace(1 - max({series}_rate30d{{{API}}}), "slo", "{name}", "", "")' for name, series, _ in OBJECTIVES),
                  instant=True, column="kept over 30 days", unit="percentunit"),
            Query("min by (slo) (slo:error_budget_remaining:ratio)", instant=True, column="budget left", unit="percentunit"),
        ),
    ),
    Panel(
        title="Time until the budget is spent",
        shows="How long the budget that is left lasts at the pace of the last 6 hours. Shown up to 90 days: at a pace of nothing it lasts for ever.",
        bad="Less than three days: act today. Zero: it is spent.",
        do="Take the objective with the shortest time and follow its burn rate.",
        unit="s", kind="bars", thresholds=Bad(7 * 86400, 3 * 86400, below=True), width=12, highest=90 * 86400,
        queries=(Query(f"clamp(30 * 86400 * min by (slo) (slo:error_budget_remaining:ratio) / on(slo) ({WORST_BURN}), 0, 90 * 86400)", "{{slo}}", instant=True),),
    ),
)
