"""What a rule is, before it is written."""

from dataclasses import dataclass, field

SEVERITIES = ("critical", "warning", "info")
TEAMS = ("platform", "bookstore", "performance")
# Where Grafana is for whoever reads an alert.
GRAFANA = "http://127.0.0.1:3000"
# Dashboards by their uid in monitoring/grafana.
DASHBOARDS = {
    "performance": "bookstore-performance",
    "errors": "bookstore-errors",
    "llm": "bookstore-llm",
    "runtime": "bookstore-runtime",
    "http": "bookstore-http",
    "threading": "bookstore-threading",
    "dependencies": "bookstore-dependencies",
    "health": "bookstore-system-health",
    "slo": "bookstore-mega",
    "cost": "bookstore-mega",
}


@dataclass(frozen=True)
class Record:
    """A series that is recorded."""

    name: str
    expr: str
    labels: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Alert:
    """Something that somebody is told of.

    `family` is what it is about: a critical alert silences the warnings of its family and job, and Alertmanager
    knows by it what follows from what. `means`, `look` and `do` are the runbook.
    """

    name: str
    group: str
    family: str
    severity: str
    team: str
    expr: str
    wait: str
    summary: str
    description: str
    means: str
    look: str
    do: str
    dashboard: str
    labels: dict = field(default_factory=dict)
    # A cause goes on for a while after it has ended, or what follows from it would be told of when it is over:
    # rates look back over five minutes.
    keeps: str = "0s"

    def __post_init__(self):
        assert self.severity in SEVERITIES and self.team in TEAMS, self.name
        assert all((self.summary, self.description, self.means, self.look, self.do)), self.name

    def all_labels(self):
        return {"severity": self.severity, "team": self.team, "family": self.family, **self.labels}

    def annotations(self):
        sentences = (("What it means", self.means), ("Look first at", self.look), ("Do", self.do))
        return {
            "summary": self.summary,
            "description": self.description,
            "runbook": "\n".join(f"{head}: {text.rstrip('.')}." for head, text in sentences),
            "dashboard": f"{GRAFANA}/d/{DASHBOARDS[self.dashboard]}",
        }
