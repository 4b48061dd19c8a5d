"""Load runs as k6 sees them: what it sends, what it gets back, and whether it kept up itself.

k6's series come by remote write while a run goes on. Its quantiles are those of a series since the run
began and can't be added up: of several the highest is shown. The `_count` of its durations is a thousandth
of the count (k6 turns it from milliseconds into seconds with the rest), so means divide by the requests.
"""

from .panel import Bad, Panel, Query
from .promql import PERF, RUN, SCENARIO, SERVER, WITHOUT_LLM, API, highest, increase, quantile, select, share, total, total_rate

REQUESTS = "k6_http_reqs_total"
PHASES = ("blocked", "connecting", "tls_handshaking", "sending", "waiting", "receiving")


def while_running(expr):
    """Zero while a k6 is at work: it writes no series of what never happened."""
    return f"({expr}) or 0 * sum(k6_vus{{{RUN}}})"


def phase(name):
    return f"{total_rate(f'k6_http_req_{name}_sum', RUN)} / {total_rate(REQUESTS, RUN)}"


PANELS = (
    Panel(
        title="Load runs and starts of k6",
        shows="Runs that ended in the time shown, by outcome, and how often k6 was started, by engine.",
        bad="Runs that are broken or inconclusive, or starts that failed: those measured nothing. A failed run measured well, and a threshold was broken.",
        do="Open the run's report and log in perf-service; a start that failed says in its log whether Docker, the image or the binary is missing.",
        unit="short", decimals=0, kind="bars",
        queries=(
            Query(total(increase("perf_runs_total", SCENARIO), "outcome"), "runs {{outcome}}", instant=True),
            Query(total(increase("perf_k6_starts_total"), "engine, outcome"), "k6 by {{engine}} {{outcome}}", instant=True),
        ),
    ),
    Panel(
        title="Load runs under way",
        shows="Runs that wait, start, run or stop.",
        bad="Queued runs that stay while nothing runs, or a run that stays in stopping for more than a minute.",
        do="List the runs at perf-service: one on the same target holds the queue. Cancel it, or raise the limit per target.",
        unit="short", decimals=0, stacked=True,
        queries=(Query("sum by (state) (perf_runs_under_way)", "{{state}}"),),
    ),
    Panel(
        title="Virtual users",
        shows="Users that k6 has at work, and the most it may use.",
        bad="Users at their most under a constant arrival rate: k6 has nobody left to send the next visit.",
        do="See whether iterations are dropped. If so, the service is slower than the rate needs, or the scenario's limit of users is too low.",
        unit="short", decimals=0,
        queries=(
            Query(f"sum by (scenario) (k6_vus{{{RUN}}})", "{{scenario}}"),
            Query(f"sum by (scenario) (k6_vus_max{{{RUN}}})", "{{scenario}} at most"),
        ),
    ),
    Panel(
        title="Requests a second of load runs",
        shows="What k6 sends, by scenario.",
        bad="A rate that falls while the users stay: answers have become slower.",
        do="Compare with the durations beside; then with the service's own p95, which leaves k6 and the network out.",
        unit="reqps",
        queries=(Query(total_rate(REQUESTS, RUN, by="scenario"), "{{scenario}}"),),
    ),
    Panel(
        title="Failed requests of load runs",
        shows="Share of k6's requests whose status was not the one expected. Mistakes that a scenario makes on purpose are expected.",
        bad="Above 1 %, where the thresholds of the scenarios break.",
        do="Look at the errors by route of the same minutes; a click on a point asks for failed traces.",
        unit="percentunit", thresholds=Bad(0.005, 0.01),
        traces='{ resource.service.name = "bookstore-api" && status = error }',
        queries=(Query(share(total_rate(REQUESTS, RUN, 'expected_response="false"', by="scenario"),
                             total_rate(REQUESTS, RUN, by="scenario")), "{{scenario}}"),),
    ),
    Panel(
        title="Request duration: k6 beside the server",
        shows="Mean and highest p95 by k6, apart for requests on which an LLM takes part (llm=true); the service's own p95 without LLM.",
        bad="p95 above 1 s without an LLM. k6 far above the server: time is lost before the service, in the network, the accept queue or k6's own machine.",
        do="Open the slowest routes beside. Where only k6 is slow, look at its lag, its dropped iterations and the CPU of its machine.",
        unit="s", thresholds=Bad(0.5, 1), width=12,
        queries=(
            Query(f"{total_rate('k6_http_req_duration_sum', RUN, by='llm')} / {total_rate(REQUESTS, RUN, by='llm')}", "k6 mean, llm={{llm}}"),
            Query(f"max by (llm) (k6_http_req_duration_p95{{{RUN}}})", "k6 p95, llm={{llm}}"),
            Query(quantile(0.95, SERVER, API, WITHOUT_LLM), "server p95 without LLM"),
        ),
    ),
    Panel(
        title="Slowest routes of load runs",
        shows="p95 since the run began of the ten slowest routes, as k6 measures it.",
        bad="A route without LLM above 1 s, or one that stands out from the others.",
        do="Click for its slow traces: the longest span says whether store, cache or provider took the time.",
        unit="s", thresholds=Bad(0.5, 1), width=12,
        traces='{ resource.service.name = "bookstore-api" && duration > 1s }',
        queries=(Query(highest(10, f'max by (name) (k6_http_req_duration_p95{{{RUN},llm="false"}})'), "{{name}}"),),
    ),
    Panel(
        title="Where a request's time goes",
        shows="Mean time of k6's requests by phase, one on the other. Waiting is the service; all else is the way there.",
        bad="Blocked or connecting above a few milliseconds: connections are not reused, or run out.",
        do="Check keep-alive and the number of open files of the service and of k6's machine.",
        unit="s", stacked=True,
        queries=tuple(Query(phase(name), name.replace("_", " ")) for name in PHASES),
    ),
    Panel(
        title="Checks of load runs, worst first",
        shows="Share of passes of the ten checks that fail most, since the run began.",
        bad="Below 99 %: answers come, and are wrong.",
        do="The check's name says what was wrong with an answer; the run's report lists examples with trace ids.",
        unit="percentunit", highest=1, thresholds=Bad(0.999, 0.99, below=True),
        queries=(Query(f"bottomk(10, min by (check) (k6_checks_rate{{{RUN}}}))", "{{check}}"),),
    ),
    Panel(
        title="Visits that k6 dropped or left unfinished",
        shows="Iterations a second that k6 could not start in time, and visits that were cut off at a phase's end.",
        bad="Anything dropped above zero: k6 then under-reports latency, and the run becomes inconclusive.",
        do="Lower the rate, or give k6's machine more CPU; no figure of such a run is to be compared.",
        unit="cps", thresholds=Bad(0.001, 0.1),
        queries=(
            Query(while_running(total_rate("k6_dropped_iterations_total", RUN)), "dropped"),
            Query(while_running(total_rate("k6_visits_unfinished_total", RUN)), "unfinished"),
        ),
    ),
    Panel(
        title="Tokens a second of load runs",
        shows="Input and output tokens of summaries as the answers told them to k6. What came from the cache or the store is zero.",
        bad="More than the scenario should spend: then its summaries miss the cache or are asked for again.",
        do="Compare with where summaries come from (LLM Metrics). A run against a provider that bills ends by itself at --max-cost-usd.",
        unit="cps",
        queries=(
            Query(while_running(total_rate("k6_llm_input_tokens_total", RUN)), "input"),
            Query(while_running(total_rate("k6_llm_output_tokens_total", RUN)), "output"),
        ),
    ),
    Panel(
        title="Duration of load runs",
        shows="Mean time from start to end of the runs since perf-service was started, by scenario.",
        bad="A run much longer than its scenario is told: k6 hung at its end, or the engine was slow to start it.",
        do="Read the run's log in perf-service from its start on; with Docker see whether an image was pulled.",
        unit="s", kind="bars",
        # Of so few events the first would be missed: a series begins with it.
        queries=(Query(f"{total(select('perf_run_duration_seconds_sum', PERF, SCENARIO), 'scenario')} / "
                       f"{total(select('perf_run_duration_seconds_count', PERF, SCENARIO), 'scenario')}",
                       "{{scenario}}", instant=True),),
    ),
)
