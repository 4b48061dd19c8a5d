#!/usr/bin/env python3
"""Every query of every panel of the ten dashboards, variables expanded.

    panel_queries.py --list              prints them: dashboard, panel, letter, query
    panel_queries.py                     checks what needs no server: JSON, panels, variables, the table of SPEC
    panel_queries.py --parse             asks a Prometheus whether each can be read; it needs no data
    panel_queries.py --data              asks the Prometheus at PROMETHEUS_URL whether each returns some

Without PROMETHEUS_URL, --parse starts PROMETHEUS_BIN (else the one on PATH) with nothing to scrape, and ends
it. A query may be empty where monitoring/grafana/may_be_empty.json says why: by the panel's title, or by
`title / letter`, but with --strict, where all that can have data has to. An entry there that no query has is an
error, and so is a metric or a label that monitoring/metrics.md does not have. Options: --set run=ID for a variable's value
(a regular expression, as Grafana would write it), --window 10s for the width of rates (4 scrapes or more),
--range 300 for the seconds that count as the time shown. Exit code 1 when anything is wrong.
Python's standard library only, 3.10 or later.
"""

import argparse
import collections
import contextlib
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from metric_names import unknown
from service import DIRECT, ROOT, free_port

GRAFANA = ROOT / "monitoring" / "grafana"
# Title: panels. The table of dashboards that the project promises.
PROMISED = {
    "Performance Testing": 12, "Errors & Diagnostics": 14, "LLM Metrics": 9, "Rust Runtime": 8,
    "HTTP & Server": 10, "Threading": 8, "Dependencies": 9, "System Health": 7, "Demo": 53, "MEGA": 91,
}
VALUES = {"job": "bookstore-api|perf-service|llm-simulator", "provider": ".*", "model": ".*", "scenario": ".*", "run": ".*"}
VARIABLE = re.compile(r"\$\{(\w+)(?::\w+)?\}|\$(\w+)|\[\[(\w+)\]\]")

Asked = collections.namedtuple("Asked", "dashboard panel letter query instant")


class Unusable(Exception):
    """A dashboard or a query is not as it should be."""


def panels_of(dashboard):
    """Rows may hold panels themselves, when they are shut."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels") or []
        else:
            yield panel


def expanded(text, values):
    def value(match):
        name = match[1] or match[2] or match[3]
        if name not in values:
            raise Unusable(f"no value is known for ${name}")
        return values[name]
    return VARIABLE.sub(value, text)


def check_panel(panel):
    """What every panel has to have."""
    defaults = panel["fieldConfig"]["defaults"]
    wanted = {
        "a unit": defaults.get("unit"),
        "what a bad value means": "**Bad:**" in panel.get("description", ""),
        "what to do then": "**What to do:**" in panel.get("description", ""),
        "a query": panel.get("targets"),
        "a number": panel.get("id"),
        "the metrics' datasource": panel.get("datasource", {}).get("uid") == "${datasource}",
    }
    for what, there in wanted.items():
        if not there:
            raise Unusable(f"has not got {what}")
    for target in panel["targets"]:
        if panel["type"] not in ("table",) and not target.get("legendFormat"):
            raise Unusable(f"{target['refId']} has no legend")
        for rate in re.findall(r"\b(?:rate|irate)\([^\[]*\[([^\]]*)\]", target["expr"]):
            if rate not in ("$__rate_interval", "$__range"):
                raise Unusable(f"{target['refId']}: a rate over {rate}, not over $__rate_interval")


def read(values):
    """All queries, and what is wrong with the dashboards as files."""
    asked, wrong, counted, uids = [], [], {}, {}
    for path in sorted((GRAFANA / "dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        title = dashboard["title"]
        panels = list(panels_of(dashboard))
        counted[title] = len(panels)
        if uids.setdefault(dashboard["uid"], title) != title:
            wrong.append(f"{title}: has the uid of {uids[dashboard['uid']]}")
        if len({panel.get("id") for panel in dashboard["panels"]}) != len(dashboard["panels"]):
            wrong.append(f"{title}: two panels have one number")
        declared = {variable["name"] for variable in dashboard["templating"]["list"]}
        text = json.dumps([[target["expr"] for target in panel.get("targets", [])] for panel in panels])
        used = {name for match in VARIABLE.finditer(text) for name in match.groups() if name and not name.startswith("__")}
        chained = json.dumps([variable.get("query") for variable in dashboard["templating"]["list"]])
        used |= {name for match in VARIABLE.finditer(chained) for name in match.groups() if name}
        for name in sorted(used ^ (declared - {"datasource"})):
            wrong.append(f"{title}: ${name} is {'not declared' if name in used else 'declared and filters nothing'}")
        for panel in panels:
            try:
                check_panel(panel)
                for target in panel["targets"]:
                    query = expanded(target["expr"], values)
                    # Many a query draws a zero where there is nothing, and would do so for a name that is wrong.
                    wrong += [f"{title}, {panel['title']} / {target['refId']}: {mistake}" for mistake in unknown(query)]
                    asked.append(Asked(title, panel["title"], target["refId"], query, bool(target.get("instant"))))
            except (Unusable, KeyError) as error:
                wrong.append(f"{title}, {panel.get('title')}: {error}")
        for note in dashboard["annotations"]["list"]:
            if note.get("expr"):
                asked.append(Asked(title, f"annotation {note['name']}", "A", expanded(note["expr"], values), False))
        for chosen in dashboard["templating"]["list"]:
            query = chosen.get("query")
            if isinstance(query, dict) and (inner := re.fullmatch(r"label_values\((.*), \w+\)", query["query"])):
                asked.append(Asked(title, f"variable {chosen['name']}", "A", expanded(inner[1], values), True))
    for title in sorted(PROMISED.keys() | counted.keys()):
        if PROMISED.get(title) != counted.get(title):
            wrong.append(f"{title}: {counted.get(title, 'no')} panels, promised are {PROMISED.get(title, 'none')}")
    return asked, wrong


def allowed(asked):
    """Why a panel or one of its queries may be empty, and what is wrong with the list."""
    reasons = json.loads((GRAFANA / "may_be_empty.json").read_text(encoding="utf-8"))
    names = {name for one in asked for name in (one.panel, f"{one.panel} / {one.letter}")}
    wrong = [f"may_be_empty.json: there is no {name!r}" for name in reasons if name not in names]
    wrong += [f"may_be_empty.json: {name!r} has no reason" for name, reason in reasons.items() if len(reason) < 20]
    return reasons, wrong


def ask(url, one, seconds):
    """Series with a value that is a number; an answer that is none tells why."""
    now = time.time()
    if one.instant:
        path, form = "query", {"query": one.query, "time": f"{now:.3f}"}
    else:
        step = max(1, seconds // 300)
        path, form = "query_range", {"query": one.query, "start": f"{now - seconds:.3f}", "end": f"{now:.3f}", "step": step}
    request = urllib.request.Request(f"{url.rstrip('/')}/api/v1/{path}", urllib.parse.urlencode(form).encode())
    try:
        with DIRECT.open(request, timeout=30) as answer:
            found = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        body = error.read(4096)
        with contextlib.suppress(ValueError):
            body = json.loads(body)["error"]
        raise Unusable(f"{error.code}: {body}") from None
    values = [[series["value"]] if one.instant else series["values"] for series in found]
    return sum(any(not math.isnan(float(value)) for _, value in points) for points in values)


@contextlib.contextmanager
def prometheus(url):
    """`url`, or a Prometheus of our own that has nothing to scrape."""
    if url:
        yield url
        return
    program = os.environ.get("PROMETHEUS_BIN") or shutil.which("prometheus")
    if not program:
        sys.exit("panel queries: no Prometheus: set PROMETHEUS_URL to a running one, or PROMETHEUS_BIN to the program")
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "prometheus.yml").write_text("global: {}\n")
        address = f"127.0.0.1:{free_port()}"
        command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                   f"--web.listen-address={address}", "--log.level=error"]
        process = subprocess.Popen(command)
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), DIRECT.open(f"http://{address}/-/ready", timeout=2):
                    break
                if process.poll() is not None:
                    sys.exit("panel queries: Prometheus did not start")
                time.sleep(0.1)
            else:
                sys.exit("panel queries: Prometheus was not ready within 10 s")
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group()
    for name in ("--list", "--parse", "--data"):
        how.add_argument(name, action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--window", default="60s")
    parser.add_argument("--range", type=int, default=900, metavar="SECONDS")
    options = parser.parse_args()
    values = {**VALUES, **dict(pair.split("=", 1) for pair in options.set)}
    values |= {"__rate_interval": options.window, "__range": f"{options.range}s", "__interval": options.window}

    asked, wrong = read(values)
    reasons, mistakes = allowed(asked)
    wrong += mistakes
    if options.list:
        for one in asked:
            print(f"{one.dashboard}\t{one.panel}\t{one.letter}\t{one.query}")
    empty = excused = 0
    if options.parse or options.data:
        url = os.environ.get("PROMETHEUS_URL")
        if options.data and not url:
            sys.exit("panel queries: --data needs PROMETHEUS_URL, a Prometheus that scrapes the services")
        # A panel that stands on three dashboards is asked for once.
        once = {(one.query, one.instant): one for one in reversed(asked)}
        with prometheus(url) as server:
            for one in reversed(once.values()):
                name = f"{one.panel} / {one.letter}"
                try:
                    series = ask(server, one, options.range)
                except Unusable as error:
                    wrong.append(f"{name}: {error}\n    {one.query}")
                    continue
                if not options.data or series or one.panel.startswith(("annotation ", "variable ")):
                    continue
                reason = reasons.get(name) or reasons.get(one.panel)
                if reason and not options.strict:
                    excused += 1
                    print(f"may be empty: {name}: {reason}")
                else:
                    empty += 1
                    wrong.append(f"{name}: is empty\n    {one.query}")
        told = f", {empty} empty, {excused} empty with a reason" if options.data else " and read by Prometheus"
        print(f"panel queries: {len(once)} different ones asked{told}")
    for line in wrong:
        print(f"panel queries: {line}", file=sys.stderr)
    if wrong:
        sys.exit(f"panel queries: {len(wrong)} mistakes")
    if not options.list:
        panels = {(one.dashboard, one.panel) for one in asked if not one.panel.startswith(("annotation ", "variable "))}
        print(f"panel queries: {len(PROMISED)} dashboards, {len(panels)} panels, {len(asked)} queries: all as promised")


if __name__ == "__main__":
    main()
