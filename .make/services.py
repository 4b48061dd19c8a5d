#!/usr/bin/env python3
"""Starts and stops the services as local processes on embedded defaults, and runs scenarios against them.

    services.py start            both services, and the simulator where no Ollama answers
    services.py start --aspire   the same, their traces and log lines in the Aspire dashboard's container
    services.py stop             what `start` started
    services.py run SCENARIO     a fresh set of services, one load run, everything stopped again

Logs and data lie in .run/, which git ignores. Python's standard library only.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
RUN = ROOT / ".run"
PORTS = {"bookstore-api": 7002, "perf-service": 7004, "llm-simulator": 7006}
READY_SECONDS = 20
STOP_SECONDS = 15
ASPIRE_SECONDS = 60
# There while the Aspire dashboard's container is ours to stop.
ASPIRE = RUN / "aspire"
# The services are here: a proxy for the outside world has no part in it.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Who has nothing left after a first call: the scenario `ai` looks at what such a one is told.
TENANTS = {"version": 1, "tenants": [{"id": "load-test-spent", "tokensPerMinute": 1}]}
MODEL = os.environ.get("OLLAMA_MODEL", "llama3.2")


def say(text):
    print(text, file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"services: {text}")


def get(url, seconds=2):
    """Status and body; status 0 when nothing answers."""
    try:
        with DIRECT.open(url, timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except (OSError, ValueError):
        return 0, b""


def has_model(base_url):
    status, body = get(f"{base_url.rstrip('/')}/api/tags")
    try:
        names = [model["name"] for model in json.loads(body)["models"]]
    except (ValueError, KeyError, TypeError):
        return False
    return status == 200 and any(name in (MODEL, f"{MODEL}:latest") for name in names)


def binary(name):
    profile = os.environ.get("PROFILE", "release")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / ("debug" if profile == "dev" else profile) / name
    if not path.exists():
        fail(f"{path} is not there; `make build` makes it")
    return path


class Services:
    """Processes started here, by pid."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = {}
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, name, environment):
        port = PORTS[name]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                fail(f"port {port} is in use, {name} cannot have it: `make stop-services`, `make down` or stop who has "
                     "it; TARGET=compose runs against the containers of `make up`")
        log = self.folder / f"{name}.log"
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [binary(name)], stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=ROOT,
                # A process group of its own: Ctrl-C reaches this script alone, which stops them in order.
                start_new_session=True,
                env={**os.environ, "HTTP_PORT": str(port), "BIND_ADDRESS": "127.0.0.1", **environment},
            )
        self.processes[name] = process
        (self.folder / f"{name}.pid").write_text(str(process.pid))
        deadline = time.monotonic() + READY_SECONDS
        while get(f"http://127.0.0.1:{port}/health/ready")[0] != 200:
            if process.poll() is not None:
                fail(f"{name} stopped with exit code {process.returncode}: {tail(log)}")
            if time.monotonic() > deadline:
                fail(f"{name} was not ready within {READY_SECONDS} s: {tail(log)}")
            time.sleep(0.05)
        say(f"{name:15} http://127.0.0.1:{port}   log {log.relative_to(ROOT)}")

    def start_all(self, data, settings=None):
        if os.environ.get("LLM_PROVIDER", "ollama") != "ollama":
            say(f"LLM: {os.environ['LLM_PROVIDER']} answers, as LLM_PROVIDER says; provider=ollama is")
        given = os.environ.get("OLLAMA_BASE_URL")
        ollama = given or "http://127.0.0.1:11434"
        if has_model(ollama):
            say(f"LLM: the real Ollama at {ollama}, model {MODEL}")
        elif given:
            fail(f"OLLAMA_BASE_URL is {given}, but no Ollama with the model {MODEL} answers there: start it, "
                 f"`ollama pull {MODEL}`, or unset OLLAMA_BASE_URL for the simulator")
        else:
            say(f"LLM: the simulator (no Ollama with the model {MODEL} on 11434): answers are simulated, cost is zero")
            self.start("llm-simulator", {})
            ollama = f"http://127.0.0.1:{PORTS['llm-simulator']}"
        self.start("bookstore-api", {"DATA_DIR": str(data / "bookstore-api"), "OLLAMA_BASE_URL": ollama,
                                     "OLLAMA_MODEL": MODEL, **(settings or {})})
        self.start("perf-service", {"DATA_DIR": str(RUN / "perf-service")})

    def stop(self):
        for name, process in reversed(self.processes.items()):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                say(f"{name} did not stop within {STOP_SECONDS} s: killed")
                process.kill()
                process.wait()
            (self.folder / f"{name}.pid").unlink(missing_ok=True)


def tail(log):
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"{log} is empty"


def pid_of(name):
    """The pid that `start` or a broken-off `run` wrote, if that process is still ours."""
    found = (pid_in(file, name) for file in [RUN / f"{name}.pid", *RUN.glob(f"perf-*/{name}.pid")])
    return next(filter(None, found), None)


def pid_in(file, name):
    try:
        pid = int(file.read_text())
        command = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True).stdout
    except (OSError, ValueError):
        return None
    return pid if name in command else None


def start_aspire():
    """The Aspire dashboard by compose, and in the environment where it is and what it asks for."""
    # Only who wants a container needs them.
    import dotenv
    import stack

    stack.needed()
    dotenv.complete()
    say("the Aspire dashboard: fetched the first time")
    ASPIRE.parent.mkdir(parents=True, exist_ok=True)
    ASPIRE.touch()
    if stack.compose("up", "--detach", "--no-deps", "aspire-dashboard").returncode:
        fail("the Aspire dashboard does not start, see above; `make run-services` does without")
    deadline = time.monotonic() + ASPIRE_SECONDS
    while get("http://127.0.0.1:15888/login")[0] != 200:
        if time.monotonic() > deadline:
            fail(f"the Aspire dashboard does not answer within {ASPIRE_SECONDS} s: `make logs-aspire` says why")
        time.sleep(0.2)
    os.environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:18890", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-otlp-api-key={dotenv.value('ASPIRE_OTLP_API_KEY')}",
        "TRACE_UI_URL": "http://127.0.0.1:15888/traces/detail/{traceId}",
    }
    say("aspire          http://127.0.0.1:15888   `make aspire-dashboard` opens it with its token")


def stop_aspire():
    """The container that `start_aspire` started; whether there was one."""
    if not ASPIRE.exists():
        return False
    import stack

    stack.compose("rm", "--stop", "--force", "aspire-dashboard", capture_output=True)
    ASPIRE.unlink()
    say("stopped the Aspire dashboard")
    return True


def start(aspire=False):
    for name in PORTS:
        if pid_of(name):
            fail(f"{name} is running already (pid {pid_of(name)}); `make stop-services` stops it")
    services = Services(RUN)
    try:
        if aspire:
            start_aspire()
        services.start_all(RUN)
    except BaseException:
        services.stop()
        stop_aspire()
        raise
    say("Swagger: http://127.0.0.1:7002/swagger and http://127.0.0.1:7004/swagger; `make stop-services` stops all")


def stop():
    found = {name: pid_of(name) for name in reversed(PORTS)}
    for name, pid in found.items():
        if pid:
            os.kill(pid, signal.SIGTERM)
    for name, pid in found.items():
        deadline = time.monotonic() + STOP_SECONDS
        while pid and pid_of(name):
            if time.monotonic() > deadline:
                say(f"{name} did not stop within {STOP_SECONDS} s: killed")
                os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.05)
        if pid:
            say(f"stopped {name}")
        (RUN / f"{name}.pid").unlink(missing_ok=True)
    if not stop_aspire() and not any(found.values()):
        say("nothing to stop")


def run(scenario):
    """A stated starting state: a fresh store with the catalogue, an empty cache."""
    folder = RUN / f"perf-{scenario}"
    for name in PORTS:
        if pid_in(folder / f"{name}.pid", name):
            fail(f"{name} of an earlier run is still there; `make stop-services` stops it")
    shutil.rmtree(folder, ignore_errors=True)
    services = Services(folder)

    def stopped(number, _frame):
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stopped)
    # All of it is on loopback, where no token is needed.
    os.environ.pop("API_TOKEN", None)
    # Nor does a run cost anything: Ollama or the simulator answer it, whatever a shell is set up for. Who wants
    # to pay says so: PROVIDER=claude.
    for variable in ("LLM_PROVIDER", "LLM_FALLBACK", "EXPERIMENTS_FILE"):
        if os.environ.pop(variable, None):
            say(f"{variable} is left aside: a run asks Ollama or the simulator, or whom PROVIDER names")
    arguments = ["run", scenario]
    for option, variable in (("--duration", "DURATION"), ("--users", "USERS"), ("--provider", "PROVIDER"),
                             ("--max-p95-ms", "MAX_P95_MS"), ("--engine", "K6_ENGINE"), ("--rate", "RATE"),
                             ("--max-cost-usd", "MAX_COST_USD"), ("--seed", "SEED")):
        if os.environ.get(variable):
            arguments += [option, os.environ[variable]]
    environment = dict(os.environ)
    # The scenario's own variables go by option alone.
    for variable in ("DURATION", "USERS", "PROVIDER", "MAX_P95_MS", "RATE", "MAX_COST_USD", "SEED"):
        environment.pop(variable, None)
    environment["DATA_DIR"] = str(RUN / "perf-service")
    settings = {}
    # Whoever has tenants of their own keeps them.
    if not os.environ.get("TENANTS_FILE"):
        tenants = folder / "tenants.json"
        tenants.write_text(json.dumps(TENANTS))
        settings = {"TENANTS_FILE": str(tenants), "TRUSTED_PEERS": "127.0.0.1"}
    process = None
    try:
        services.start_all(folder, settings)
        process = subprocess.Popen([binary("perf-service"), *arguments], cwd=ROOT, env=environment,
                                   start_new_session=True)
        return process.wait()
    except KeyboardInterrupt:
        say("interrupted: stopping the run and the services")
        return 130
    finally:
        if process and process.poll() is None:
            process.terminate()
            process.wait()
        services.stop()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["start"]:
            start()
        case ["start", "--aspire"]:
            start(aspire=True)
        case ["stop"]:
            stop()
        case ["run", scenario]:
            sys.exit(run(scenario))
        case _:
            sys.exit(__doc__)
