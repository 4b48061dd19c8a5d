#!/usr/bin/env python3
"""What is running, as local processes (`make run-services`) and in containers (`make up`):

    status.py            a table
    status.py --check    the same; exits non-zero unless both services are ready and nothing that was started is ill

Python's standard library only.
"""

import json
import re
import subprocess
import sys

import services
import stack
from servers import listens

# Name, port on loopback, and what tells that it works: a path, or nothing more than that somebody listens.
KNOWN = [
    ("bookstore-api", 7002, "/health/ready"),
    ("perf-service", 7004, "/health/ready"),
    ("llm-simulator", 7006, "/health/ready"),
    ("docker-gate", None, None),
    ("mongo", 27017, None),
    ("redis", 6379, None),
    ("ollama", 11434, "/api/version"),
    ("ollama-model", None, None),
    ("prometheus", 9090, "/-/ready"),
    ("alertmanager", 9093, "/-/ready"),
    ("grafana", 3000, "/api/health"),
    ("otel-collector", 13133, "/"),
    ("aspire-dashboard", 15888, "/login"),
    ("tempo", None, None),
    ("loki", None, None),
]
SERVICES = ("bookstore-api", "perf-service")
# Shown although they are down.
ALWAYS = (*SERVICES, "llm-simulator")


def containers():
    """What Docker says of each container of the project, by its service; nothing where there is no Docker."""
    try:
        done = subprocess.run(
            ["docker", "ps", "--all", "--no-trunc", "--filter", f"label=com.docker.compose.project={stack.PROJECT}",
             "--filter", "label=com.docker.compose.oneoff=False", "--format", "{{json .}}"],
            capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return {}
    found = {}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        service = re.search(r"com\.docker\.compose\.service=([^,]+)", one.get("Labels", ""))
        if service:
            found[service[1]] = one
    return found


def of_container(one):
    """Its state in a word or two, and whether that is well."""
    text = one.get("Status", "")
    if one.get("State") == "running":
        health = re.search(r"\((.*)\)", text)
        word = health[1] if health else "running"
        return word, word in ("healthy", "running")
    code = re.search(r"Exited \((\d+)\)", text)
    if code:
        return ("done", True) if code[1] == "0" else (f"exited with {code[1]}", False)
    return one.get("State") or text, False


def answer(port, path):
    """What its port says: a word, and whether that is well; nothing where it has none."""
    if port is None:
        return None, None
    if path is None:
        return ("listens", True) if listens(port) else ("down", False)
    code, _ = services.get(f"http://127.0.0.1:{port}{path}")
    return ("ready", True) if code == 200 else ("down", False) if code == 0 else (f"not ready ({code})", False)


def rows():
    there = containers()
    known = {name for name, _, _ in KNOWN}
    for name, port, path in [*KNOWN, *((name, None, None) for name in there if name not in known)]:
        said, well = answer(port, path)
        pid = services.pid_of(name) if name in services.PORTS else None
        if name in there:
            where = f"container {there[name]['ID'][:12]}"
            word, fine = of_container(there[name])
            said = word if said is None else f"{said}, {word}" if (word, said) not in (("healthy", "ready"), ("running", "ready")) else said
            well = fine and well is not False
            if word == "done":
                said, well = word, True
        elif pid:
            where = f"process {pid}"
        elif well:
            where = "somebody's"
        elif name in ALWAYS:
            where = "-"
        else:
            continue
        yield name, port, where, said, well, name in there or bool(pid)


def main(check):
    table, ill = list(rows()), []
    print(f"{'what':17} {'address':23} {'where':23} state")
    for name, port, where, said, well, started in table:
        address = "" if port is None else f"http://127.0.0.1:{port}" if name not in ("mongo", "redis") else f"127.0.0.1:{port}"
        print(f"{name:17} {address:23} {where:23} {said}")
        if not well and (name in SERVICES or started):
            ill.append(f"{name} is {said}")
    if check and ill:
        sys.exit(f"health-check: {'; '.join(ill)} (`make run-services` or `make up` starts, `make logs-…` shows why)")


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            main(False)
        case ["--check"]:
            main(True)
        case _:
            sys.exit(__doc__)
