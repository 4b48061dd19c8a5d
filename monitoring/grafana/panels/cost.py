"""Dollars, budgets and experiments of LLM calls."""

from .panel import Bad, Panel, Query
from .promql import API, MODEL, PROVIDER, increase, quantile, rate, total, total_rate, zero

COST = "bookstore_llm_cost_usd_total"
BUDGET = "bookstore_llm_budget_usd"
SPENT = "bookstore_llm_budget_spent_usd"
ARM = "experiment, arm"
REQUESTS = "bookstore_experiment_requests_total"
GENERATED, WELL, LIST = 'outcome="generated"', 'outcome="ok"', 'kind="list"'

PANELS = (
    Panel(
        title="Budget spent today",
        shows="Share of the day's global budget (UTC) that is spent or reserved by calls under way. Empty where no budget is set.",
        bad="Above 80 % before the evening; at 100 % every call that costs is refused with 429.",
        do="See who spends: dollars an hour by provider and model. Raise the budget, choose a cheaper model, or wait until midnight UTC.",
        unit="percentunit", kind="gauge", highest=1, thresholds=Bad(0.8, 1),
        queries=(Query(f'max({SPENT}{{scope="global"}}) / max({BUDGET}{{scope="global"}})', "spent"),),
    ),
    Panel(
        title="Pace of spending",
        shows="Dollars an hour billed and by list price, beside the pace at which the budget would last just the day.",
        bad="Billed above the budget's pace for hours: the budget ends before the day does.",
        do="Compare with the summaries generated; a load run against a provider that bills has its own limit (--max-cost-usd).",
        unit="currencyUSD", decimals=4,
        queries=(
            Query(f"3600 * {total(rate(COST, PROVIDER, MODEL), 'kind')}", "{{kind}}"),
            Query(f'max({BUDGET}{{scope="global"}}) / 24', "budget's pace"),
        ),
    ),
    Panel(
        title="Dollars per summary generated",
        shows="Dollars of the time shown divided by the summaries that a provider was asked for: billed and by list price.",
        bad="A rise with the same model: longer prompts or answers, or attempts that failed and were paid for.",
        do="See tokens per LLM call and the retries. An experiment shows whether a cheaper arm is as good.",
        unit="currencyUSD", decimals=6, kind="bars",
        queries=(Query(f"{total(increase(COST, PROVIDER), 'provider, kind')} / on (provider) group_left() "
                       f"({total(increase('bookstore_summaries_total', PROVIDER, GENERATED), 'provider')} > 0)",
                       "{{provider}} {{kind}}", instant=True),),
    ),
    Panel(
        title="Calls without a known price",
        shows="LLM calls of the time shown for which no dollars were counted, since their price is not known.",
        bad="Anything above zero: the dollars of all other panels are then too low, and so is what the budget counts.",
        do="Add the model's price with its source and date to the prices; what is unknown is never taken for zero.",
        unit="short", kind="bars", decimals=0, thresholds=Bad(1, 10),
        queries=(Query(zero(total(increase("bookstore_llm_cost_unknown_total", PROVIDER), "provider, kind"), "kind"), "{{provider}} {{kind}}", instant=True),),
    ),
    Panel(
        title="Requests of experiments",
        shows="Requests a second of each arm, by outcome. Empty where no experiment is set up.",
        bad="An arm without requests, or shares that differ from the weights set: the split is not what you think.",
        do="Compare with the weights in the experiments' file; arms stick to book or tenant, so that few books split unevenly.",
        unit="reqps", stacked=True,
        queries=(Query(total_rate(REQUESTS, API, by=f"{ARM}, outcome"), "{{experiment}} {{arm}} {{outcome}}"),),
    ),
    Panel(
        title="Arms of experiments compared",
        shows="Each arm over the time shown: requests, failures, p95 of its duration and list dollars a request. Empty where no experiment is set up.",
        bad="An arm with more failures or a longer p95 than the other at the same or a higher price.",
        do="Wait for some hundred requests an arm before you decide; then change the weights, or end the experiment.",
        unit="short", kind="table", width=24,
        queries=(
            Query(total(increase(REQUESTS, API), ARM), instant=True, column="requests", unit="short"),
            Query(f"1 - {total(increase(REQUESTS, API, WELL), ARM)} / ({total(increase(REQUESTS, API), ARM)} > 0)",
                  instant=True, column="failed", unit="percentunit"),
            Query(quantile(0.95, "bookstore_experiment_duration_seconds", API, by=ARM, window="$__range"), instant=True, column="p95", unit="s"),
            Query(f"{total(increase('bookstore_experiment_cost_usd_total', API, LIST), ARM)} / ({total(increase(REQUESTS, API), ARM)} > 0)",
                  instant=True, column="list $ a request", unit="currencyUSD"),
        ),
    ),
)
