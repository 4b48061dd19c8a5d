#!/usr/bin/env python3
"""What this machine has of what the targets need, and how to get what is missing: doctor.py

Exits non-zero where something is missing without which nothing here can be started: either a Rust toolchain, or
Docker with compose. Python's standard library only.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections import namedtuple

# Before the others are read, which an older one does not understand.
if sys.version_info < (3, 10):
    sys.exit(f"doctor: Python is {platform.python_version()}, and 3.10 or newer is needed: https://www.python.org/downloads/; "
             "then `make PYTHON=python3.12 …`, by its name")

import dotenv
import services
import stack
from servers import listens
from service import ROOT

Found = namedtuple("Found", "what has needed_for get")
GIBIBYTE = 1 << 30
# A release build with its dependencies, and all images.
DISK_GIB, MEMORY_GIB = 15, 8
DEBIAN = shutil.which("apt-get") is not None


def told(*command, seconds=20):
    """The first line that a command says, or nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=ROOT)
    except (OSError, subprocess.SubprocessError):
        return ""
    text = (done.stdout or done.stderr).strip()
    return text.splitlines()[0] if text and done.returncode == 0 else ""


def version(text):
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def program(what, command, needed_for, get, least=(), variables=(), names=()):
    """A program by a variable or on the path, and its version where the least matters."""
    path = next(filter(None, [*(os.environ.get(name) for name in variables), *map(shutil.which, (command[0], *names))]), None)
    if not path or not os.access(path, os.X_OK):
        return Found(what, "", needed_for, get)
    said = told(path, *command[1:])
    if least and version(said) < least:
        wanted = ".".join(map(str, least))
        return Found(what, "", needed_for, f"{wanted} or newer, here is {'.'.join(map(str, version(said))) or 'none that starts'}: {get}")
    number = ".".join(map(str, version(said)))
    return Found(what, number or "there", needed_for, get)


def package(name, elsewhere):
    return f"apt-get install {name}" if DEBIAN else elsewhere


def toolchain():
    text = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    least = version(re.search(r'rust-version = "([^"]+)"', text)[1])
    yield program("Rust", ["cargo", "--version"], "everything that is built here", "https://rustup.rs", least[:2])
    yield program("C compiler", ["cc", "--version"], "building", package("build-essential", "xcode-select --install"))
    if sys.version_info < (3, 10):
        yield Found("Python 3.10", "", "make targets", package("python3", "https://www.python.org/downloads"))
    else:
        yield Found("Python", platform.python_version(), "make targets", "")
    yield program("git", ["git", "--version"], "labels of images, make test", package("git", "https://git-scm.com"))


def docker():
    yield program("Docker", ["docker", "--version"], "make up, k6 in containers", "https://docs.docker.com/get-docker")
    compose = told("docker", "compose", "version", "--short")
    # One that was built from its sources has no number.
    new = not version(compose) or version(compose)[:2] >= stack.OLDEST_COMPOSE
    yield Found("docker compose", compose if new else "", "make up, make test-integration",
                f"{'.'.join(map(str, stack.OLDEST_COMPOSE))} or newer: https://docs.docker.com/compose/install")
    buildx = told("docker", "buildx", "version")
    yield Found("docker buildx", ".".join(map(str, version(buildx))) or buildx[:20], "make images, make up",
                package("docker-buildx, or docker-buildx-plugin from Docker's own packages", "https://docs.docker.com/go/buildx"))
    daemon = told("docker", "info", "--format", "{{.ServerVersion}} with {{.NCPU}} processors")
    yield Found("Docker's daemon", daemon, "make up, k6 in containers",
                "start Docker, or join its group: sudo usermod -aG docker $USER, and sign in again")


def further():
    yield program("k6", ["k6", "version"], "load tests", "fetched by itself (make k6)", variables=["K6_BIN"])
    yield program("Node.js", ["node", "--version"], "make lint: types of the k6 scripts", package("nodejs npm", "https://nodejs.org"))
    yield program("redis-server", ["redis-server", "--version"], "make test-integration: tests that stop a Redis of their own",
                  package("redis-server", "brew install redis"), variables=["REDIS_SERVER_BIN"])
    yield program("Chromium", ["chromium", "--version"], "make test-integration: reports in a browser",
                  package("chromium", "https://www.chromium.org, or Chrome"), variables=["CHROMIUM_BIN"],
                  names=["google-chrome", "chromium-browser"])
    yield program("promtool", ["promtool", "--version"], "make alerts-check, check-metrics",
                  package("prometheus", "https://prometheus.io/download"), variables=["PROMTOOL_BIN"])
    yield program("amtool", ["amtool", "--version"], "make alerts-check",
                  package("prometheus-alertmanager", "https://prometheus.io/download"), variables=["AMTOOL_BIN"])
    yield program("otelcol-contrib", ["otelcol-contrib", "--version"], "make alerts-check, observe",
                  "https://github.com/open-telemetry/opentelemetry-collector-releases/releases", variables=["OTELCOL_BIN"])
    yield program("schemathesis", ["schemathesis", "--version"], "make fuzz", "pipx install schemathesis==4.32.5",
                  variables=["SCHEMATHESIS_BIN"])
    yield program("newman", ["newman", "--version"], "make postman", "npm install --global newman@6.2.2", variables=["NEWMAN_BIN"])
    yield program("cargo-deny", ["cargo-deny", "--version"], "make deny", "cargo install cargo-deny --locked")
    yield program("hadolint", ["hadolint", "--version"], "make lint-dockerfile", "https://github.com/hadolint/hadolint/releases",
                  variables=["HADOLINT_BIN"])
    yield program("actionlint", ["actionlint", "--version"], "make workflows-check",
                  "https://github.com/rhysd/actionlint/releases", variables=["ACTIONLINT_BIN"])


def machine():
    free = shutil.disk_usage(ROOT).free / GIBIBYTE
    yield Found(f"{DISK_GIB} GiB of disk", f"{free:.0f} GiB free" if free >= DISK_GIB else "", "a release build, all images",
                f"{free:.1f} GiB are free: make clean, docker system prune")
    try:
        # Docker's own, which may be a virtual machine's.
        memory = told("docker", "info", "--format", "{{.MemTotal}}")
        memory = (int(memory) if memory.isdigit() and int(memory) else
                  os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) / GIBIBYTE
        yield Found(f"{MEMORY_GIB} GiB of memory", f"{memory:.0f} GiB" if memory >= MEMORY_GIB else "", "make up",
                    f"{memory:.1f} GiB are here: make up-lite does with 4")
    except (ValueError, OSError):
        pass
    there = dotenv.read()
    missing = [name for name in dotenv.SECRETS if not there.get(name)]
    yield Found("secrets in .env", "" if missing else "all", "make up", "make env writes them (make up does, too)")
    model = services.has_model(os.environ.get("OLLAMA_BASE_URL") or "http://127.0.0.1:11434")
    yield Found("an Ollama", f"with {services.MODEL}" if model else "", "answers of a real model in make run-services",
                f"ollama pull {services.MODEL}; without, the simulator answers")


def main():
    groups = [("to build and run here", list(toolchain())), ("containers", list(docker())),
              ("checks and tests", list(further())), ("this machine", list(machine()))]
    for title, rows in groups:
        print(f"\n{title}")
        for row in rows:
            mark = "ok" if row.has else "--"
            print(f"  {mark} {row.what:18} {row.has or 'missing':26} {row.needed_for}")
            if not row.has:
                print(f"     {'':18} get it: {row.get}")
    taken = [f"{port} ({whose})" for port, whose in stack.PORTS.items() if listens(port)]
    print("\nports\n  " + (f"in use: {', '.join(taken)}; `make status` shows whether by us" if taken else "ok all free"))
    build, containers = ({row.what for row in rows if not row.has} for _, rows in groups[:2])
    print()
    if not build - {"git"}:
        print("make perf-smoke and make run-services can be run" + ("" if containers else ", and make up"))
    elif not containers:
        print("make up can be run; what is built here cannot")
    else:
        sys.exit("doctor: neither a Rust toolchain nor Docker with compose is there: get one of them, see above")


if __name__ == "__main__":
    main()
