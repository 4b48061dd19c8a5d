#!/usr/bin/env python3
"""What performance.yaml does with a release, each step by itself:

    daily.py run SCENARIO        a load run of the perf-service that `make up-lite` started, against its bookstore-api
    daily.py verdict BASELINE    the release against the one that the tag BASELINE stands for, interleaved here
    daily.py judge               whether all of it is well; opens an issue where something became worse (GH_TOKEN)

The release is what .run/images/release.json names (`images.py release TAG`). What comes of it goes to .run/daily: for a
run its report, figures and outcome, for a verdict the table as Markdown; and to the job's summary. `judge` reads them
all, so those of other jobs may be put there before. Exit codes: 0 well, 1 not; too little evidence is no regression,
and nothing to be proud of either: it is well, and not good (`good=` in the job's outputs). Python's standard library only.
"""

import json
import os
import re
import subprocess
import sys

import dotenv
import images
from servers import Failed, call
from service import ROOT, binary
from stack_run import EXITS, PerfService, asked

FOLDER = ROOT / ".run" / "daily"
LABEL = "performance-regression"
PASSED, BROKEN, INCONCLUSIVE = 0, 99, 3
# What the runs are to show, and how a verdict is reached: at least 12 pairs, as many more as the noise asks for.
VERDICT = ["--scenario", "load", "--env", "LLM_PROVIDER=simulated", "--markdown"]


def say(text):
    print(f"daily: {text}", file=sys.stderr, flush=True)


def summary(text):
    if os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(os.environ["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8") as out:
            out.write(text + "\n")
    print(text, flush=True)


def keep(kind, name, value):
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{kind}-{name}.json").write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def table_of(run):
    figures = run.get("summary") or {}
    rows = [f"### {run['scenario']}: {run.get('outcome') or run['state']}", ""]
    if run.get("reason"):
        rows += [run["reason"], ""]
    if figures:
        rows += ["| requests | failed | p50 | p95 | p99 | tokens | dollars |", "|---|---|---|---|---|---|---|",
                 f"| {figures['requests']} | {figures['failedRate']:.2%} | {figures['p50Ms']:.1f} ms | {figures['p95Ms']:.1f} ms | "
                 f"{figures['p99Ms']:.1f} ms | {figures['inputTokens'] + figures['outputTokens']} | {figures.get('costUsd', 'unknown')} |", ""]
        rows += [f"- broken: `{one['name']}`" for one in figures["thresholds"] if not one["ok"] and not one.get("untested")]
    return "\n".join(rows)


def run(scenario):
    """Nothing may be billed: the simulator answers, and a limit of nothing holds it to that."""
    service = PerfService(os.environ.get("PERF_URL") or "http://127.0.0.1:7004", dotenv.value("API_TOKEN"))
    try:
        found = service.start({**asked(scenario), "maxCostUsd": 0})
        found = service.follow(found["id"])
    except Failed as failure:
        sys.exit(f"daily: {scenario}: {failure}")
    code = EXITS.get(found.get("outcome"), 1) if found["state"] == "finished" else 1
    keep("run", scenario, {"code": code, "reason": found.get("reason"), "run": found})
    for part, file in (("report", f"report-{scenario}.html"), ("summary", f"figures-{scenario}.json"), ("log", f"k6-{scenario}.log")):
        status, answer = call(f"{service.url}/api/v1/runs/{found['id']}/{part}", headers=service.headers)
        if status == 200:
            (FOLDER / file).write_bytes(answer)
    summary(table_of(found))
    if code not in (PASSED, INCONCLUSIVE):
        sys.exit(f"daily: {scenario} ended with {code}")


def verdict(baseline):
    candidate, image = images.known(), images.IMAGES[0]
    before = images.references(baseline)
    told = {"baseline": baseline, "candidate": candidate[image], "code": None}
    if not before:
        summary(f"### Against {baseline}: there is none yet")
    elif before[image] == candidate[image]:
        told["code"] = PASSED
        summary(f"### Against {baseline}: the same image")
    else:
        sides = [f"{images.registry()}/{image}@{digests[image]}" for digests in (before, candidate)]
        for side in sides:
            # Docker's own client knows who may.
            images.run("docker", "pull", "--quiet", side)
        command = [binary("perf-service"), "compare", *(f"image:{side}" for side in sides), *VERDICT]
        # The settings of perf-service itself are as they come, whatever a shell has.
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "K6_ENGINE": "local", "DATA_DIR": str(ROOT / ".run" / "perf-service")})
        told["code"] = done.returncode
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"verdict-{baseline}.md").write_text(done.stdout, encoding="utf-8")
        summary(f"Against {baseline} ({before[image]}):\n\n{done.stdout}")
    keep("verdict", baseline, told)
    if told["code"] not in (None, PASSED, INCONCLUSIVE):
        sys.exit(f"daily: worse than {baseline}" if told["code"] == BROKEN else f"daily: the comparison ended with {told['code']}")


def gh(*arguments, stdin=None):
    done = subprocess.run(["gh", *arguments], cwd=ROOT, input=stdin, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"daily: `gh {arguments[0]} {arguments[1]}` ended with {done.returncode}")
    return done.stdout.strip()


def raise_issue(bad):
    """One that is open gets a further word, so that a bad week is one issue."""
    link = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}".format_map(
        {name: os.environ.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")})
    body = "\n".join(["The daily runs found:", "", *(f"- {line}" for line in bad), "", f"Reports and figures: {link}", ""])
    for file in sorted(FOLDER.glob("verdict-*.md")):
        # An issue has room for 65,536 characters.
        body += f"\n{file.read_text(encoding='utf-8')[:20_000]}\n"
    gh("label", "create", LABEL, "--force", "--description", "A load run or a verdict on a release went wrong", "--color", "B60205")
    found = gh("issue", "list", "--label", LABEL, "--state", "open", "--limit", "1", "--json", "number", "--jq", ".[].number")
    if found:
        gh("issue", "comment", found, "--body-file", "-", stdin=body)
    else:
        gh("issue", "create", "--title", "Performance regression", "--label", LABEL, "--body-file", "-", stdin=body)


def judge():
    results = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))
               if re.match(r"(run|verdict)-", file.name)}
    wanted = [name for name in os.environ.get("WANTED", "").split() if name]
    bad = [f"{name}: nothing came of it, see the job" for name in wanted if name not in results]
    for name, one in results.items():
        if one["code"] == BROKEN:
            because = f": {one['reason']}" if one.get("reason") else ""
            bad.append(f"{name}: " + ("worse" if name.startswith("verdict-") else f"thresholds are broken{because}"))
        elif one["code"] not in (None, PASSED, INCONCLUSIVE):
            bad.append(f"{name}: ended with {one['code']}" + (f": {one['reason']}" if one.get("reason") else ""))
    unsure = [name for name, one in results.items() if one["code"] == INCONCLUSIVE]
    for name in unsure:
        say(f"{name}: too little evidence")
    images.output({"good": "false" if bad or unsure or not results else "true"})
    if bad:
        # What could not be measured, a registry that is away, is no regression: the job fails, which is told as well.
        if os.environ.get("GH_TOKEN") and any(one["code"] == BROKEN for one in results.values()):
            raise_issue(bad)
        sys.exit("daily: " + "; ".join(bad))
    say("well" if results else "nothing to judge")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", name] if re.fullmatch(r"[a-z-]+", name):
            run(name)
        case ["verdict", name] if re.fullmatch(r"[a-z][a-z0-9.-]*", name):
            verdict(name)
        case ["judge"]:
            judge()
        case _:
            sys.exit(__doc__)
