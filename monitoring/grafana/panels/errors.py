"""What goes wrong, and who is at fault: caller, service, store, cache or provider."""

from .panel import Bad, Panel, Query
from .promql import API, ASKED, CALLERS_OWN, GOOD, JOB, PROMISING, MODEL, PROVIDER, SERVER, SIMULATOR, highest, share, total_rate, zero

COUNT = f"{SERVER}_count"
FAILED = 'http_response_status_code=~"5.."'
REFUSED = 'http_response_status_code=~"4.."'
# Of an attempt at a provider or a summary: what is no failure.
WELL = "ok|cancelled"
SUMMARIES = "bookstore_summaries_total"
COUNTED, MISSED = f'outcome!~"{CALLERS_OWN}"', f'outcome!~"{GOOD}|{CALLERS_OWN}"'
# Of a store operation: what the caller got wrong, which is no fault of the store.
CALLERS = "ok|isbn_taken|unknown_author|author_has_books|bad_cursor"
ERROR_TRACES = '{ resource.service.name = "${__field.labels.job}" && status = error }'

PANELS = (
    Panel(
        title="Server error ratio",
        shows="Share of requests that ended with 5xx, by service, probes and scrapes left out. Answers of a provider that failed (502, 503, 504) are among them.",
        bad="Above 0.1 %, which is what the objective of availability allows; above 1 % the budget of a month is gone in three days.",
        do="See beside which route and which type of error it is, then whether store, cache or a provider is down (Dependencies).",
        unit="percentunit", kind="stat", thresholds=Bad(0.001, 0.01), traces=ERROR_TRACES, width=6,
        queries=(Query(share(total_rate(COUNT, PROMISING, ASKED, FAILED, by="job"), total_rate(COUNT, PROMISING, ASKED, by="job")), "{{job}}"),),
    ),
    Panel(
        title="Server errors by route",
        shows="Requests a second that ended with 5xx, of the ten routes with most of them.",
        bad="Anything that stays above zero.",
        do="Click for the failed traces of the service; the access event of each holds the inner detail under its trace id.",
        unit="reqps", thresholds=Bad(0.01, 0.1), traces=ERROR_TRACES, width=9,
        queries=(Query(zero(highest(10, total_rate(COUNT, JOB, FAILED, by="job, http_route")), "http_route", JOB), "{{job}} {{http_route}}"),),
    ),
    Panel(
        title="Client errors by status",
        shows="Requests a second that were answered with 4xx, by service and status.",
        bad="401 and 403 that rise (a wrong or rotated token), 429 (a limit or a budget), 404 that rise (a client with old links).",
        do="Ask the access events of that status for the client; 429 says in its problem which limit it was.",
        unit="reqps", stacked=True, width=9,
        queries=(Query(zero(total_rate(COUNT, JOB, REFUSED, by="job, http_response_status_code"), "http_response_status_code", JOB),
                       "{{job}} {{http_response_status_code}}"),),
    ),
    Panel(
        title="Errors by type",
        shows="Requests a second with an error type, the ten most frequent: the status, or what broke the request off.",
        bad="A type that is no number: the answer could not be sent to its end.",
        do="A timeout here is the service's own deadline: see its dependencies. One that broke off is mostly a client that left.",
        unit="reqps", traces=ERROR_TRACES,
        queries=(Query(zero(highest(10, total_rate(COUNT, JOB, 'error_type!=""', by="job, error_type")), "error_type", JOB), "{{job}} {{error_type}}"),),
    ),
    Panel(
        title="Error ratio by route, worst first",
        shows="Share of 5xx of the ten worst routes, now.",
        bad="One route far above the others: the fault is in what only it uses.",
        do="generate-summary alone: a provider. All that read or write books: the store. All: the process itself.",
        unit="percentunit", kind="bars", thresholds=Bad(0.001, 0.01),
        queries=(Query(highest(10, share(total_rate(COUNT, JOB, FAILED, by="job, http_route"), total_rate(COUNT, JOB, by="job, http_route"))),
                       "{{job}} {{http_route}}", instant=True),),
    ),
    Panel(
        title="Failed LLM attempts by kind",
        shows="Attempts a second at providers that failed, by kind. not_admitted are those that an own limit kept back.",
        bad="unauthorized or bad_request (settings: they don't heal), timeout and overloaded (the provider).",
        do="unauthorized: renew the key. rate_limited: lower the rate, or raise the quota. timeout: see the call's duration, and set LLM_FALLBACK.",
        unit="cps", stacked=True, thresholds=Bad(0.05, 0.5),
        traces='{ span.gen_ai.operation.name != nil && status = error }',
        queries=(Query(zero(total_rate("bookstore_llm_attempts_total", PROVIDER, f'outcome!~"{WELL}"', by="provider, outcome"), "outcome"),
                       "{{provider}} {{outcome}}"),),
    ),
    Panel(
        title="LLM retries and fallbacks",
        shows="How often a second a provider was asked again, and another one in its place, by the reason.",
        bad="Retries that stay: each costs time and, with a provider that bills, money. Fallbacks: answers come from another model.",
        do="Look at the first provider's attempts. A fallback that lasts is a decision: change LLM_PROVIDER, or repair the first one.",
        unit="cps",
        queries=(
            Query(zero(total_rate("bookstore_llm_retries_total", PROVIDER, by="provider, reason"), "reason"), "again {{provider}}: {{reason}}"),
            Query(zero(total_rate("bookstore_llm_fallbacks_total", by="from, to, reason"), "reason"), "{{from}} to {{to}}: {{reason}}"),
        ),
    ),
    Panel(
        title="Failed outgoing HTTP requests",
        shows="Requests a second that the services sent and that failed or were answered with an error, by server and type.",
        bad="Connection errors to a server that should be there.",
        do="Check the address in the settings, then the server itself; DNS and TLS errors name themselves in the type.",
        unit="reqps",
        queries=(Query(zero(highest(10, total_rate("http_client_request_duration_seconds_count", JOB, 'error_type!=""', by="server_address, error_type")), "error_type", JOB),
                       "{{server_address}} {{error_type}}"),),
    ),
    Panel(
        title="Breakers of LLM providers",
        shows="Closed: calls pass. Open: the provider failed too often and is left alone. Half open: one call tries it.",
        bad="Open, or a change between open and half open over and over: the provider does not recover.",
        do="See its failed attempts by kind. While it is open, summaries need LLM_FALLBACK, the cache or the store.",
        unit="short", kind="states", states=((0, "closed", "green"), (1, "half open", "yellow"), (2, "open", "red")),
        queries=(Query(f'sum by (provider, model) (bookstore_llm_breaker_state{{{PROVIDER},{MODEL},state="half_open"}}) + '
                       f'2 * sum by (provider, model) (bookstore_llm_breaker_state{{{PROVIDER},{MODEL},state="open"}})', "{{provider}} {{model}}"),),
    ),
    Panel(
        title="Store errors by outcome",
        shows="Store operations a second that failed by the store's fault: timeout, unavailable, corrupt.",
        bad="Anything above zero. corrupt means a document that can't be read.",
        do="unavailable: is the database up, is its pool exhausted (Dependencies)? timeout: see its p95. corrupt: the log names the document. cancelled: callers left before it answered; many of them mean that it stalls.",
        unit="ops", thresholds=Bad(0.01, 0.1),
        queries=(Query(zero(total_rate("bookstore_store_operation_duration_seconds_count", API, f'outcome!~"{CALLERS}"', by="operation, outcome"), "outcome"),
                       "{{operation}} {{outcome}}"),),
    ),
    Panel(
        title="Cache errors and failed invalidations",
        shows="Look-ups a second that failed (each counts as a miss), and invalidations that failed while their write waited.",
        bad="Any that stay: the store carries all reads, and readers may see an old book until the entry's time is over.",
        do="Check Redis. Invalidations are repeated by themselves; those pending stand under Dependencies.",
        unit="cps", thresholds=Bad(0.01, 0.1),
        queries=(
            Query(zero(total_rate("bookstore_cache_requests_total", API, 'outcome="error"', by="cache"), "cache"), "look-ups {{cache}}"),
            Query(zero(total_rate("bookstore_cache_invalidation_failures_total", API, by="cache"), "cache"), "invalidations {{cache}}"),
        ),
    ),
    Panel(
        title="Answers and calls refused",
        shows="Answers of LLMs a second that were not safe to serve, by reason, and calls that a budget or a limit kept back.",
        bad="Unsafe answers that rise (a book's text that gives instructions, or a model that changed); budgets that refuse.",
        do="Look at the traces of the summaries refused. A global budget that refuses stops all: raise it, or wait for tomorrow (UTC).",
        unit="cps",
        queries=(
            Query(zero(total_rate("bookstore_answers_refused_total", API, by="reason"), "reason"), "answer: {{reason}}"),
            Query(zero(total_rate("bookstore_llm_limit_refusals_total", API, by="limit"), "limit"), "limit: {{limit}}"),
        ),
    ),
    Panel(
        title="Summaries not delivered",
        shows="Share of the summaries that could be asked for and were not given, by provider and the kind of error. What callers asked wrongly, may not spend or did not wait for is left out, as in the objective.",
        bad="More than 1 % in all: the objective of summaries is then not met.",
        do="The kind says who is to act: unauthorized the operator, unsafe_answer whoever chose prompt and model, all else the provider.",
        unit="percentunit", thresholds=Bad(0.005, 0.01), highest=1,
        traces='{ resource.service.name = "bookstore-api" && name =~ ".*generate-summary" && status = error }',
        queries=(Query(f"{total_rate(SUMMARIES, PROVIDER, MISSED, by='provider, outcome')} / on (provider) group_left() "
                       f"({total_rate(SUMMARIES, PROVIDER, COUNTED, by='provider')} > 0)", "{{provider}} {{outcome}}"),),
    ),
    Panel(
        title="Faults that the simulator injects",
        shows="Faults a second that llm-simulator makes because it was told to, by kind and protocol.",
        bad="Any that you did not ask for: then the errors of the other panels are made on purpose.",
        do="Ask llm-simulator's /admin/faults which are switched on, and switch them off.",
        unit="cps",
        queries=(Query(zero(total_rate("simulator_faults_total", by="protocol, kind"), "kind", SIMULATOR), "{{protocol}} {{kind}}"),),
    ),
)
