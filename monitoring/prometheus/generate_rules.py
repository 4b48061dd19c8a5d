#!/usr/bin/env python3
"""Writes the rules of Prometheus: rules/recording.yml, rules/slo.yml and rules/alerts.yml.

    generate_rules.py                             over those that are committed
    generate_rules.py --check                     nothing; exits 1 where they are not what would be written
    generate_rules.py --scale 0.01 --scrape-seconds 1 --out FOLDER

Objectives are in objectives.py, all other alerts in alerts.py. Every window, offset, `for` and `keep_firing_for` goes through the
scale, so that the same rules can be watched in minutes; the names of recorded series keep the windows they have
in earnest. For Prometheus 2.42 and newer. Python's standard library only.
"""

import argparse
import json
import pathlib
import sys

import alerts
import objectives
from times import Times

HERE = pathlib.Path(__file__).resolve().parent
HEAD = "# Written by monitoring/prometheus/generate_rules.py: `make rules` writes it anew, `make rules-check` compares.\n"


def scalar(text):
    """A string as JSON writes it is one as YAML does."""
    return json.dumps(text, ensure_ascii=False)


def block(key, text, indent):
    """A text of one or several lines."""
    if "\n" not in text:
        return [f"{indent}{key}: {scalar(text)}"]
    return [f"{indent}{key}: |-", *(f"{indent}  {line}" for line in text.splitlines())]


def mapping(key, values, indent):
    if not values:
        return []
    return [f"{indent}{key}:", *(line for name, value in values.items() for line in block(name, value, indent + "  "))]


def record(rule, times):
    lines = [f"      - record: {rule.name}", *block("expr", times.scaled(rule.expr), " " * 8)]
    return lines + mapping("labels", rule.labels, " " * 8)


def alert(rule, times):
    lines = [f"      - alert: {rule.name}", *block("expr", times.scaled(rule.expr), " " * 8)]
    if rule.wait != "0s":
        lines.append(f"        for: {times.wait(rule.wait)}")
    if rule.keeps != "0s":
        lines.append(f"        keep_firing_for: {times.wait(rule.keeps)}")
    return lines + mapping("labels", rule.all_labels(), " " * 8) + mapping("annotations", rule.annotations(), " " * 8)


def document(groups, rule, times):
    lines = ["groups:"]
    for name, rules in groups:
        lines += [f"  - name: {name}", f"    interval: {times.interval()}", "    rules:"]
        lines += [line for entry in rules for line in rule(entry, times)]
    return HEAD + "\n".join(lines) + "\n"


def grouped(rules):
    groups = {}
    for entry in rules:
        groups.setdefault(entry.group, []).append(entry)
    return groups.items()


def documents(times):
    """The files by name."""
    return {
        "recording.yml": document(objectives.recordings(), record, times),
        "slo.yml": document(grouped(objectives.alerts()), alert, times),
        "alerts.yml": document(grouped(alerts.ALERTS), alert, times),
    }


def main():
    parser = argparse.ArgumentParser(description="Writes the rules of Prometheus")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all times, above 0 and at most 1")
    parser.add_argument("--scrape-seconds", type=float, default=15.0, help="how often Prometheus scrapes")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "rules")
    parser.add_argument("--check", action="store_true", help="compare and write nothing")
    options = parser.parse_args()
    try:
        files = documents(Times(options.scale, options.scrape_seconds))
    except ValueError as error:
        parser.error(str(error))
    stale = []
    for name, text in files.items():
        path = options.out / name
        if options.check:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(str(path))
        else:
            options.out.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        sys.exit(f"not what generate_rules.py writes: {', '.join(stale)}; run `make rules`, and edit what it reads")


if __name__ == "__main__":
    main()
