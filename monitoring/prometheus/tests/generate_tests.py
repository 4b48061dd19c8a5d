#!/usr/bin/env python3
"""Writes what `promtool test rules` runs, a file for each group of alerts, from the table in cases.py.

    generate_tests.py            over those that are committed
    generate_tests.py --check    nothing; exits 1 where they are not what would be written

An alert without a case is a mistake. Python's standard library only.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import alerts  # noqa: E402
import cases  # noqa: E402
import objectives  # noqa: E402
from times import milliseconds  # noqa: E402

HEAD = "# Written by monitoring/prometheus/tests/generate_tests.py from cases.py: `make rules` writes it anew.\n"


def number(value):
    return f"{value:.12g}"


def values(series, case, level):
    """A series over the three spans in promtool's notation; each segment goes on where the last one ended."""
    a_minute = 60 / case.seconds
    segments, start = [], 0.0
    spans = ((case.well, series.well), (case.bad, getattr(series, level)), (case.after, series.well))
    for place, (minutes, value) in enumerate(spans):
        # The very first sample is at the time 0, all others end the step before them.
        count = round(minutes * a_minute) + (1 if place == 0 else 0)
        if count == 0:
            continue
        step = value / a_minute if series.counter else 0.0
        first = (start if place == 0 else start + step) if series.counter else value
        # promtool adds up its steps in floating point: a counter that came out a hair higher must not seem reset.
        first *= 1 + 1e-9 if series.counter and place else 1
        segments.append(f"{number(first)}+{number(step)}x{count - 1}")
        start = first + step * (count - 1)
    return " ".join(segments)


def scenario(case, alert, level):
    fires = case.well + case.bad
    labels = {"alertname": alert.name, "alertstate": "firing", **alert.all_labels(), **case.labels}
    labels.update(alert.labels)
    selector = {"alertname": alert.name, "alertstate": "firing", **case.rule}
    expr = "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in selector.items()) + "}"
    sample = "ALERTS{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
    firing = [f"          - {{ labels: {json.dumps(sample)}, value: 1 }}"]
    checks = [(fires, firing if level == "above" else None)]
    if level == "above":
        # Not before its time, nor after.
        early = case.well + int(milliseconds(alert.wait) / 60_000) // case.every * case.every
        if alert.wait != "0s" and early > case.well:
            checks.insert(0, (early - case.every, None))
        checks.append((fires + case.after, None))
    name = " ".join([alert.name, *case.rule.values(), "fires and clears" if level == "above" else "does not fire below"])
    lines = [
        f"  - name: {json.dumps(name)}",
        f"    interval: {case.seconds}s",
        "    input_series:",
    ]
    for series in case.series:
        lines += [f"      - series: {json.dumps(series.name)}", f"        values: {json.dumps(values(series, case, level))}"]
    lines.append("    promql_expr_test:")
    for minutes, samples in checks:
        lines += [f"      - expr: {json.dumps(expr)}", f"        eval_time: {minutes}m"]
        lines += ["        exp_samples:", *samples] if samples else ["        exp_samples: []"]
    return lines


def document(group, pairs, every):
    # What is recorded comes before the alerts that read it: promtool's own order is one of chance, and what the
    # round before recorded is too old where rounds are more than five minutes apart.
    groups = [name for name, _ in objectives.recordings()]
    groups += [rule.group for rule in (*objectives.alerts(), *alerts.ALERTS)]
    lines = [HEAD + "rule_files: [../rules/recording.yml, ../rules/slo.yml, ../rules/alerts.yml]",
             f"evaluation_interval: {every}m", f"group_eval_order: [{', '.join(dict.fromkeys(groups))}]", "tests:"]
    for case, alert in pairs:
        for level in ("below", "above"):
            lines += scenario(case, alert, level)
    return f"{group}.yml", "\n".join(lines) + "\n"


def rules_of(case, rules):
    """The one rule that a case is about."""
    fitting = [rule for rule in rules if rule.name == case.alert
               and all(rule.labels.get(name) == value for name, value in case.rule.items())]
    # Rules of one name differ by their labels; a budget's rule is told by its expression alone.
    if len(fitting) != 1:
        sys.exit(f"cases.py: {case.alert} {case.rule} is about {len(fitting)} rules instead of one")
    return fitting[0]


def documents():
    rules = [*objectives.alerts(), *alerts.ALERTS]
    table = list(cases.CASES)
    for objective in objectives.OBJECTIVES:
        table += [cases.burn(objective, burn.factor) for burn in objectives.BURNS]
        table.append(cases.exhausted(objective))
    groups, tested = {}, set()
    for case in table:
        rule = rules_of(case, rules)
        tested.add(id(rule))
        # promtool evaluates all of a file at one interval, and each burn rate needs its own.
        name = f"burn-{rule.labels['window']}" if "burn" in rule.labels else rule.group
        name += "-slow" if case.every > 1 and name in ("load-tests", "processes") else ""
        groups.setdefault((name, case.every), []).append((case, rule))
    untested = sorted({rule.name for rule in rules if id(rule) not in tested})
    if untested:
        sys.exit(f"cases.py has no case for {', '.join(untested)}")
    return dict(document(name, pairs, every) for (name, every), pairs in groups.items())


def main():
    files = documents()
    there = {path.name for path in HERE.glob("*.yml")}
    if sys.argv[1:] == ["--check"]:
        stale = [name for name in sorted(there | set(files))
                 if name not in files or name not in there or (HERE / name).read_text(encoding="utf-8") != files[name]]
        if stale:
            sys.exit(f"not what generate_tests.py writes: {', '.join(stale)}; run `make rules`")
        return
    for name in there - set(files):
        (HERE / name).unlink()
    for name, text in files.items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    match sys.argv[1:]:
        case [] | ["--check"]:
            main()
        case _:
            sys.exit(__doc__)
