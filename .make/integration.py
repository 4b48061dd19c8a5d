#!/usr/bin/env python3
"""Sees to it that the real servers of the integration tests are there, then runs the command given:

    integration.py [--only mongo,redis,toxiproxy,ollama,bedrock,simulator,docker,k6] COMMAND...

The environment names them: MONGODB_URI, REDIS_URL, TOXIPROXY_URL, OLLAMA_BASE_URL, LLM_SIMULATOR_URL,
DOCKER_HOST, K6_BIN, CHROMIUM_BIN. What it does not name is started by compose (MongoDB, Redis, toxiproxy,
Ollama), built and started (llm-simulator), found at its usual place (Docker, Chromium), or fetched (k6).
Bedrock, AWS' own or a stand-in, is named by AWS_ENDPOINT_URL_BEDROCK_RUNTIME, BEDROCK_MODEL, AWS_REGION and keys; else
ministack (`pipx install ministack==1.5.33`; MINISTACK_BIN) is started, which answers from that Ollama. Each test has a
database of its own in MongoDB, and drops it. Tests that stop or flush a Redis start one of their own: `redis-server`
and `redis-cli` must be installed. A server that cannot be had fails the tests; nothing is skipped. Python's standard
library only.
"""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request

import dotenv
import engine
from servers import Failed, Process, listens
from service import DIRECT, Service, free_port

ALL = ("mongo", "redis", "toxiproxy", "ollama", "bedrock", "simulator", "docker", "k6")
# What Ollama's model is called where it answers as Bedrock's.
BEDROCK_MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = os.environ.get("OLLAMA_MODEL", "llama3.2")


def say(text):
    print(f"integration: {text}", file=sys.stderr, flush=True)


def compose(variable, *arguments):
    command = ["docker", "compose", "--profile", "servers", *arguments]
    try:
        # Compose reads the whole file, so the services that are not started want their secrets too.
        environment = {**{name: secrets.token_hex(24) for name in dotenv.SECRETS if not dotenv.value(name)}, **os.environ}
        if subprocess.run(command, cwd=ROOT, env=environment).returncode == 0:
            return
        reason = "failed"
    except OSError as error:
        reason = str(error)
    sys.exit(f"integration: `{' '.join(command)}`: {reason}; install Docker with compose, or set {variable}")


def by_compose(environment, variable, server, url):
    """Starts a server by compose unless the environment names one; whether it was started."""
    if environment.get(variable):
        return False
    say(f"{variable} is not set: starting {server} by compose")
    compose(variable, "up", "--detach", "--wait", server)
    environment[variable] = url
    return True


def simulator(folder):
    """A simulator that has any model and is quick."""
    say("LLM_SIMULATOR_URL is not set: building and starting llm-simulator")
    # As the tests are built: they do not measure it.
    os.environ["PROFILE"] = "dev"
    if subprocess.call([os.environ.get("CARGO", "cargo"), "build", "-p", "llm-simulator"], cwd=ROOT):
        sys.exit("integration: llm-simulator cannot be built")
    settings = {"SIM_MODELS": "*", "SIM_FIRST_TOKEN_MEDIAN_MS": "2", "SIM_GAP_MEDIAN_MS": "0.5", "LOG_FILTER": "warn"}
    return Service("llm-simulator", pathlib.Path(folder), settings)


def stand_in(environment, folder):
    """ministack, which speaks Bedrock's protocol and has Ollama answer; None where it is not installed."""
    program = environment.get("MINISTACK_BIN") or shutil.which("ministack")
    ollama = environment.get("OLLAMA_BASE_URL")
    if not program or not ollama:
        say("nothing answers as Bedrock: name one (AWS_ENDPOINT_URL_BEDROCK_RUNTIME, BEDROCK_MODEL, AWS_REGION and keys), or "
            "`pipx install ministack==1.5.33`; its tests will fail")
        return None
    say("AWS_ENDPOINT_URL_BEDROCK_RUNTIME is not set: starting ministack, which asks Ollama")
    copy = urllib.request.Request(f"{ollama}/api/copy", json.dumps({"source": MODEL, "destination": BEDROCK_MODEL}).encode(),
                                  {"content-type": "application/json"})
    try:
        DIRECT.open(copy, timeout=60).close()
    except OSError as error:
        sys.exit(f"integration: Ollama at {ollama} cannot give {MODEL} another name: {error}")
    port = free_port()
    told = {"GATEWAY_PORT": str(port), "MINISTACK_BEDROCK_PROXY_URL": ollama, "SERVICES": "bedrock-runtime"}
    try:
        process = Process("ministack", pathlib.Path(folder), [program], lambda: listens(port), told)
    except Failed as failure:
        sys.exit(f"integration: {failure}")
    environment |= {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"http://127.0.0.1:{port}", "BEDROCK_MODEL": BEDROCK_MODEL,
                    "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return process


def main(wanted, command):
    environment = dict(os.environ)
    if "mongo" in wanted:
        by_compose(environment, "MONGODB_URI", "mongo", "mongodb://127.0.0.1:27017")
    if "redis" in wanted:
        by_compose(environment, "REDIS_URL", "redis", "redis://127.0.0.1:6379")
    if "toxiproxy" in wanted:
        # Its proxies listen on ports of the host, which it shares.
        by_compose(environment, "TOXIPROXY_URL", "toxiproxy", "http://127.0.0.1:8474")
    if "ollama" in wanted and by_compose(environment, "OLLAMA_BASE_URL", "ollama", "http://127.0.0.1:11434"):
        compose("OLLAMA_BASE_URL", "exec", "ollama", "ollama", "pull", MODEL)
    if "docker" in wanted:
        environment.setdefault("DOCKER_HOST", "unix:///var/run/docker.sock")
        if not engine.docker_has_image():
            sys.exit(f"integration: no Docker answers at {environment['DOCKER_HOST']}, or it has no {engine.IMAGE} and cannot pull it: "
                     "start it, or set DOCKER_HOST or K6_IMAGE")
    if "k6" in wanted:
        found = subprocess.run([sys.executable, pathlib.Path(__file__).with_name("k6.py")],
                               stdout=subprocess.PIPE, text=True)
        if found.returncode:
            sys.exit(found.returncode)
        environment["K6_BIN"] = found.stdout.strip()
    if not environment.get("CHROMIUM_BIN"):
        found = filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser")))
        environment["CHROMIUM_BIN"] = next(found, "")
    for name in ("TOXIPROXY_URL", "OLLAMA_BASE_URL", "LLM_SIMULATOR_URL", "DOCKER_HOST", "K6_BIN", "CHROMIUM_BIN", "BOOKS_CSV"):
        say(f"{name} = {environment.get(name, 'not set')}")
    # They may hold a password.
    for name in ("MONGODB_URI", "REDIS_URL"):
        say(f"{name} is {'set' if environment.get(name) else 'not set'}")
    named = environment.get("BEDROCK_MODEL")
    if ("simulator" not in wanted or environment.get("LLM_SIMULATOR_URL")) and ("bedrock" not in wanted or named):
        os.execvpe(command[0], command, environment)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as started:
        if "bedrock" in wanted and not named and (bedrock := stand_in(environment, folder)):
            started.callback(bedrock.stop)
        if "simulator" in wanted and not environment.get("LLM_SIMULATOR_URL"):
            service = simulator(folder)
            started.callback(service.stop)
            environment["LLM_SIMULATOR_URL"] = service.url
        code = subprocess.call(command, env=environment)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    command, wanted = sys.argv[1:], ALL
    if command[:1] == ["--only"]:
        wanted, command = command[1].split(",") if len(command) > 1 else [], command[2:]
    if not command or not set(wanted) <= set(ALL):
        sys.exit(__doc__)
    main(wanted, command)
