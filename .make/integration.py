#!/usr/bin/env python3
"""Sees to it that the real servers of the integration tests are there, then runs the command given.

The environment names them: OLLAMA_BASE_URL, DOCKER_HOST, K6_BIN. What it does not name is started
by compose (Ollama), found at its usual place (Docker), or fetched (k6). A server that cannot be had
fails the tests; nothing is skipped. Python's standard library only.
"""

import os
import pathlib
import secrets
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = os.environ.get("OLLAMA_MODEL", "llama3.2")


def say(text):
    print(f"integration: {text}", file=sys.stderr, flush=True)


def compose(*arguments):
    command = ["docker", "compose", "--profile", "servers", *arguments]
    try:
        # Compose reads the whole file, so the services that are not started want their secret too.
        environment = {"API_TOKEN": secrets.token_hex(24), **os.environ}
        if subprocess.run(command, cwd=ROOT, env=environment).returncode == 0:
            return
        reason = "failed"
    except OSError as error:
        reason = str(error)
    sys.exit(f"integration: `{' '.join(command)}`: {reason}; install Docker with compose, or set OLLAMA_BASE_URL")


def main():
    environment = dict(os.environ)
    if not environment.get("OLLAMA_BASE_URL"):
        say(f"OLLAMA_BASE_URL is not set: starting Ollama by compose and pulling {MODEL}")
        compose("up", "--detach", "--wait", "ollama")
        compose("exec", "ollama", "ollama", "pull", MODEL)
        environment["OLLAMA_BASE_URL"] = "http://127.0.0.1:11434"
    environment.setdefault("DOCKER_HOST", "unix:///var/run/docker.sock")
    found = subprocess.run([sys.executable, pathlib.Path(__file__).with_name("k6.py")],
                           stdout=subprocess.PIPE, text=True)
    if found.returncode:
        sys.exit(found.returncode)
    environment["K6_BIN"] = found.stdout.strip()
    for name in ("OLLAMA_BASE_URL", "DOCKER_HOST", "K6_BIN", "BOOKS_CSV"):
        say(f"{name} = {environment.get(name, 'not set')}")
    os.execvpe(sys.argv[1], sys.argv[1:], environment)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main()
