#!/usr/bin/env python3
"""Brings a release into an environment, or brings back the one before it.

    deploy.py up ENVIRONMENT      the release that .run/images/release.json names (`images.py release TAG` writes it)
    deploy.py back ENVIRONMENT    the release that the environment had before
    deploy.py guarded NAME...     whether these environments of GitHub's have reviewers (GH_TOKEN, GITHUB_REPOSITORY)

Our services and what they depend on are started by compose, each image by its digest, on the Docker host that
DOCKER_HOST names (ssh://user@host); what they are told besides stands in .env. Then the Postman collection is run
against them, through a tunnel, with answers that cost nothing. What passes is told to the registry: ENVIRONMENT stands
for the release, ENVIRONMENT-previous for the one before. What does not pass is replaced by the release before it, and
fails; what is brought back has to be healthy only, since the collection is that of another release. Without a DOCKER_HOST the same is rehearsed on this machine and nothing stays. REGISTRY as in images.py. Python's
standard library only.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time

import dotenv
import images
import stack
from servers import Failed, listens
from service import ROOT, free_port

# What an environment consists of, beside what these depend on. Its monitoring is its own: what compose has of that is
# mounted from this machine, where an environment is not.
SERVICES = ("bookstore-api", "perf-service", "docker-gate", "llm-simulator")
# How docker-compose.yml calls the only target of its perf-service.
TARGET = "compose"
WAIT_SECONDS = 300
TUNNEL_SECONDS = 30
# Where a short load run is no disturbance.
MAY_BE_LOADED = ("dev",)
# Providers of LLM_PROVIDER that bill nobody; Ollama where nothing is said.
FREE = ("", "ollama", "simulated")
PORTS = {"BOOKSTORE_URL": 7002, "PERF_URL": 7004}


def say(text):
    print(f"deploy: {text}", file=sys.stderr, flush=True)


def told(digests, host):
    """What compose is told: no Ollama beside it, the simulator in its place unless .env names another."""
    found = stack.environment() | images.references_of(digests)
    found["COMPOSE_PROFILES"] = os.environ.get("COMPOSE_PROFILES", "lite")
    if not dotenv.value("OLLAMA_BASE_URL"):
        found["OLLAMA_BASE_URL"] = "http://llm-simulator:7006"
    if not host:
        # What `make up` has on this machine, and its data, are another matter.
        found["COMPOSE_PROJECT_NAME"] = "bookstore-rehearsal"
    return found


def start(settings):
    wait = ("--detach", "--no-build", "--wait", "--wait-timeout", str(WAIT_SECONDS))
    return (stack.compose("pull", "--quiet", *SERVICES, told=settings).returncode == 0
            and stack.compose("up", *wait, *SERVICES, told=settings).returncode == 0)


@contextlib.contextmanager
def reached(host):
    """Where the services are for this machine."""
    if not host:
        yield {name: f"http://127.0.0.1:{port}" for name, port in PORTS.items()}
        return
    here = {name: free_port() for name in PORTS}
    ways = [part for name, port in PORTS.items() for part in ("-L", f"127.0.0.1:{here[name]}:127.0.0.1:{port}")]
    tunnel = subprocess.Popen(["ssh", "-N", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", *ways,
                               host], stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + TUNNEL_SECONDS
        while not all(listens(port) for port in here.values()):
            if tunnel.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"no tunnel to {host}")
            time.sleep(0.2)
        yield {name: f"http://127.0.0.1:{port}" for name, port in here.items()}
    finally:
        tunnel.terminate()
        tunnel.wait()


def smoke(environment, host):
    """Whether the Postman collections pass. The provider is the one in process: no run of this costs anything."""
    try:
        with reached(host) as urls:
            # A load run asks the environment's own provider.
            if environment not in MAY_BE_LOADED or dotenv.value("LLM_PROVIDER") not in FREE:
                urls.pop("PERF_URL")
            settings = {**os.environ, **urls, "PROVIDER": "simulated", "SIMULATED": "true", "TARGET": TARGET}
            return subprocess.call([sys.executable, ROOT / ".make" / "postman.py", "--running"], env=settings) == 0
    except Failed as failure:
        say(str(failure))
        return False


def bring(what, environment, digests, before):
    host = os.environ.get("DOCKER_HOST", "")
    if host and not re.fullmatch(r"ssh://[\w.@:\[\]-]+", host):
        sys.exit(f"deploy: DOCKER_HOST is {host}: such as ssh://user@host, or unset for a rehearsal here")
    stack.needed()
    if not host:
        say("no DOCKER_HOST: this is a rehearsal on this machine, of which nothing stays")
    settings = told(digests, host)
    try:
        if start(settings) and (what == "back" or smoke(environment, host)):
            return
        stack.compose("logs", "--tail", "50", told=settings)
        if host and before:
            say(f"it does not work: {environment} gets back what it had")
            if not start(told(before, host)):
                sys.exit(f"deploy: {environment} does not work, and what it had does not start either")
        sys.exit(f"deploy: the release does not work in {environment}")
    finally:
        if not host:
            stack.compose("--profile", "*", "down", "--volumes", "--remove-orphans", told=settings)


def name_it(environment, digests, before):
    if before and before != digests:
        images.tag(f"{environment}-previous", before)
    images.tag(environment, digests)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with open(summary, "a", encoding="utf-8") as out:
            out.write(f"### {environment}\n\n| image | digest |\n|---|---|\n")
            out.writelines(f"| {image} | `{digest}` |\n" for image, digest in digests.items())
    say(f"{environment} has {json.dumps(digests)}")


def guarded(names):
    """GitHub makes an environment that it does not know, and lets everything into it."""
    open_to_all = []
    for name in names:
        asked = ["gh", "api", f"repos/{os.environ['GITHUB_REPOSITORY']}/environments/{name}", "--jq", "[.protection_rules[].type]"]
        done = subprocess.run(asked, capture_output=True, text=True)
        if done.returncode or "required_reviewers" not in json.loads(done.stdout or "[]"):
            open_to_all.append(f"{name} ({done.stderr.strip() or 'no required reviewers'})")
    if open_to_all:
        sys.exit(f"deploy: nobody would have to approve {', '.join(open_to_all)}: make the environment in the repository's "
                 "settings and give it required reviewers")
    say(f"{', '.join(names)}: somebody has to approve")


def main(what, environment):
    if not re.fullmatch(r"[a-z][a-z0-9]*", environment):
        sys.exit(f"deploy: {environment!r} is no environment: such as dev, staging or prod")
    before = images.references(environment, half=True)
    if what == "up":
        digests = images.known()
    else:
        digests = images.references(f"{environment}-previous")
        if not digests:
            sys.exit(f"deploy: {environment} has had no release before this one")
    bring(what, environment, digests, before)
    name_it(environment, digests, before)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["up" | "back" as what, name]:
            main(what, name)
        case ["guarded", *names] if names:
            guarded(names)
        case _:
            sys.exit(__doc__)
