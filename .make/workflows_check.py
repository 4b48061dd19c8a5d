#!/usr/bin/env python3
"""What is asked of the workflows beyond their being well-formed, which actionlint says.

Each action is named by a whole commit and its version, one commit for a version everywhere. Each workflow states its
permissions, none of them `write` for all jobs, and a concurrency group for itself or each job; each job has a deadline.
No checkout leaves its token behind. Each step that is no action runs make targets that there are, and nothing else;
what brings a tool or a key onto the runner beforehand is told by its name, which begins with `set-up`.

ACTIONLINT_BIN names actionlint, else it is looked for on PATH, else Go fetches the version below. Python's standard
library only: the workflows are read line by line, in the form in which they are written here.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
USES = re.compile(r"^\s*(?:- )?uses: (?P<action>[\w./-]+)@(?P<commit>\S+)(?:\s+# (?P<version>v[\d.]+))?\s*$")
MAKE = re.compile(r"^make( [a-z0-9-]+)+( [A-Z_]+=\S+)*$")


def actionlint():
    found = os.environ.get("ACTIONLINT_BIN") or shutil.which("actionlint")
    if found:
        return [found]
    if not shutil.which("go"):
        sys.exit("workflows-check: no actionlint: install it or Go, or set ACTIONLINT_BIN")
    return ["go", "run", ACTIONLINT]


def blocks(lines, indent):
    """Mappings at this depth: name, first line, lines."""
    name, first, found = None, 0, []
    for number, line in enumerate(lines):
        if match := re.match(rf"^ {{{indent}}}([\w-]+):", line):
            if name:
                yield name, first, found
            name, first, found = match[1], number, []
        elif name:
            found.append(line)
    if name:
        yield name, first, found


def section(lines, name):
    return next((found for key, _, found in blocks(lines, 0) if key == name), [])


def steps(job):
    """The steps of a job, each a list of lines."""
    inside = next((found for key, _, found in blocks(job, 4) if key == "steps"), [])
    found = []
    for line in inside:
        if line.startswith("      - "):
            found.append([line.replace("- ", "  ", 1)])
        elif found:
            found[-1].append(line)
    return found


def commands(step):
    """What a step runs, line by line."""
    for number, line in enumerate(step):
        if match := re.match(r"^ {8}run: (.*)$", line):
            if match[1].strip() not in ("|", ">-", ">", "|-"):
                return [match[1].strip()]
            return [rest.strip() for rest in step[number + 1:] if rest.startswith(" " * 10) and rest.strip()]
    return []


def named(step):
    return next((match[1] for line in step if (match := re.match(r"^ {8}name: (.*)$", line))), "")


def check(path, targets, pins):
    lines = path.read_text(encoding="utf-8").splitlines()
    wrong = lambda text: f"{path.name}: {text}"
    keys = {key for key, _, _ in blocks(lines, 0)}
    if "permissions" not in keys:
        yield wrong("states no permissions")
    given = section(lines, "permissions")
    if any("write" in line for line in given):
        yield wrong("lets all its jobs write; only the job that has to may")
    jobs = list(blocks(section(lines, "jobs"), 2))
    for name, _, job in jobs:
        inside = {key for key, _, _ in blocks(job, 4)}
        if "uses" in inside:
            # Another workflow, with deadlines and steps of its own.
            continue
        if "timeout-minutes" not in inside:
            yield wrong(f"{name} has no deadline")
        if "concurrency" not in keys and "concurrency" not in inside:
            yield wrong(f"{name} has no concurrency group, and neither has the workflow")
        for step in steps(job):
            text = "\n".join(step)
            if "uses: actions/checkout@" in text and "persist-credentials: false" not in text:
                yield wrong(f"{name}: a checkout leaves its token behind")
            if named(step).startswith("set-up"):
                continue
            for command in commands(step):
                if not MAKE.match(command):
                    yield wrong(f"{name} runs `{command}`, which is no make target")
                for target in re.findall(r"(?<= )[a-z0-9-]+(?= |$)", command) if MAKE.match(command) else ():
                    if target not in targets:
                        yield wrong(f"{name} runs `make {target}`, and there is no such target")
    yield from check_pins(path, lines, pins)


def check_pins(path, lines, pins):
    wrong = lambda text: f"{path.name}: {text}"
    for line in lines:
        if not re.match(r"^\s*(- )?uses:", line):
            continue
        if local := re.search(r"uses: (\./[\w./-]+)$", line):
            if not (ROOT / local[1]).is_file() and not (ROOT / local[1] / "action.yaml").exists():
                yield wrong(f"{local[1]} is not there")
            continue
        match = USES.match(line)
        if not match or not re.fullmatch(r"[0-9a-f]{40}", match["commit"]) or not match["version"]:
            yield wrong(f"`{line.strip()}` names no whole commit with its version behind it")
            continue
        # Actions of one repository move together.
        repository = "/".join(match["action"].split("/")[:2])
        if pins.setdefault(repository, (match["commit"], match["version"])) != (match["commit"], match["version"]):
            yield wrong(f"{repository} is not the same everywhere")


def main():
    targets = set(re.findall(r"(?m)^([a-z0-9-]+(?: [a-z0-9-]+)*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8")))
    targets = {one for several in targets for one in several.split()}
    files, pins, mistakes = sorted((ROOT / ".github" / "workflows").glob("*.y*ml")), {}, []
    for file in files:
        mistakes += check(file, targets, pins)
    for file in sorted((ROOT / ".github" / "actions").glob("*/action.yaml")):
        mistakes += check_pins(file, file.read_text(encoding="utf-8").splitlines(), pins)
    for mistake in mistakes:
        print(f"workflows-check: {mistake}", file=sys.stderr)
    code = subprocess.call([*actionlint(), *map(str, files)], cwd=ROOT)
    if mistakes or code:
        sys.exit(f"workflows-check: {len(mistakes)} mistakes" + (f", actionlint ended with {code}" if code else ""))
    print(f"workflows-check: {len(files)} workflows, {len(pins)} actions by commit")


if __name__ == "__main__":
    main()
