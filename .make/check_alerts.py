#!/usr/bin/env python3
"""Checks rules, alerts, routing and pipelines with their own tools:

    check_alerts.py [--rules-only]

`--rules-only` compares what is generated with what is committed, for which nothing but Python is needed. Else
promtool, amtool, the collector and Loki are there, or it fails: PROMTOOL_BIN, AMTOOL_BIN, OTELCOL_BIN and LOKI_BIN
name them, or they are on the path (otelcol-contrib, loki). Python's standard library only.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

from metric_names import unknown

ROOT = pathlib.Path(__file__).resolve().parent.parent
MONITORING = ROOT / "monitoring"
PROMETHEUS = MONITORING / "prometheus"
ALERTMANAGER = MONITORING / "alertmanager" / "alertmanager.yml"
TEAMS = ("platform", "bookstore", "performance")
# Where an alert of a severity goes.
RECEIVERS = {"critical": "{team}-page", "warning": "{team}-ticket", "info": "digest"}


def tool(name, *variables):
    for variable in variables:
        if os.environ.get(variable):
            return os.environ[variable]
    return shutil.which(name)


def needed(name, *variables):
    found = tool(name, *variables)
    if not found:
        sys.exit(f"alerts-check: {name} is not there: install it (promtool and amtool are in Debian's prometheus and "
                 f"prometheus-alertmanager), or set {variables[-1]}")
    return found


def run(title, *command, wanted=None, env=None):
    """Its output is shown where it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT,
                          env={**os.environ, **(env or {})})
    if done.returncode or (wanted is not None and done.stdout.strip() != wanted):
        told = f" (wanted {wanted!r})" if wanted is not None else ""
        sys.exit(f"alerts-check: {title} failed{told}:\n{done.stdout}{done.stderr}")
    return done.stdout


def check_generated():
    for script in (PROMETHEUS / "generate_rules.py", PROMETHEUS / "tests" / "generate_tests.py"):
        run(script.name, sys.executable, script, "--check")
    print("rules and tests are what their generators write")


def check_rules():
    promtool = needed("promtool", "PROMTOOL_BIN")
    rules = sorted((PROMETHEUS / "rules").glob("*.yml"))
    run("promtool check rules", promtool, "check", "rules", "--lint-fatal", *rules)
    run("promtool check config", promtool, "check", "config", PROMETHEUS / "prometheus.yml")
    tests = sorted((PROMETHEUS / "tests").glob("*.yml"))
    print(f"testing the rules, {len(tests)} files; about a minute", flush=True)
    # Largest first, each by a promtool of its own: weeks of series are worked through.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        longest = sorted(tests, key=lambda test: -test.stat().st_size)
        for done in [pool.submit(run, f"promtool test rules {test.name}", promtool, "test", "rules", test) for test in longest]:
            done.result()
    wrong = []
    for file in rules:
        wrong += [f"{file.name}: {mistake}" for mistake in sorted(set(unknown(file.read_text().replace('\\"', '"'))))]
    if wrong:
        sys.exit("alerts-check: " + "; ".join(wrong))
    alerts = sum(text.count("- alert:") for text in (file.read_text() for file in rules))
    scenarios = sum(test.read_text().count("  - name:") for test in tests)
    print(f"{alerts} alerts, {scenarios} scenarios: each fires, does not fire just below, and clears")


def check_routing():
    amtool = needed("amtool", "AMTOOL_BIN")
    run("amtool check-config", amtool, "check-config", ALERTMANAGER)
    route = [amtool, "config", "routes", "test", f"--config.file={ALERTMANAGER}"]
    for team in TEAMS:
        for severity, receiver in RECEIVERS.items():
            wanted = receiver.format(team=team)
            run(f"the route of {severity} for {team}", *route, f"team={team}", f"severity={severity}", wanted=wanted)
    run("the route of what nobody owns", *route, "severity=warning", wanted="platform-ticket")
    # A rule about an alert or a family that there is not holds nothing back, and says nothing of it.
    text = "".join(file.read_text() for file in (PROMETHEUS / "rules").glob("*.yml"))
    alerts = set(re.findall(r"- alert: (\w+)", text))
    families = set(re.findall(r'family: "([\w-]+)"', text))
    routing = ALERTMANAGER.read_text()
    named = set(re.findall(r'alertname!?="(\w+)"', routing))
    about = {name for found in re.findall(r'family=~?"([\w|-]+)"', routing) for name in found.split("|")}
    if unknown := sorted((named - alerts) | (about - families)):
        sys.exit(f"alerts-check: alertmanager.yml is about {', '.join(unknown)}, which no rule has")
    if outside := re.findall(r"https?://(?!127\.0\.0\.1[:/])[^\s\"']+", re.sub(r"(?m)^\s*#.*$", "", routing)):
        sys.exit(f"alerts-check: alertmanager.yml sends to {', '.join(outside)} by default")
    print(f"{len(TEAMS) * len(RECEIVERS) + 1} routes; every alert and family that inhibition names exists")


def check_pipelines():
    collector = needed("otelcol-contrib", "OTELCOL_BIN")
    config, lite = (MONITORING / "otel-collector" / name for name in ("config.yaml", "lite.yaml"))
    run("the collector's validate", collector, "validate", f"--config={config}")
    run("the collector's validate, lite", collector, "validate", f"--config={config}", f"--config={lite}")
    loki = needed("loki", "LOKI_BIN")
    run("loki -verify-config", loki, "-verify-config", f"-config.file={MONITORING / 'loki' / 'loki.yaml'}")
    print("the collector and Loki accept their files")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--rules-only"]:
            check_generated()
        case []:
            check_generated()
            check_rules()
            check_routing()
            check_pipelines()
        case _:
            sys.exit(__doc__)
