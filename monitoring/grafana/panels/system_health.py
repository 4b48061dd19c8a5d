"""The whole at a glance: is it up, does anything fire, and the four golden signals of each service."""

from .panel import Bad, Panel, Query
from .promql import ASKED, JOB, PROMISING, SERVER, WITHOUT_LLM, quantile, share, total_rate

COUNT = f"{SERVER}_count"

PANELS = (
    Panel(
        title="Services up",
        shows="Whether each service answers Prometheus' scrapes.",
        bad="Down: it does not run, or Prometheus does not reach it.",
        do="make status, then its log. Where it runs, compare address and port with Prometheus' list of targets.",
        unit="short", kind="states", states=((0, "down", "red"), (1, "up", "green")),
        queries=(Query(f"min by (job) (up{{{JOB}}})", "{{job}}"),),
    ),
    Panel(
        title="Alerts that fire",
        shows="Alerts that fire now, by severity and name. Zero where none does.",
        bad="Any that is critical. Each has a runbook in its text.",
        do="Open it in Alertmanager (port 9093) and follow its runbook; what it inhibits is silent meanwhile.",
        unit="short", kind="bars", decimals=0, thresholds=Bad(1, 1),
        queries=(Query('sum by (severity, alertname) (ALERTS{alertstate="firing"}) or on() label_replace(vector(0), "alertname", "none", "", "")',
                       "{{severity}} {{alertname}}", instant=True),),
    ),
    Panel(
        title="Traffic by service",
        shows="Requests a second, by service.",
        bad="None where there should be some: clients or the network, not the service, if it is up.",
        do="Requests a second by route (HTTP & Server) says what is missing; the annotations show load runs.",
        unit="reqps",
        traces='{ resource.service.name = "${__field.labels.job}" && kind = server }',
        queries=(Query(total_rate(COUNT, JOB, by="job"), "{{job}}"),),
    ),
    Panel(
        title="Errors by service",
        shows="Share of requests that ended with 5xx, by service, over time.",
        bad="Above 0.1 % for long, above 1 % at once.",
        do="Errors & Diagnostics, first its routes, then its types; a click asks for failed traces.",
        unit="percentunit", thresholds=Bad(0.001, 0.01),
        traces='{ resource.service.name = "${__field.labels.job}" && status = error }',
        queries=(Query(share(total_rate(COUNT, PROMISING, ASKED, 'http_response_status_code=~"5.."', by="job"), total_rate(COUNT, PROMISING, ASKED, by="job")), "{{job}}"),),
    ),
    Panel(
        title="Latency by service",
        shows="p95 and p99 of requests without LLM, by service.",
        bad="p95 above 1 s.",
        do="HTTP & Server for the route, Dependencies for what it waits on; a click asks for slow traces.",
        unit="s", thresholds=Bad(0.5, 1),
        traces='{ resource.service.name = "${__field.labels.job}" && kind = server && duration > 1s }',
        queries=(
            Query(quantile(0.95, SERVER, PROMISING, WITHOUT_LLM, by="job"), "p95 {{job}}"),
            Query(quantile(0.99, SERVER, PROMISING, WITHOUT_LLM, by="job"), "p99 {{job}}"),
        ),
    ),
    Panel(
        title="Saturation by service",
        shows="How full each service is: its workers' busy share and its open files.",
        bad="Above 80 %: it will soon refuse or delay work.",
        do="Rust Runtime says which of both it is. Workers: CPU. Files: connections.",
        unit="percentunit", thresholds=Bad(0.6, 0.8), highest=1,
        queries=(
            Query(f"{total_rate('tokio_worker_busy_seconds_total', JOB, by='job')} / sum by (job) (tokio_workers{{{JOB}}})", "{{job}} workers"),
            Query(f"max by (job) (process_open_fds{{{JOB}}} / process_max_fds{{{JOB}}})", "{{job}} files"),
        ),
    ),
    Panel(
        title="Catalogue",
        shows="Books, books that have a summary, and authors in the store.",
        bad="A fall that nobody asked for, or zero after a start: it is another store than you think.",
        do="Check MONGODB_URI or DATA_DIR of the service that counts; bookstore-api import fills an empty one.",
        unit="short", kind="stat", decimals=0,
        queries=(
            Query("max(bookstore_books)", "books"),
            Query("max(bookstore_books_summarised)", "with summary"),
            Query("max(bookstore_authors)", "authors"),
        ),
    ),
)
