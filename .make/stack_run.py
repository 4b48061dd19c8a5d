#!/usr/bin/env python3
"""Runs a scenario through a perf-service that listens, such as that of `make up`, and exits by its verdict:

    stack_run.py SCENARIO

PERF_URL is http://127.0.0.1:7004 unless it is set; API_TOKEN comes from the environment or .env; TARGET is the name of one
of its targets. What is said to the scenario: DURATION (seconds or 2m), USERS, RATE, PROVIDER, MAX_COST_USD, SEED. Exit codes are those of `perf-service
run`: 0 passed, 99 thresholds crossed, 3 inconclusive, 1 anything else. Ctrl-C cancels the run. Python's standard
library only.
"""

import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

import dotenv
from servers import Failed, call
from service import DIRECT

EXITS = {"passed": 0, "failed": 99, "inconclusive": 3}
ENDED = ("finished", "failed", "cancelled")
# Events come each second; without any the run is asked after.
SILENCE_SECONDS = 15


def say(text):
    print(text, file=sys.stderr, flush=True)


def seconds(text):
    """As perf-service reads durations: 90, 90s, 2m, 1m30s."""
    match = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s?)?", text)
    if not text or not match:
        sys.exit(f"DURATION is {text!r}: give seconds, or such as 15s, 2m or 1m30s")
    return int(match[1] or 0) * 60 + int(match[2] or 0)


def asked(scenario, variables=os.environ):
    """What a client sends to start a run."""
    if variables.get("MAX_P95_MS"):
        sys.exit("MAX_P95_MS: a run of a service has its scenario's own limits; without TARGET the run takes it")
    body = {"scenario": scenario}
    for variable, field, read in (("DURATION", "durationSeconds", seconds), ("USERS", "users", int), ("RATE", "rate", int),
                                  ("PROVIDER", "provider", str), ("MAX_COST_USD", "maxCostUsd", float), ("SEED", "seed", int),
                                  ("TARGET", "target", str)):
        text = variables.get(variable)
        if text:
            try:
                body[field] = read(text)
            except ValueError:
                sys.exit(f"{variable} is {text!r}, which is no number")
    return body


class PerfService:
    def __init__(self, url, token):
        self.url = url.rstrip("/")
        self.headers = {"authorization": f"Bearer {token}"} if token else {}

    def ask(self, path, method="GET", body=None, wanted=(200, 202)):
        status, answer = call(f"{self.url}{path}", method, body, headers=self.headers)
        if status == 0:
            raise Failed(f"nothing answers at {self.url}: `make up` or `make run-services` starts it, or set PERF_URL")
        if status not in wanted:
            try:
                problem = json.loads(answer)
                told = "; ".join([problem.get("detail") or problem.get("title") or "",
                                  *(f"{error['field']}: {error['message']}" for error in problem.get("errors", []))])
            except (ValueError, AttributeError, KeyError):
                told = answer[:300].decode(errors="replace")
            raise Failed(f"{method} {path} answered {status}: {told}")
        return json.loads(answer)

    def start(self, body):
        return self.ask("/api/v1/runs", "POST", body, (202,))

    def read(self, run):
        return self.ask(f"/api/v1/runs/{run}")

    def cancel(self, run):
        return self.ask(f"/api/v1/runs/{run}/cancel", "POST", {}, (202,))

    def events(self, run):
        """Moments of a run until it has ended, or nothing more comes."""
        request = urllib.request.Request(f"{self.url}/api/v1/runs/{run}/events", headers={"accept": "text/event-stream"})
        try:
            with DIRECT.open(request, timeout=SILENCE_SECONDS) as stream:
                name = ""
                for line in stream:
                    field, _, value = line.decode().rstrip("\r\n").partition(": ")
                    if field == "event":
                        name = value
                    elif field == "data" and name == "progress":
                        yield json.loads(value)
                    elif field == "data":
                        return
        except (OSError, urllib.error.URLError, ValueError):
            return

    def follow(self, run, told=lambda moment: None, seconds=None):
        """The run as it ended, which it has to within so many seconds."""
        began = time.monotonic()
        while True:
            for moment in self.events(run):
                told(moment)
                if seconds and time.monotonic() - began > seconds:
                    break
            now = self.read(run)
            if now["state"] in ENDED:
                return now
            if seconds and time.monotonic() - began > seconds:
                raise Failed(f"the run has not ended within {seconds} s: it is {now['state']}")
            time.sleep(1)


def line(moment):
    text = f"{moment['phase']}"
    if moment.get("waitingFor"):
        text += f" ({moment['waitingFor']})"
    if moment.get("progress") is not None:
        text += f" {moment['progress']:.0%}"
    if moment["requests"]:
        text += f", {moment['requests']} requests, {moment['failed']} failed, {moment['rps']:.0f}/s, p95 {moment['p95Ms']:.0f} ms"
    return text


def figures(summary):
    rows = [("requests", f"{summary['requests']}, {summary['rps']:.1f}/s, {summary['failedRate']:.2%} failed"),
            ("p50 / p95 / p99", f"{summary['p50Ms']:.1f} / {summary['p95Ms']:.1f} / {summary['p99Ms']:.1f} ms"),
            ("tokens", f"{summary['inputTokens']} in, {summary['outputTokens']} out"),
            ("dollars", "not known" if summary.get("costUsd") is None else f"{summary['costUsd']:.6f} billed")]
    rows += [(f"threshold {one['name']}", "held" if one["ok"] else "CROSSED") for one in summary["thresholds"]]
    return "\n".join(f"  {name:<44} {text}" for name, text in rows)


class Teller:
    """Tells of a run in one line on a terminal, and elsewhere every ten seconds."""

    def __init__(self):
        self.terminal, self.last = sys.stderr.isatty(), 0.0

    def __call__(self, moment):
        if self.terminal:
            print(f"\r\x1b[K{line(moment)}"[:200], end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.last >= 10:
            self.last = time.monotonic()
            say(line(moment))

    def end(self):
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def main(scenario):
    service = PerfService(os.environ.get("PERF_URL") or "http://127.0.0.1:7004", dotenv.value("API_TOKEN"))
    teller, run = Teller(), None
    try:
        run = service.start(asked(scenario))
        say(f"{scenario} against {run['target']}: {service.url}/api/v1/runs/{run['id']}")
        run = service.follow(run["id"], teller)
    except KeyboardInterrupt:
        teller.end()
        if run:
            service.cancel(run["id"])
            say("cancelled")
        return 130
    except Failed as failure:
        teller.end()
        sys.exit(f"{scenario}: {failure}")
    teller.end()
    if run.get("summary"):
        print(figures(run["summary"]))
    because = f": {run['reason']}" if run.get("reason") else ""
    print(f"{scenario}: {run['state']}, {run.get('outcome', 'no verdict')}{because}")
    print(f"report: {service.url}/api/v1/runs/{run['id']}/report")
    return EXITS.get(run.get("outcome"), 1) if run["state"] == "finished" else 1


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
