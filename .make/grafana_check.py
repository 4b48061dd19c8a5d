#!/usr/bin/env python3
"""Asks a running Grafana for each of the ten dashboards and lets it answer every query of every panel.

    grafana_check.py [--range 900]

A dashboard has to be there, in its folder, with the panels of the committed file; its datasources have to be there;
and no query may end in an error. Whether a query has data is not asked: `make observe` does, against Prometheus.
GRAFANA_URL is http://127.0.0.1:3000 unless it is set, which is compose's, whose password .env has; GRAFANA_USER and
GRAFANA_PASSWORD where another wants any.
Python's standard library only.
"""

import argparse
import base64
import json
import os
import sys

import dotenv
import panel_queries
from servers import Failed, call

FOLDER = "BookStore"
# As provisioning names it.
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
DATASOURCES = ("prometheus", "tempo", "loki")


class Grafana:
    def __init__(self):
        self.url = os.environ.get("GRAFANA_URL", "http://127.0.0.1:3000").rstrip("/")
        user, password = os.environ.get("GRAFANA_USER"), os.environ.get("GRAFANA_PASSWORD")
        if not user and not os.environ.get("GRAFANA_URL"):
            user, password = "admin", dotenv.value("GRAFANA_ADMIN_PASSWORD")
        self.headers = {}
        if user and password:
            self.headers["authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def ask(self, path, method="GET", body=None):
        status, answer = call(f"{self.url}{path}", method, body, headers=self.headers)
        if status == 0:
            sys.exit(f"grafana-check: nothing answers at {self.url}: start one with monitoring/grafana, or set GRAFANA_URL")
        if status in (401, 403):
            sys.exit(f"grafana-check: {self.url} answered {status}: set GRAFANA_USER and GRAFANA_PASSWORD")
        try:
            return status, json.loads(answer)
        except ValueError:
            raise Failed(f"{path} answered {status} with {answer[:200]!r}") from None


def check_dashboard(grafana, committed):
    status, found = grafana.ask(f"/api/dashboards/uid/{committed['uid']}")
    if status != 200:
        raise Failed(f"{committed['title']}: is not there ({status}: {found.get('message')})")
    if found["meta"].get("folderTitle") != FOLDER:
        raise Failed(f"{committed['title']}: is in the folder {found['meta'].get('folderTitle')!r}, not in {FOLDER}")
    titles = [[panel["title"] for panel in panel_queries.panels_of(one)] for one in (committed, found["dashboard"])]
    if titles[0] != titles[1]:
        raise Failed(f"{committed['title']}: has other panels than the committed file; `make dashboards`, or restart Grafana")


def check_queries(grafana, asked, seconds):
    """All of a dashboard's at once, each under its own letter."""
    queries = [{"refId": f"Q{number}", "datasource": PROMETHEUS, "expr": one.query, "instant": one.instant,
                "range": not one.instant, "intervalMs": 15_000, "maxDataPoints": 300} for number, one in enumerate(asked)]
    status, answer = grafana.ask("/api/ds/query", "POST", {"queries": queries, "from": f"now-{seconds}s", "to": "now"})
    results = answer.get("results", {})
    if status >= 500 or not results:
        raise Failed(f"/api/ds/query answered {status}: {str(answer)[:300]}")
    wrong = []
    for number, one in enumerate(asked):
        result = results.get(f"Q{number}", {"error": "no answer"})
        if result.get("error"):
            wrong.append(f"{one.dashboard}, {one.panel} / {one.letter}: {result['error']}\n    {one.query}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description="Asks a running Grafana for each dashboard and each panel's query")
    parser.add_argument("--range", type=int, default=900, metavar="SECONDS")
    options = parser.parse_args()
    grafana, wrong, queries = Grafana(), [], 0
    values = {**panel_queries.VALUES, "__rate_interval": "60s", "__range": f"{options.range}s", "__interval": "60s"}
    asked, mistakes = panel_queries.read(values)
    wrong += mistakes
    try:
        status, health = grafana.ask("/api/health")
        print(f"grafana-check: Grafana {health.get('version')} at {grafana.url}")
        for uid in DATASOURCES:
            status, found = grafana.ask(f"/api/datasources/uid/{uid}")
            if status != 200:
                wrong.append(f"the datasource {uid} is not there ({status})")
        for path in sorted((panel_queries.GRAFANA / "dashboards").glob("*.json")):
            committed = json.loads(path.read_text(encoding="utf-8"))
            of_it = [one for one in asked if one.dashboard == committed["title"]]
            try:
                check_dashboard(grafana, committed)
                for start in range(0, len(of_it), 50):
                    wrong += check_queries(grafana, of_it[start:start + 50], options.range)
                queries += len(of_it)
                print(f"grafana-check: {committed['title']}: {len(of_it)} queries answered", flush=True)
            except Failed as failure:
                wrong.append(str(failure))
    except Failed as failure:
        wrong.append(str(failure))
    for line in wrong:
        print(f"grafana-check: {line}", file=sys.stderr)
    if wrong:
        sys.exit(f"grafana-check: {len(wrong)} mistakes")
    print(f"grafana-check: all dashboards are there, {queries} queries without an error")


if __name__ == "__main__":
    main()
