"""Whether a query names metrics and labels that there are: those of monitoring/metrics.md, which is written from the
table in the code, those that the rules record, and those of others, which are told by how they begin. Python's standard library only."""

import functools
import re

from service import ROOT

ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| [^|]* \| ([^|]*) \|", re.MULTILINE)
SELECTED = re.compile(r"\b([a-zA-Z_][a-zA-Z0-9_:]*)\{([^{}]*)\}")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
# k6 by remote write, span metrics, the collector, Prometheus and Alertmanager themselves.
OTHERS = re.compile(r"k6_|traces_span_metrics_|otelcol_|prometheus_|alertmanager_|scrape_|(?:up|ALERTS)$")
# What a scrape adds.
ADDED = {"job", "instance", "le"}


@functools.cache
def recorded():
    rules = (ROOT / "monitoring" / "prometheus" / "rules").glob("*.yml")
    return {name for file in rules for name in re.findall(r"- record: (\S+)", file.read_text(encoding="utf-8"))}


@functools.cache
def table():
    """Labels by the name of a series."""
    listing = (ROOT / "monitoring" / "metrics.md").read_text(encoding="utf-8")
    series = {}
    for name, kind, labels in ROW.findall(listing):
        labels = set(re.findall(r"`(\w+)`", labels))
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            series[name + suffix] = labels
    if len(series) < 50:
        raise SystemExit("metric names: monitoring/metrics.md is not read as it should be")
    return series


def unknown(query):
    """What a query names that there is not."""
    for name, matchers in SELECTED.findall(query):
        if OTHERS.match(name) or name in recorded():
            continue
        if name not in table():
            yield f"there is no metric {name}"
            continue
        for label in LABEL.findall(re.sub(r'"[^"]*"', '""', matchers)):
            if label not in table()[name] | ADDED:
                yield f"{name} has no label {label}"
