#!/usr/bin/env python3
"""What .env holds: settings of compose, and the secrets that guard it, random and never committed.

    dotenv.py            write what is missing
    dotenv.py NAME       print what NAME is there, or in the environment, which comes first

The other scripts read it by `read`. Python's standard library only.
"""

import json
import os
import pathlib
import platform
import re
import secrets
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILE = ROOT / ".env"
# What compose refuses to start without, each with what it guards.
SECRETS = {
    "API_TOKEN": "what changes something or spends money, in bookstore-api, perf-service and llm-simulator",
    "GRAFANA_ADMIN_PASSWORD": "Grafana's user admin; looking needs none",
    "ASPIRE_BROWSER_TOKEN": "the pages of the Aspire dashboard",
    "ASPIRE_OTLP_API_KEY": "what is sent to the Aspire dashboard",
}
SOCKET = "/var/run/docker.sock"


def say(text):
    print(text, file=sys.stderr, flush=True)


def read(file=FILE):
    """Names and values, as compose reads simple ones: NAME=VALUE, in quotes or not, `#` for comments."""
    found = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$", line)
        if not match:
            continue
        name, value = match.groups()
        quoted = re.match(r"""(["'])(.*?)\1(\s*#.*)?$""", value)
        found[name] = quoted[2] if quoted else re.split(r"(?:^|\s)#", value, maxsplit=1)[0].rstrip()
    return found


def value(name):
    """The environment's, else that of .env, else nothing."""
    return os.environ.get(name) or read().get(name, "")


def socket():
    """The daemon's socket on this machine, as it is mounted into docker-gate.

    Desktop products run the daemon in a virtual machine, in which it always has the usual place.
    """
    if platform.system() != "Linux":
        return SOCKET
    host = os.environ.get("DOCKER_HOST", "")
    if not host:
        try:
            told = subprocess.run(["docker", "context", "inspect"], capture_output=True, text=True, timeout=10).stdout
            host = json.loads(told)[0]["Endpoints"]["docker"]["Host"]
        except (OSError, ValueError, LookupError, TypeError, subprocess.SubprocessError):
            host = ""
    path = host.removeprefix("unix://")
    desktop = "/.docker/desktop/" in path
    return path if host.startswith("unix://") and not desktop and os.path.exists(path) else SOCKET


def group(path):
    """The group of that socket as a container sees it."""
    try:
        found = os.stat(path)
    except OSError:
        return 0
    # A daemon without root shows its user's own files as root's.
    without_root = platform.system() == "Linux" and found.st_uid == os.getuid() != 0
    return 0 if platform.system() != "Linux" or without_root else found.st_gid


def complete():
    """Writes what is missing. What is there stays as it is."""
    there = read()
    path = there.get("DOCKER_SOCKET") or socket()
    wanted = {name: secrets.token_hex(24) for name in SECRETS}
    wanted |= {"COMPOSE_PROFILES": "full", "DOCKER_GID": str(group(path))}
    if path != SOCKET:
        wanted["DOCKER_SOCKET"] = path
    missing = {name: text for name, text in wanted.items() if not there.get(name)}
    if not missing:
        return
    text = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    text += "" if text.endswith("\n") or not text else "\n"
    text += "".join(f"{name}={value}\n" for name, value in missing.items())
    # Nobody else may read it, at no moment.
    made = FILE.with_name(f".env.{os.getpid()}")
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    os.replace(made, FILE)
    say(f"wrote to .env: {', '.join(missing)}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            complete()
        case [name]:
            print(value(name) or sys.exit(f"{name} is neither in the environment nor in .env: `make env` writes it"))
        case _:
            sys.exit(__doc__)
