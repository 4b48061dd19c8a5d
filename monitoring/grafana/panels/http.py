"""HTTP as the services serve it, and as they ask others by it."""

from .panel import Bad, Panel, Query
from .promql import JOB, PROMISING, SERVER, WITH_LLM, WITHOUT_LLM, highest, quantile, total_rate

CLIENT = "http_client_request_duration_seconds"
SPANS = "traces_span_metrics_duration_seconds"
COUNT = f"{SERVER}_count"
OF_ROUTE = '{ resource.service.name = "${__field.labels.job}" && span.http.route = "${__field.labels.http_route}" }'
OF_JOB = '{ resource.service.name = "${__field.labels.job}" && kind = server }'
SLOW_OF_JOB = '{ resource.service.name = "${__field.labels.job}" && kind = server && duration > 1s }'


def slower(seconds, route):
    """Share of requests above a bucket's bound, which text writes as `1` or `1.0`."""
    under = total_rate(f"{SERVER}_bucket", PROMISING, route, f'le=~"{seconds}|{seconds}.0"', by="job")
    return f"1 - {under} / {total_rate(COUNT, PROMISING, route, by='job')}"


PANELS = (
    Panel(
        title="Requests a second by route",
        shows="What the services serve, the twelve busiest routes. A path that no route matches has one line for all.",
        bad="No line at all: no traffic arrives, or the service does not run. A sudden multiple: a client in a loop, or a load run.",
        do="The annotations show load runs. Else ask the access events for the client; limits answer with 429.",
        unit="reqps", traces=OF_ROUTE, width=12,
        queries=(Query(highest(12, total_rate(COUNT, JOB, by="job, http_route")), "{{job}} {{http_route}}"),),
    ),
    Panel(
        title="Requests a second by status",
        shows="Answers by service and status, one on the other.",
        bad="5xx that stay, or 4xx that become a large part.",
        do="Errors & Diagnostics says which route and type; a click asks for traces of the service.",
        unit="reqps", stacked=True, traces=OF_JOB, width=12,
        queries=(Query(total_rate(COUNT, JOB, by="job, http_response_status_code"), "{{job}} {{http_response_status_code}}"),),
    ),
    Panel(
        title="Request duration by service",
        shows="p50, p95 and p99 of requests without LLM, probes and streams of events, to the end of the answer's body.",
        bad="p95 above 1 s breaks the objective of latency. A p99 far above p95: a few requests wait for something, mostly a lock or a pool.",
        do="See which route it is, then the store's and the cache's p95 (Dependencies), then the workers (Threading).",
        unit="s", thresholds=Bad(0.5, 1), traces=SLOW_OF_JOB,
        queries=tuple(Query(quantile(share, SERVER, PROMISING, WITHOUT_LLM, by="job"), f"p{share * 100:.0f} {{{{job}}}}") for share in (0.5, 0.95, 0.99)),
    ),
    Panel(
        title="Slowest routes",
        shows="p95 of the ten slowest routes. generate-summary waits for a provider where nothing is cached or stored.",
        bad="A route without LLM above 1 s; generate-summary above 10 s.",
        do="A click asks for the traces of that route: the longest span took the time.",
        unit="s", thresholds=Bad(1, 10), traces=OF_ROUTE,
        queries=(Query(highest(10, quantile(0.95, SERVER, JOB, by="job, http_route")), "{{job}} {{http_route}}"),),
    ),
    Panel(
        title="Requests in flight",
        shows="Requests being served at this moment, by service.",
        bad="A line that rises while the rate stays: requests pile up behind something slow.",
        do="See the dependencies' p95 and the pool of connections. The service refuses with 503 where its own limit is reached.",
        unit="short",
        queries=(Query(f"sum by (job) (http_server_active_requests{{{JOB}}})", "{{job}}"),),
    ),
    Panel(
        title="Spread of request durations",
        shows="How many requests a second fell into which duration, without LLM. The brighter, the more.",
        bad="A second band above the first: part of the requests takes another way, such as a cache miss or a lock.",
        do="Compare the band's beginning with the annotations; the hit ratio of the caches tells a miss from a slow store.",
        unit="s", kind="heatmap",
        queries=(Query(total_rate(f"{SERVER}_bucket", PROMISING, WITHOUT_LLM, by="le"), "{{le}}"),),
    ),
    Panel(
        title="Requests slower than their objective",
        shows="Share of requests above 1 s without an LLM, and above 10 s on routes where one takes part.",
        bad="Above 5 %: the objective is broken at this pace, and the budget of errors is being spent.",
        do="SLO & error budget (MEGA) says how much is left; slowest routes and their traces say why.",
        unit="percentunit", thresholds=Bad(0.02, 0.05), highest=1, traces=SLOW_OF_JOB,
        queries=(
            Query(slower(1, WITHOUT_LLM), "{{job}} over 1 s without LLM"),
            Query(slower(10, WITH_LLM), "{{job}} over 10 s with LLM"),
        ),
    ),
    Panel(
        title="Duration with example traces",
        shows="p95 of requests without LLM as the collector counts their spans, all of them; each dot is a request, and a click opens its trace where tail sampling kept it: always if it was slow or failed.",
        bad="Dots far above the line: single requests that were very slow. Open them.",
        do="The waterfall shows where the time went. Without the collector this panel is empty.",
        unit="s", thresholds=Bad(0.5, 1),
        queries=(Query(quantile(0.95, SPANS, 'service_name=~"$job",service_name!="llm-simulator"', 'span_kind="SPAN_KIND_SERVER"', WITHOUT_LLM, by="service_name"), "{{service_name}}", exemplars=True),),
    ),
    Panel(
        title="Outgoing requests a second",
        shows="Requests that the services send, by server and status. A request that got no answer has no status.",
        bad="Lines without a status: the server was not reached. 429 and 5xx: it refuses or fails.",
        do="Failed outgoing HTTP requests (Errors & Diagnostics) names the type; the server's own dashboard or status page comes next.",
        unit="reqps", stacked=True,
        queries=(Query(highest(12, total_rate(f"{CLIENT}_count", JOB, by="server_address, http_response_status_code")), "{{server_address}} {{http_response_status_code}}"),),
    ),
    Panel(
        title="Duration of outgoing requests",
        shows="p50 and p95 of what the services ask of others by HTTP, to the head of the answer, by server.",
        bad="p95 that rises for one server only: it is slow, or the way to it is.",
        do="For a provider compare with the time to the first chunk; for all servers at once look at DNS and at the service's own workers.",
        unit="s", thresholds=Bad(5, 30),
        queries=(
            Query(quantile(0.5, CLIENT, JOB, by="server_address"), "p50 {{server_address}}"),
            Query(quantile(0.95, CLIENT, JOB, by="server_address"), "p95 {{server_address}}"),
        ),
    ),
)
