#!/usr/bin/env python3
"""The system in containers, by compose:

    stack.py up [--lite]        secrets, images, the model, everything healthy; then where things are
    stack.py down [--volumes]   all of it away; with its data
    stack.py ps                 its containers
    stack.py images             build our three images, and print their sizes
    stack.py logs [SERVICE]     the last lines (TAIL=100), going on with FOLLOW=1: of a container, else of the local
                                process that `make run-services` started
    stack.py config             whether docker-compose.yml holds together, with each profile

Python's standard library only.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import time

import dotenv
from servers import listens
from service import ROOT

PROJECT = "bookstore"
LITE = ROOT / ".make" / "lite.env"
RUN = ROOT / ".run"
LOCAL = ("bookstore-api", "perf-service", "llm-simulator")
IMAGES = {"bookstore-api": "BOOKSTORE_API_IMAGE", "perf-service": "PERF_SERVICE_IMAGE",
          "llm-simulator": "LLM_SIMULATOR_IMAGE"}
# What `make up-lite` leaves out.
FULL = ("ollama", "ollama-model", "tempo", "loki")
PROFILES = ("", "lite", "full", "servers", "full,servers")
# What has which port of this machine.
PORTS = {7001: "bookstore-api", 7002: "bookstore-api", 7003: "perf-service", 7004: "perf-service", 7006: "llm-simulator",
         3000: "Grafana", 4317: "the collector", 4318: "the collector", 6379: "Redis", 9090: "Prometheus",
         9093: "Alertmanager", 11434: "Ollama", 13133: "the collector", 15888: "the Aspire dashboard",
         18890: "the Aspire dashboard", 27017: "MongoDB"}
# For all to be healthy once images and model are there.
WAIT_SECONDS = 300
OLDEST_COMPOSE = (2, 21)
WEBHOOK = "http://127.0.0.1:9095"
# Addresses that are handed to containers, for which this machine's loopback is another place.
ADDRESSES = ("OLLAMA_BASE_URL", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
             "OTEL_EXPORTER_OTLP_ENDPOINT", "TRACELOOP_BASE_URL", "PROMETHEUS_REMOTE_WRITE_URL", "ALERT_WEBHOOK_URL")
LOOPBACK = re.compile(r"^\w+://([^/@]*@)?(127\.|localhost\b|\[::1\])")


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"stack: {text}")


def needed(daemon=True):
    """Docker, compose and perhaps a daemon, or what to do about them."""
    try:
        done = subprocess.run(["docker", "compose", "version", "--short"], capture_output=True, text=True)
    except FileNotFoundError:
        fail("docker is not there: https://docs.docker.com/get-docker/; without it, `make run-services`")
    # One that was built from its sources has no number.
    version = re.match(r"v?(\d+)\.(\d+)", done.stdout.strip())
    if done.returncode:
        fail("docker has no compose: https://docs.docker.com/compose/install/")
    if version and (int(version[1]), int(version[2])) < OLDEST_COMPOSE:
        fail(f"compose is {done.stdout.strip()}; {'.'.join(map(str, OLDEST_COMPOSE))} or newer is needed")
    if not daemon:
        return
    asked = subprocess.run(["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, text=True)
    if asked.returncode or not asked.stdout.strip():
        fail(f"no Docker daemon answers: {asked.stderr.strip().splitlines()[-1] if asked.stderr.strip() else 'start it'}")


def environment(lite=False):
    """What compose is told beside .env, which comes after it."""
    told = dict(os.environ)
    for name in ADDRESSES:
        if LOOPBACK.match(told.get(name, "")):
            say(f"{name} is left aside: {told.pop(name)} is this machine's own loopback, which no container sees; where "
                "its server listens further, host.docker.internal leads to it, from .env")
    # Compose reads all of its file, whatever it is to do; what is not started needs no secret.
    told.update({name: "none" for name in dotenv.SECRETS if not dotenv.value(name)})
    if lite:
        told.update(dotenv.read(LITE))
    return told


def built(name):
    """What an image is called that is built here, as in docker-compose.yml."""
    return f"localhost/bookstore/{name}:local"


def routes(url, folder):
    """Alertmanager's file with the webhook's address put in, or without webhooks where there is no address, lest each alert
    be one that could not be told. It stands where nobody else of this machine reads it: it may hold a secret, and the
    container's user, who is nobody here, has to read it. Its name is that of its content, for compose starts a container
    anew where another file is named, and not where the same one has changed."""
    text = (ROOT / "monitoring" / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
    if url and not re.fullmatch(r"https?://[^\s\"\\]+", url):
        fail("ALERT_WEBHOOK_URL is no address such as https://alerts.example/hook")
    routed = "".join(line if line.lstrip().startswith("#") else line.replace(WEBHOOK, url.rstrip("/"))
                     for line in text.splitlines(keepends=True) if url or WEBHOOK not in line or line.lstrip().startswith("#"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    for old in folder.glob("alertmanager*.yml"):
        old.unlink()
    file = folder / f"alertmanager-{hashlib.sha256(routed.encode()).hexdigest()[:12]}.yml"
    file.write_text(routed, encoding="utf-8")
    file.chmod(0o644)
    return file


def compose(*arguments, told=None, **options):
    return subprocess.run(["docker", "compose", *arguments], cwd=ROOT, env=told or environment(), **options)


def labels():
    """What the images' labels say of where they come from."""
    version = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)

    def git(*arguments):
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    revision = git("rev-parse", "HEAD")
    if revision and git("status", "--porcelain"):
        revision += "-dirty"
    # Without whoever is named in it.
    source = re.sub(r"//[^/@]*@", "//", git("remote", "get-url", "origin"))
    found = {"VERSION": version[1] if version else "", "REVISION": revision, "SOURCE": source,
             # Of the commit, so that the same sources make the same image.
             "CREATED": git("show", "--no-patch", "--format=%cI", "HEAD")}
    return {name: text for name, text in found.items() if text}


def images():
    needed()
    # Those of a registry, which .env may name, are not built here.
    told = environment() | labels() | {variable: built(name) for name, variable in IMAGES.items()}
    say("building: minutes the first time, seconds when only the sources have changed since")
    if compose("build", "bookstore-api", "perf-service", "llm-simulator", told=told).returncode:
        fail("the images cannot be built, see above")
    sizes()


def readable():
    """Containers read monitoring/ as users of their own."""
    shut = [path for path in (ROOT / "monitoring").rglob("*") if not path.stat().st_mode & (0o005 if path.is_dir() else 0o004)]
    if shut:
        fail(f"{shut[0].relative_to(ROOT)} and {len(shut) - 1} more cannot be read by the containers, which are other users: "
             "chmod -R go+rX monitoring")


def free_ports(profiles):
    """Before anything is built: whether somebody else has a port. What runs already of ours has its own."""
    ours = subprocess.run(["docker", "ps", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"],
                          capture_output=True, text=True).stdout.split()
    if ours:
        return
    ports = {port: name for port, name in PORTS.items() if "full" in profiles or name != "Ollama"}
    if port := dotenv.value("OLLAMA_PORT"):
        ports = {port if name == "Ollama" else number: name for number, name in ports.items()}
    taken = [f"{port} ({name})" for port, name in ports.items() if listens(int(port))]
    if taken:
        hint = "; for Ollama's, OLLAMA_PORT=11435 in .env, or make up-lite" if any("Ollama" in one for one in taken) else ""
        fail(f"somebody listens on {', '.join(taken)}: `make stop-services`, or stop who it is{hint}")


def sizes():
    print(f"{'image':42} {'size':>9}  {'platform':14} revision")
    for name, variable in IMAGES.items():
        image = built(name)
        done = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True)
        if done.returncode:
            fail(f"{image} is not there")
        one = json.loads(done.stdout)[0]
        revision = (one["Config"].get("Labels") or {}).get("org.opencontainers.image.revision", "unknown")
        print(f"{image:42} {one['Size'] / 1e6:>6.1f} MB  {one['Os'] + '/' + one['Architecture']:14} {revision[:18]}")


def model(told):
    """Ollama, and its model with its progress shown."""
    name = told.get("OLLAMA_MODEL") or dotenv.value("OLLAMA_MODEL") or "llama3.2"
    say(f"the model {name}: fetched where it is not there yet, about 2 GB for llama3.2")
    if compose("up", "--detach", "--wait", "--wait-timeout", str(WAIT_SECONDS), "ollama", told=told).returncode:
        fail("Ollama does not start, see above; `make up-lite` does without")
    terminal = [] if sys.stdin.isatty() and sys.stdout.isatty() else ["--no-TTY"]
    if compose("run", "--rm", "--no-deps", *terminal, "ollama-model", told=told).returncode:
        fail(f"the model {name} cannot be fetched, see above; `make up-lite` does without")


def up(lite):
    needed()
    dotenv.complete()
    for name, text in dotenv.read().items():
        if name in ADDRESSES and LOOPBACK.match(text):
            fail(f"{name} in .env leads to loopback, which in a container is the container's own: write "
                 "host.docker.internal for this machine")
    profiles = dotenv.value("COMPOSE_PROFILES").split(",")
    lite = lite or "full" not in profiles
    readable()
    free_ports(["lite"] if lite else profiles)
    told = environment(lite) | labels()
    told["ALERTMANAGER_CONFIG"] = str(routes(dotenv.value("ALERT_WEBHOOK_URL"), RUN / "compose"))
    pulled = [name for name in IMAGES if dotenv.value(IMAGES[name])]
    own = [name for name in IMAGES if name not in pulled]
    if own:
        say("images: built in minutes the first time")
        if compose("build", *own, told=told).returncode:
            fail("the images cannot be built, see above")
    if lite:
        # Of an earlier `make up`; their data stay.
        compose("--profile", "full", "rm", "--stop", "--force", *FULL, told=told, capture_output=True)
    else:
        model(told)
    say("starting everything else; what is not here yet is fetched")
    began = time.monotonic()
    wait = ("--detach", "--no-build", "--wait", "--wait-timeout", str(WAIT_SECONDS), "--remove-orphans")
    if compose("up", *wait, told=told).returncode:
        compose("ps", "--all", told=told)
        fail("not everything came up: `make status` shows what, `make logs-NAME` and `docker inspect` why")
    # Rules and pipelines are files of this checkout, which may be newer than who has read them.
    compose("kill", "--signal", "HUP", "prometheus", "otel-collector", told=told, capture_output=True)
    say(f"all is up, {time.monotonic() - began:.0f} s")
    if not dotenv.value("ALERT_WEBHOOK_URL"):
        say("Nobody is told of alerts: ALERT_WEBHOOK_URL in .env says whom to tell; they show in Alertmanager")
    if lite:
        say("Answers are SIMULATED: the simulator stands in for Ollama. No figure of them says anything of a model.")
    for what, where in (("bookstore-api", "http://127.0.0.1:7002/swagger  (API_TOKEN for writes: make token)"),
                        ("perf-service", "http://127.0.0.1:7004/swagger  (a run: make perf-smoke TARGET=compose)"),
                        ("Grafana", "http://127.0.0.1:3000  (admin, with the password in .env; looking needs none)"),
                        ("Prometheus", "http://127.0.0.1:9090"), ("Alertmanager", "http://127.0.0.1:9093"),
                        ("Aspire dashboard", "make aspire-dashboard opens it with its token")):
        print(f"  {what:17} {where}")


def down(volumes):
    needed()
    # k6 is no service of compose, and holds the network of its target.
    left = subprocess.run(["docker", "ps", "--all", "--quiet", "--filter", "label=bookstore.role=k6",
                           "--filter", f"network={PROJECT}_load"], capture_output=True, text=True).stdout.split()
    if left:
        say(f"{len(left)} runs of k6 end with it")
        subprocess.run(["docker", "rm", "--force", "--volumes", *left], stdout=subprocess.DEVNULL)
    done = compose("--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else []))
    if done.returncode:
        fail("not everything is gone, see above")


def container(service):
    """Id of the service's container, running or not."""
    try:
        done = subprocess.run(["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}",
                               "--filter", f"label=com.docker.compose.service={service}"],
                              capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.split()), None)


def logs(service):
    lines = os.environ.get("TAIL") or "100"
    if not lines.isdigit():
        fail(f"TAIL is {lines!r}, which is no number of lines")
    follow = os.environ.get("FOLLOW") in ("1", "true", "yes")
    files = [RUN / f"{name}.log" for name in LOCAL if service in (None, name) and (RUN / f"{name}.log").exists()]
    # Of a process that lives, its log is what is asked for.
    alive = [file for file in files if file.with_suffix(".pid").exists()]
    if service is None and not alive:
        needed()
        return compose("--profile", "*", "logs", "--tail", lines, *(["--follow"] if follow else [])).returncode
    if alive or (service and not container(service) and files):
        return subprocess.call(["tail", "-n", lines, *(["-F"] if follow else []), *map(str, alive or files)])
    found = container(service)
    if not found:
        local = ", and `make run-services` no process" if service in LOCAL else ""
        fail(f"{service} has no log: `make up` started no container of it{local}")
    return subprocess.call(["docker", "logs", "--tail", lines, *(["--follow"] if follow else []), found])


def config():
    """Compose's own opinion of the file, for each profile and laid over for tests."""
    needed(daemon=False)
    told = environment() | {name: "none-but-long-enough" for name in dotenv.SECRETS}
    told.pop("COMPOSE_FILE", None)
    over = ["-f", "docker-compose.yml", "-f", ".make/compose.test.yml"]
    for files in ([], over):
        for profiles in PROFILES:
            told["COMPOSE_PROFILES"] = profiles
            done = compose(*files, "config", "--quiet", told=told, capture_output=True, text=True)
            if done.returncode or done.stderr.strip():
                fail(f"profile {profiles or 'none'}{' with .make/compose.test.yml' if files else ''}: {done.stderr.strip()}")
    say(f"docker-compose.yml holds together with profiles {', '.join(profile or 'none' for profile in PROFILES)}, "
        "and so with .make/compose.test.yml over it")


if __name__ == "__main__":
    try:
        match sys.argv[1:]:
            case ["up", *rest] if rest in ([], ["--lite"]):
                up(bool(rest))
            case ["down", *rest] if rest in ([], ["--volumes"]):
                down(bool(rest))
            case ["ps"]:
                needed()
                sys.exit(compose("--profile", "*", "ps", "--all").returncode)
            case ["images"]:
                images()
            case ["logs", *rest] if len(rest) < 2:
                sys.exit(logs(*rest or [None]))
            case ["config"]:
                config()
            case _:
                sys.exit(__doc__)
    except KeyboardInterrupt:
        sys.exit(130)
