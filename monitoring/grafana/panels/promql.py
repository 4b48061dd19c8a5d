"""Pieces of PromQL that the panels are written in.

Rates are taken over `$__rate_interval`, which Grafana makes wide enough for the scrape interval. A zero
stands only where nothing counted means zero: `zero` draws it while the service answers its scrapes, so that
one that is down shows a gap and not a healthy line.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "prometheus"))

# What the objectives and alerts count, so that a panel that cites one shows what it counts.
from alerts import NOT_THE_PROVIDERS  # noqa: E402, F401
from objectives import CALLERS_OWN, GOOD, LLM_ROUTES, OPEN_ENDED, PROBES  # noqa: E402, F401

JOB = 'job=~"$job"'
# Of them those that promise something: the simulator is slow and fails because it is told to.
PROMISING = 'job=~"$job",job!="llm-simulator"'
API = 'job="bookstore-api"'
PERF = 'job="perf-service"'
SIMULATOR = 'job="llm-simulator"'
# A provider's own name and that of the GenAI conventions differ; the variable holds both as `a|b`.
PROVIDER = 'provider=~"${provider:pipe}"'
MODEL = 'model=~"$model"'
GEN_AI = 'gen_ai_provider_name=~"${provider:pipe}",gen_ai_request_model=~"$model"'
SCENARIO = 'scenario=~"$scenario"'
RUN = 'scenario=~"$scenario",run=~"$run"'
WITH_LLM = f'http_route=~"{LLM_ROUTES}"'
WITHOUT_LLM = f'http_route!~"{PROBES}|{LLM_ROUTES}|{OPEN_ENDED}"'
ASKED = f'http_route!~"{PROBES}"'
SERVER = "http_server_request_duration_seconds"
WINDOW = "$__rate_interval"


def select(metric, *matchers):
    return f"{metric}{{{','.join(matchers)}}}" if matchers else metric


def rate(metric, *matchers, window=WINDOW):
    return f"rate({select(metric, *matchers)}[{window}])"


def increase(metric, *matchers):
    """Over the whole time shown."""
    return f"increase({select(metric, *matchers)}[$__range])"


def total(inner, by=""):
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def total_rate(metric, *matchers, by=""):
    return total(rate(metric, *matchers), by)


def quantile(share, histogram, *matchers, by="", window=WINDOW):
    groups = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({groups}) ({rate(f'{histogram}_bucket', *matchers, window=window)}))"


def mean(histogram, *matchers, by=""):
    return f"{total_rate(f'{histogram}_sum', *matchers, by=by)} / {total_rate(f'{histogram}_count', *matchers, by=by)}"


def zero(expr, label="", presence=API, value="none"):
    """`expr`, and where it has no series at all a zero while the services of `presence` answer; its `label` says `value`."""
    nothing = f"0 * max({select('up', presence)} == 1)"
    if label:
        nothing = f'label_replace({nothing}, "{label}", "{value}", "", "")'
    return f"({expr}) or on() {nothing}"


def share(part, whole):
    """`part` of `whole`, zero where there is a whole and no part. Both are grouped alike."""
    return f"(({part}) or 0 * ({whole})) / ({whole})"


def highest(count, expr):
    return f"topk({count}, {expr})"
