#!/usr/bin/env python3
"""Whether docker-compose.yml is what it says, and whether it really comes up:

    compose_check.py [--static] [--stand-ins] [--host-network] [--duration 8] [--keep]

First the file alone: every profile holds together; ports on loopback, nobody root, nothing writable, no capability,
bounds for each; Docker's socket in docker-gate alone; images pinned; every setting of the services handed to them.
With --static that is all.

Then bookstore-api, perf-service, docker-gate, llm-simulator, Redis, MongoDB, Prometheus and Alertmanager come up by
`docker compose up --wait` as a project of their own. A book is summarised; a smoke run is started through the API,
whose k6 runs in a container through the gate; Prometheus must hold its metrics and watch the services; an alert must
reach a webhook; each container is looked at from outside (/proc) for its user, its root and its capabilities. Then
`down -v`, after which nothing may be left.

--host-network lays .make/compose.test.yml over it: all on this machine's loopback. --stand-ins builds local images
under the pinned names first, where no registry can be reached, and implies it; .make/stand_ins.py says from what:
redis-server, prometheus, alertmanager and java on the path or by REDIS_SERVER_BIN and its like, MONGO_STAND_IN, and
binaries of `make build`. K6's image is grafana/k6, or K6_IMAGE. --keep leaves it up. Python's standard library only.
"""

import argparse
import json
import os
import pathlib
import re
import secrets
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

import dotenv
import stack
import stand_ins
from servers import Failed, Receiver, call, listens, told
from service import ROOT
from stack_run import PerfService

PROJECT = "bookstore-check"
STARTED = ("bookstore-api", "perf-service", "docker-gate", "llm-simulator", "redis", "mongo", "prometheus", "alertmanager")
# Where they listen, in either network.
PORTS = {"bookstore-api": (7002, 7001), "perf-service": (7004, 7003), "llm-simulator": (7006,), "redis": (6379,),
         "mongo": (27017,), "prometheus": (9090,), "alertmanager": (9093,)}
UP_SECONDS, RUN_SECONDS, SCRAPE_SECONDS, ALERT_SECONDS = 240, 180, 60, 60
# Their images have neither shell nor client: nothing in them can ask whether they live.
WITHOUT_HEALTH = {"otel-collector", "aspire-dashboard", "ollama-model"}
# Settings that are not for a container, or that compose decides itself.
NOT_HANDED_ON = {
    "bookstore-api": {"TLS_CERT_FILE", "TLS_KEY_FILE"},
    "llm-simulator": set(),
    "perf-service": {"TLS_CERT_FILE", "TLS_KEY_FILE", "K6_BIN", "DOCKER_HOST", "DOCKER_GATE_TOKEN", "REDIS_URL", "HOME", "PATH"},
}


def say(text):
    print(f"compose-check: {text}", file=sys.stderr, flush=True)


def until(seconds, ready, what):
    """The answer of `ready` once it has one."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := ready():
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"{what} within {seconds} s")
        time.sleep(0.5)


def settings(crate):
    """Names that a crate's settings read from the environment."""
    source = ROOT / "crates" / crate / "src"
    files = [source / "settings.rs", *sorted((source / "settings").glob("*.rs"))]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists() and file.stem != "tests")
    return set(re.findall(r'\b(?:env = |(?:std::env::var(?:_os)?|secret|variable)\()"([A-Z][A-Z0-9_]+)"', text))


class Project:
    """docker-compose.yml with settings of its own and no part in what else runs here."""

    def __init__(self, folder, options):
        self.options, self.folder, self.runs = options, folder, []
        self.token = secrets.token_hex(24)
        # Compose would take .env otherwise.
        self.file = folder / "check.env"
        self.file.write_text("")
        path = dotenv.socket()
        self.environment = {name: value for name, value in os.environ.items()
                            if name in ("PATH", "HOME", "TMPDIR") or name.startswith(("DOCKER_", "XDG_"))}
        self.environment |= {name: secrets.token_hex(24) for name in dotenv.SECRETS}
        self.environment |= {
            "API_TOKEN": self.token, "COMPOSE_PROFILES": "lite", "OLLAMA_BASE_URL": "http://llm-simulator:7006",
            "DOCKER_SOCKET": path, "DOCKER_GID": str(dotenv.group(path)),
            # There is no collector here.
            "OTEL_EXPORTER_OTLP_ENDPOINT": "", "LLM_PROVIDER": "ollama",
        }
        if os.environ.get("K6_IMAGE"):
            self.environment["K6_IMAGE"] = os.environ["K6_IMAGE"]
        if options.stand_ins:
            self.environment |= {stack.IMAGES[name]: image for name, image in stand_ins.OURS.items()}

    def compose(self, *arguments, profiles=None, alone=False, **options):
        files = ["--file", "docker-compose.yml"]
        if self.options.host_network and not alone:
            files += ["--file", ".make/compose.test.yml"]
        told = {**self.environment, **({"COMPOSE_PROFILES": profiles} if profiles is not None else {})}
        command = ["docker", "compose", "--project-name", PROJECT, "--project-directory", str(ROOT),
                   "--env-file", str(self.file), *files, *arguments]
        return subprocess.run(command, cwd=ROOT, env=told, **options)

    def config(self, profiles):
        """The file alone, as compose reads it."""
        done = self.compose("config", "--format", "json", profiles=profiles, alone=True, capture_output=True, text=True)
        if done.returncode or done.stderr.strip():
            raise Failed(f"profile {profiles or 'none'}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def containers(self):
        """Container by service, as Docker inspects them."""
        ids = stand_ins.docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
        found = json.loads(stand_ins.docker("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def up(self):
        pull = ["--pull", "never"] if self.options.stand_ins else []
        done = self.compose("up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS), "--no-build", *pull, *STARTED)
        if done.returncode:
            self.explain()
            raise Failed(f"`docker compose up --wait` exited with {done.returncode}")

    def explain(self):
        """What somebody would look at first."""
        self.compose("ps", "--all")
        self.compose("logs", "--tail", "20")
        for service, one in self.containers().items():
            log = (one["State"].get("Health") or {}).get("Log") or []
            if log and one["State"]["Health"]["Status"] != "healthy":
                say(f"health of {service}: {log[-1]['Output'].strip()[-500:]}")

    def down(self):
        # k6 is no service of compose; one that is at work still belongs to a run of ours.
        for run in self.runs:
            for left in stand_ins.docker("ps", "--all", "--quiet", "--filter", f"label=bookstore.run={run}").split():
                stand_ins.docker("rm", "--force", "--volumes", left)
        return self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "15").returncode


def check_file(project):
    """What can be said of the file without starting anything."""
    stack.config()
    wrong = []
    whole = project.config("full,servers")
    handed = {name: set(service.get("environment") or {}) for name, service in whole["services"].items()}
    handed["perf-service"] |= handed["docker-gate"]
    for name, service in whole["services"].items():
        def amiss(what, name=name):
            wrong.append(f"{name} {what}")

        ports = service.get("ports") or []
        if any(port.get("host_ip") != "127.0.0.1" for port in ports):
            amiss("publishes a port elsewhere than on loopback")
        user = str(service.get("user", "")).split(":")[0]
        if user in ("", "0", "root"):
            amiss("is root")
        if not service.get("read_only"):
            amiss("can write to its root file system")
        if service.get("cap_drop") != ["ALL"] or service.get("cap_add") or service.get("privileged"):
            amiss("has capabilities")
        if "no-new-privileges:true" not in (service.get("security_opt") or []):
            amiss("may gain privileges")
        for bound in ("mem_limit", "cpus", "pids_limit"):
            if not service.get(bound):
                amiss(f"has no {bound}")
        if not service.get("healthcheck") and name not in WITHOUT_HEALTH:
            amiss("has no health check")
        sockets = [mount for mount in service.get("volumes") or [] if mount["target"].endswith("docker.sock")]
        if bool(sockets) != (name == "docker-gate"):
            amiss("and Docker's socket: docker-gate alone has it")
        image = service.get("image", "")
        tag = image.split("@")[0].rsplit("/", 1)[-1].partition(":")[2]
        built = any(other.get("build") and other.get("image") == image for other in whole["services"].values())
        if not tag or tag == "latest" or (not built and not re.search(r"\d+\.\d+", tag)):
            amiss(f"has an image that is not pinned: {image!r}")
    for crate, left in NOT_HANDED_ON.items():
        names = settings(crate)
        if len(names) < 10:
            wrong.append(f"only {len(names)} settings were found in the sources of {crate}")
        if missing := sorted(names - left - handed[crate]):
            wrong.append(f"{crate} is not handed {', '.join(missing)}")
    if not set(stack.FULL) <= set(whole["services"]) or set(stack.FULL) & set(project.config("lite")["services"]):
        wrong.append(f"{', '.join(stack.FULL)} belong to the profile full, and not to lite")
    for line in wrong:
        say(line)
    if wrong:
        raise Failed(f"{len(wrong)} mistakes in docker-compose.yml")
    say(f"{len(whole['services'])} services: hardened, bounded, pinned, on loopback; every setting is handed on")


def status_of(pid):
    """What the kernel says of a process."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def root_options(pid):
    """How its root is mounted."""
    for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        if fields[4] == "/":
            return fields[5].split(",")
    return []


def check_container(name, one):
    """Docker's word, and the kernel's where the daemon is on this machine."""
    host, wrong = one["HostConfig"], []
    if one["Config"]["User"].split(":")[0] in ("", "0", "root"):
        wrong.append("is root")
    if not host["ReadonlyRootfs"]:
        wrong.append("can write to its root")
    if [name.upper() for name in host["CapDrop"] or []] != ["ALL"] or host["CapAdd"] or host["Privileged"]:
        wrong.append("has capabilities")
    if not any(option.startswith("no-new-privileges") for option in host["SecurityOpt"] or []):
        wrong.append("may gain privileges")
    if not host["Memory"] or not host["NanoCpus"] or not host["PidsLimit"]:
        wrong.append("is not bounded")
    sockets = [mount for mount in one["Mounts"] if mount["Destination"].endswith("docker.sock")]
    if bool(sockets) != (name == "docker-gate"):
        wrong.append("and Docker's socket")
    pid, seen = one["State"]["Pid"], False
    if pid and pathlib.Path(f"/proc/{pid}/status").exists():
        try:
            kernel, seen = status_of(pid), True
            if "0" in kernel["Uid"].split():
                wrong.append(f"runs as {kernel['Uid']}")
            for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                if int(kernel[kind], 16):
                    wrong.append(f"has {kind} {kernel[kind]}")
            if kernel.get("NoNewPrivs", "1").strip() != "1":
                wrong.append("may gain privileges, says the kernel")
            if "ro" not in root_options(pid):
                wrong.append("has a root that is not mounted read-only")
        except (OSError, PermissionError):
            # It has ended just now, or is another user's.
            seen = False
    if wrong:
        raise Failed(f"the container of {name} {', '.join(wrong)}")
    return seen


def check_containers(project):
    found = project.containers()
    if set(found) != set(STARTED):
        raise Failed(f"there are containers of {sorted(found)}, not of {sorted(STARTED)}")
    for name, one in found.items():
        health = (one["State"].get("Health") or {}).get("Status")
        if one["State"]["Status"] != "running" or health != "healthy":
            raise Failed(f"{name} is {one['State']['Status']}, {health or 'without a health check'}")
        if one["RestartCount"]:
            raise Failed(f"{name} was restarted {one['RestartCount']} times")
    seen = sum(check_container(name, one) for name, one in found.items())
    say(f"{len(found)} containers: healthy, not root, read-only, without capabilities; {seen} of them by the kernel's word")


class Hook(Receiver):
    """Takes what Alertmanager sends."""

    def __init__(self):
        self.heard = []
        super().__init__()
        self.url += "/hook"

    def take(self, path, _headers, body):
        self.heard.append((path, body))


def check_summary(project):
    """A book is found and summarised, by a simulator that says so; without the token nothing is written."""
    api, headers = "http://127.0.0.1:7002", {"authorization": f"Bearer {project.token}"}
    book = json.loads(told(f"{api}/api/v1/Books?q=moby%20di"))["items"][0]
    path = f"{api}/api/v1/Books/{book['id']}/generate-summary"
    status, _ = call(path, "POST", {})
    if status != 401:
        raise Failed(f"a summary without the token was answered with {status}")
    status, body = call(path, "POST", {}, headers=headers)
    if status != 200 or json.loads(body).get("simulated") is not True:
        raise Failed(f"a summary was answered with {status}: {body[:300]!r}")
    again = json.loads(call(path, "POST", {}, headers=headers)[1])
    if again.get("cached") is not True or again["usage"]["inputTokens"]:
        raise Failed(f"the second summary was no cached one: {json.dumps(again)[:300]}")
    for port in (7001, 7003):
        # Its certificate is its own.
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=unchecked))
        with opener.open(f"https://127.0.0.1:{port}/health/live", timeout=10) as answer:
            if answer.status != 200:
                raise Failed(f"HTTPS on {port} answered {answer.status}")
    say(f"{book['title']}: summarised by the simulator, then cached; HTTPS answers")


def check_run(project, seconds):
    """A smoke run through the API, k6 through the gate."""
    service = PerfService("http://127.0.0.1:7004", project.token)
    run = service.start({"scenario": "smoke", "target": "compose", "durationSeconds": seconds})
    number = run["id"]
    project.runs.append(number)
    seen = []

    def look(_moment):
        if seen:
            return
        ids = stand_ins.docker("ps", "--quiet", "--filter", f"label=bookstore.run={number}").split()
        if ids:
            one = json.loads(stand_ins.docker("inspect", ids[0]))[0]
            check_container("k6", one)
            if any(mount.get("Type") == "bind" for mount in one["Mounts"]):
                raise Failed("k6's container has a folder of this machine")
            seen.append(one)

    run = service.follow(number, look, seconds + RUN_SECONDS)
    if run["state"] != "finished" or run["outcome"] == "failed" or not run.get("summary"):
        log = call(f"{service.url}/api/v1/runs/{number}/log")[1][-1500:].decode(errors="replace")
        raise Failed(f"the run is {run['state']}, {run.get('outcome')}: {run.get('reason')}\n{log}")
    if not seen:
        raise Failed("no container of k6 was seen while the run went on")
    if run["engine"] != "docker":
        raise Failed(f"the run's engine is {run['engine']}")
    left = stand_ins.docker("ps", "--all", "--quiet", "--filter", f"label=bookstore.run={number}")
    if left:
        raise Failed(f"the run has ended and its container {left} is there")
    if call(f"{service.url}/api/v1/runs/{number}/report")[0] != 200:
        raise Failed("the run has no report")
    because = f": {run['reason']}" if run.get("reason") else ""
    say(f"smoke: {run['outcome']}{because}, {run['summary']['requests']} requests by k6 in the container {seen[0]['Name'][1:]}")
    return run


def ask(query):
    answer = told(f"http://127.0.0.1:9090/api/v1/query?{urllib.parse.urlencode({'query': query})}")
    return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in json.loads(answer)["data"]["result"]}


def check_prometheus(run):
    """It watches the services, holds the run's own metrics, has its rules and whom to tell."""
    total = f'sum(last_over_time(k6_http_reqs_total{{run="{run["id"]}",scenario="smoke",target="compose"}}[15m]))'

    def whole():
        found = next(iter(ask(total).values()), 0)
        # Warm-up is in it and not in the summary.
        return found if found >= run["summary"]["requests"] else None

    requests = until(SCRAPE_SECONDS, whole, f"Prometheus does not hold the {run['summary']['requests']} requests of the run")
    watched = {"alertmanager", "bookstore-api", "llm-simulator", "perf-service", "prometheus"}
    until(SCRAPE_SECONDS, lambda: watched <= {dict(labels)["job"] for labels, up in ask("up").items() if up == 1},
          f"Prometheus does not reach all of {', '.join(sorted(watched))}")
    until(SCRAPE_SECONDS, lambda: ask('perf_runs_total{scenario="smoke"} > 0'), "Prometheus has not scraped the run's count")
    served = ask('sum(http_server_request_duration_seconds_count{job="bookstore-api",http_route!~"/metrics|/health.*"})')
    groups = json.loads(told("http://127.0.0.1:9090/api/v1/rules"))["data"]["groups"]
    managers = json.loads(told("http://127.0.0.1:9090/api/v1/alertmanagers"))["data"]["activeAlertmanagers"]
    sick = [rule["name"] for group in groups for rule in group["rules"] if rule.get("health") == "err"]
    if not groups or not managers or sick:
        raise Failed(f"{len(groups)} groups of rules, {len(managers)} Alertmanagers, rules with errors: {sick}")
    say(f"Prometheus: {requests:g} requests of the run by remote write, {next(iter(served.values()), 0):g} served by its target; "
        f"{len(groups)} groups of rules")


def check_alert(hook):
    """What Alertmanager is given reaches the webhook that ALERT_WEBHOOK_URL names."""
    alert = {"labels": {"alertname": "ComposeCheck", "severity": "critical", "team": "bookstore", "job": "compose-check",
                        "family": "compose-check"}, "annotations": {"summary": "nothing is wrong"}}
    told("http://127.0.0.1:9093/api/v2/alerts", "POST", [alert])
    until(ALERT_SECONDS, lambda: [path for path, body in hook.heard if b"ComposeCheck" in body],
          "an alert does not reach the webhook")
    path = next(path for path, body in hook.heard if b"ComposeCheck" in body)
    if path != "/hook/bookstore/page":
        raise Failed(f"the alert went to {path}")
    say(f"an alert reached the webhook at {path}")


def check_nothing_left():
    left = []
    for kind, arguments in (("container", ("ps", "--all")), ("volume", ("volume", "ls")), ("network", ("network", "ls"))):
        found = stand_ins.docker(*arguments, "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
        left += [f"{kind} {one}" for one in found]
    left += [f"port {port} of {name}" for name, ports in PORTS.items() for port in ports if listens(port)]
    if left:
        raise Failed(f"after `down --volumes` there is still: {', '.join(left)}")
    say("nothing is left")


def check_running(project, options):
    taken = [f"{port} ({name})" for name, ports in PORTS.items() for port in ports if listens(port)]
    if taken:
        raise Failed(f"ports are taken: {', '.join(taken)}; `make stop-services`, `make down`, or stop who has them")
    hook = Hook() if options.host_network else None
    if hook:
        project.environment["ALERTMANAGER_CONFIG"] = str(stack.routes(hook.url, project.folder / "routes"))
    began = time.monotonic()
    if options.stand_ins:
        for name, make in stand_ins.PARTS.items():
            say(f"stand-in for {name}")
            make(project.folder / "images")
        say(f"stand-ins are built, {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    clean = True
    try:
        project.up()
        say(f"`docker compose up --wait`: {len(STARTED)} services, {time.monotonic() - began:.0f} s")
        check_containers(project)
        check_summary(project)
        run = check_run(project, options.duration)
        check_prometheus(run)
        if hook:
            check_alert(hook)
        # Nothing of it may have been restarted meanwhile.
        check_containers(project)
        if options.keep:
            say(f"kept until Ctrl-C; then it is taken down. API_TOKEN={project.token}")
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                pass
    except Failed:
        project.explain()
        raise
    finally:
        clean = project.down() == 0
    if not clean:
        raise Failed("`docker compose down --volumes` failed")
    check_nothing_left()


def main():
    parser = argparse.ArgumentParser(description="Whether docker-compose.yml is what it says, and really comes up")
    parser.add_argument("--static", action="store_true", help="look at the file only")
    parser.add_argument("--stand-ins", action="store_true", help="build local images under the pinned names")
    parser.add_argument("--host-network", action="store_true", help="all on this machine's loopback")
    parser.add_argument("--duration", type=int, default=8, help="seconds of measured load")
    parser.add_argument("--keep", action="store_true", help="leave it up until Ctrl-C")
    options = parser.parse_args()
    options.host_network |= options.stand_ins
    with tempfile.TemporaryDirectory(prefix="compose-check-") as folder:
        project = Project(pathlib.Path(folder), options)
        try:
            check_file(project)
            if not options.static:
                try:
                    check_running(project, options)
                finally:
                    if options.stand_ins:
                        say(f"removed {len(stand_ins.remove())} stand-ins")
        except Failed as failure:
            sys.exit(f"compose-check: {failure}")
        except KeyboardInterrupt:
            sys.exit(130)


if __name__ == "__main__":
    main()
