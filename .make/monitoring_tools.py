#!/usr/bin/env python3
"""Fetches the tools that check dashboards, rules, routes and pipelines: taken out of the very images that compose
runs, so that what is checked and what runs are one version.

They go to .tools/bin, which git ignores, and onto the path of the steps that follow where this is a workflow. Python's
standard library only.
"""

import json
import os
import pathlib
import platform
import subprocess
import sys

import stack
from service import ROOT

FOLDER = ROOT / ".tools" / "bin"
# The image's name without registry and version, and what is taken out of it.
TOOLS = {
    "prom/prometheus": ("/bin/prometheus", "/bin/promtool"),
    "prom/alertmanager": ("/bin/amtool",),
    "otel/opentelemetry-collector-contrib": ("/otelcol-contrib",),
    "grafana/loki": ("/usr/bin/loki",),
}


def fail(text):
    sys.exit(f"monitoring-tools: {text}")


def told(*command):
    done = subprocess.run(["docker", *command], cwd=ROOT, env=stack.environment(), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        fail(f"`docker {' '.join(command[:2])} …` ended with {done.returncode}")
    return done.stdout.strip()


def main():
    if platform.system() != "Linux":
        fail("what the images have is for Linux; `make doctor` says where to get the tools for this system")
    services = json.loads(told("compose", "--profile", "*", "config", "--format", "json"))["services"]
    used = {one["image"] for one in services.values() if "image" in one}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, files in TOOLS.items():
        found = sorted(image for image in used if image.split("@")[0].rsplit(":", 1)[0].endswith(name))
        if len(found) != 1:
            fail(f"compose runs {len(found)} versions of {name}, not one: {', '.join(found) or 'none'}")
        container = told("create", found[0])
        try:
            for file in files:
                told("cp", f"{container}:{file}", str(FOLDER / pathlib.PurePosixPath(file).name))
        finally:
            told("rm", container)
        print(f"monitoring-tools: {', '.join(pathlib.PurePosixPath(file).name for file in files)} of {found[0]}", flush=True)
    if os.environ.get("GITHUB_PATH"):
        with open(os.environ["GITHUB_PATH"], "a", encoding="utf-8") as out:
            out.write(f"{FOLDER}\n")
    else:
        print(f"monitoring-tools: put {FOLDER} onto PATH")


if __name__ == "__main__":
    main()
