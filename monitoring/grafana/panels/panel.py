"""What a panel is: data, without a word of Grafana's JSON."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Query:
    """A question to Prometheus. `instant`: now, not over time. `column` and `unit` head its column in a table."""

    expr: str
    legend: str = ""
    instant: bool = False
    exemplars: bool = False
    column: str = ""
    unit: str = ""


@dataclasses.dataclass(frozen=True)
class Bad:
    """From where on a value is worth a look and from where on it is bad; `below` turns the direction around."""

    warning: float
    critical: float
    below: bool = False


@dataclasses.dataclass(frozen=True)
class Panel:
    """A panel. `shows`, `bad` and `do` become its description.

    `kind`: timeseries, stat, gauge, bars, heatmap, states or table. `unit`: Grafana's name of it. `states`:
    text and colour of whole numbers. `traces`: TraceQL that a click on a point asks; `${__field.labels.x}` in
    it is a label of the series clicked.
    """

    title: str
    shows: str
    bad: str
    do: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    thresholds: Bad | None = None
    states: tuple[tuple[int, str, str], ...] = ()
    stacked: bool = False
    width: int = 8
    lowest: float | None = 0
    highest: float | None = None
    decimals: int | None = None
    traces: str = ""

    @property
    def description(self):
        return f"{self.shows}\n\n**Bad:** {self.bad}\n\n**What to do:** {self.do}"


@dataclasses.dataclass(frozen=True)
class Section:
    """Panels under one heading; `uid` is that of their own dashboard, empty for those that have none."""

    title: str
    panels: tuple[Panel, ...]
    uid: str = ""
