#!/usr/bin/env python3
"""Generates BookStore's ten Grafana dashboards with Grafana's foundation SDK (Python 3.11 or later).

    generate_dashboards.py [FOLDER]      writes FOLDER/*.json, default monitoring/grafana/dashboards

`make dashboards` fetches the SDK and runs this; `make dashboards-check` compares with what is committed.
The same input gives the same bytes: uids are fixed, panels are numbered in their order, nothing is dated.
Panels stand in panels/, a module for each subject; here they are put together.
"""

import dataclasses
import json
import pathlib
import re
import sys

from grafana_foundation_sdk.builders import dashboard as builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from panels import (cost, dependencies, drawing, errors, http, llm, performance, promql, runtime, slo, system_health,
                    threading)
from panels.panel import Section

TAG = "bookstore"
FOLDER = pathlib.Path(__file__).resolve().parent / "dashboards"

EIGHT = (
    Section("Performance Testing", performance.PANELS, "bookstore-performance"),
    Section("Errors & Diagnostics", errors.PANELS, "bookstore-errors"),
    Section("LLM Metrics", llm.PANELS, "bookstore-llm"),
    Section("Rust Runtime", runtime.PANELS, "bookstore-runtime"),
    Section("HTTP & Server", http.PANELS, "bookstore-http"),
    Section("Threading", threading.PANELS, "bookstore-threading"),
    Section("Dependencies", dependencies.PANELS, "bookstore-dependencies"),
    Section("System Health", system_health.PANELS, "bookstore-system-health"),
)
SLO = Section("SLO & error budget", slo.PANELS)
COST = Section("Cost, budgets & experiments", cost.PANELS)

# The demo in the order of telling it; each panel by its title.
DEMO = (
    ("Is it well?", (
        "Services up", "Alerts that fire", "Catalogue", "Traffic by service", "Errors by service",
        "Latency by service", "Saturation by service", "Error budget left",
        "Burn rate: availability")),
    ("A load run", (
        "Load runs and starts of k6", "Load runs under way", "Virtual users", "Requests a second of load runs",
        "Failed requests of load runs", "Visits that k6 dropped or left unfinished",
        "Request duration: k6 beside the server", "Slowest routes of load runs", "Checks of load runs, worst first",
        "Where a request's time goes")),
    ("What the LLMs do", (
        "LLM calls a second", "Duration of LLM calls", "Time to the first chunk", "Tokens a second",
        "Failure ratio of LLM providers", "Where summaries come from", "Breakers of LLM providers",
        "Attempts at LLM providers")),
    ("What it costs", (
        "Dollars an hour", "Budget spent today", "Dollars per summary generated", "Tokens per LLM call",
        "Arms of experiments compared")),
    ("How it serves", (
        "Requests a second by route", "Requests a second by status", "Request duration by service", "Slowest routes",
        "Spread of request durations", "Duration with example traces")),
    ("What goes wrong", (
        "Server error ratio", "Server errors by route", "Client errors by status", "Failed LLM attempts by kind",
        "LLM retries and fallbacks", "Faults that the simulator injects", "Summaries not delivered")),
    ("What it stands on", (
        "Store and cache reachable", "Duration of store operations", "Hit ratio of the caches",
        "Duration of cache operations")),
    ("Inside the process", (
        "CPU cores used", "Memory of the processes", "Tokio's workers busy", "Time of a poll")),
)


def variable(name):
    match name:
        case "datasource":
            return drawing.of_datasources(name, "Metrics", "prometheus")
        case "job":
            return drawing.from_labels(name, "Service", "Services by their scrape job",
                                       'label_values(up{job=~"bookstore-api|perf-service|llm-simulator"}, job)')
        case "provider":
            # By its own name and that of the GenAI conventions, where they differ.
            names = (("Claude", "claude|anthropic"), ("Ollama", "ollama"), ("OpenAI", "openai"),
                     ("Bedrock", "bedrock|aws.bedrock"), ("Simulated", "simulated"))
            return drawing.from_list(name, "Provider", "LLM providers", names, ".*")
        case "model":
            return drawing.from_labels(name, "Model", "Models of the providers chosen",
                                       f"label_values(bookstore_llm_cost_usd_total{{{promql.PROVIDER}}}, model)", all_value=".*")
        case "scenario":
            return drawing.from_labels(name, "Scenario", "Scenarios of load runs", "label_values(perf_runs_total, scenario)", all_value=".*")
        case "run":
            return drawing.from_labels(name, "Run", "Load runs whose k6 metrics came by remote write, the latest first",
                                       f"label_values(k6_vus{{{promql.SCENARIO}}}, run)",
                                       sort=model.VariableSort.ALPHABETICAL_DESC, all_value=".*")
    sys.exit(f"dashboards: no variable is called {name}")


VARIABLES = ("datasource", "job", "provider", "model", "scenario", "run")


def annotations():
    """Load runs, by k6's own series or where those do not come by perf-service's; starts; critical alerts."""
    runs = ('max by (scenario, run, target) (k6_vus) > 0 or on() '
            '(sum(perf_runs_under_way{state=~"starting|running|stopping"}) > 0)')
    starts = ('max by (job) (changes(process_start_time_seconds{job=~"bookstore-api|perf-service|llm-simulator"}'
              '[2m])) > 0')
    alerts = 'max by (alertname) (ALERTS{alertstate="firing",severity="critical"}) > 0'
    built_in = model.AnnotationQuery(name="Annotations & Alerts", datasource=model.DataSourceRef(type_val="grafana", uid="-- Grafana --"),
                                     hide=True, icon_color="rgba(0, 211, 255, 1)", type_val="dashboard", built_in=1)
    return [
        drawing.Built(built_in),
        drawing.annotation("Load runs", runs, "blue", "Load run {{scenario}}", "{{target}} {{run}}", "scenario"),
        drawing.annotation("Starts", starts, "purple", "{{job}} started", "", "job"),
        drawing.annotation("Critical alerts", alerts, "red", "{{alertname}}", "", "alertname"),
    ]


def used(sections):
    """The variables that the panels ask by, in the order that they are shown."""
    text = " ".join(query.expr for section in sections for panel in section.panels for query in panel.queries)
    names = set(re.findall(r"\$\{?([a-z]\w*)", text)) | {"datasource"}
    if "run" in names:
        names.add("scenario")
    if "model" in names:
        names.add("provider")
    if unknown := names - set(VARIABLES):
        sys.exit(f"dashboards: no such variables: {sorted(unknown)}")
    return [name for name in VARIABLES if name in names]


@dataclasses.dataclass(frozen=True)
class Dashboard:
    """A dashboard: its sections have headings where there is more than one. `panels` is what SPEC says."""

    title: str
    uid: str
    file: str
    panels: int
    sections: tuple[Section, ...]
    description: str

    def build(self):
        counted = sum(len(section.panels) for section in self.sections)
        if counted != self.panels:
            sys.exit(f"dashboards: {self.title} has {counted} panels and is to have {self.panels}")
        drawn = builder.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG])
        drawn.timezone("browser").time("now-30m", "now").refresh("30s").editable()
        drawn.tooltip(model.DashboardCursorSync.CROSSHAIR)
        drawn.variables([variable(name) for name in used(self.sections)]).annotations(annotations())
        drawn.links([
            builder.DashboardLink("BookStore").type(model.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
            .include_vars(True).keep_time(True).icon("external link").tooltip("The other dashboards, same time and choice"),
        ])
        number, top = 0, 0
        for section in self.sections:
            if len(self.sections) > 1:
                number += 1
                drawn.with_row(builder.Row(section.title).id(number).grid_pos(model.GridPos(x=0, y=top, w=24, h=1)))
                top += 1
            positions, top = drawing.places(section.panels, top)
            for panel, place in zip(section.panels, positions, strict=True):
                number += 1
                drawn.with_panel(drawing.draw(panel, number, place, HOME[panel.title] if self.uid != HOME[panel.title][1] else None))
        return drawn.build()


def home(section):
    """Title and uid of the dashboard where a section is at home: its own, else MEGA."""
    return (section.title, section.uid) if section.uid else ("MEGA", "bookstore-mega")


ALL = (*EIGHT, SLO, COST)
HOME = {panel.title: home(section) for section in ALL for panel in section.panels}
BY_TITLE = {panel.title: panel for section in ALL for panel in section.panels}

if len(BY_TITLE) != sum(len(section.panels) for section in ALL):
    sys.exit("dashboards: two panels have one title")


def own(section, file, panels, description):
    return Dashboard(section.title, section.uid, file, panels, (section,), description)


DASHBOARDS = (
    own(EIGHT[0], "performance-testing", 12, "Load runs as k6 sees them, while they go on."),
    own(EIGHT[1], "errors-and-diagnostics", 14, "What goes wrong, and who is at fault: caller, service, store, cache or provider."),
    own(EIGHT[2], "llm-metrics", 9, "What is asked of LLM providers: time, tokens, failures, dollars."),
    own(EIGHT[3], "rust-runtime", 8, "The processes: CPU, memory, allocator, files, Tokio."),
    own(EIGHT[4], "http-and-server", 10, "HTTP as the services serve it, and as they ask others by it."),
    own(EIGHT[5], "threading", 8, "Tokio from inside: workers, queues, blocking pool, task polls."),
    own(EIGHT[6], "dependencies", 9, "Store, cache and LLM providers."),
    own(EIGHT[7], "system-health", 7, "The whole at a glance. Start here."),
    Dashboard("Demo", "bookstore-demo", "demo", 53,
              tuple(Section(title, tuple(BY_TITLE[name] for name in names)) for title, names in DEMO),
              "A tour: is it well, what does a load run do to it, what does that cost, and why."),
    Dashboard("MEGA", "bookstore-mega", "mega", 91, ALL, "Everything: the eight dashboards, objectives and their budgets, dollars."),
)


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        text = json.dumps(dashboard.build(), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / f"{dashboard.file}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
