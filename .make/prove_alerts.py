#!/usr/bin/env python3
"""Proves that alerts fire where they should, and nowhere else, against the real thing:

    prove_alerts.py [--only store,provider] [--scale 0.05]

Real Prometheus and Alertmanager with the project's own rules and routing, all times scaled down by the generator,
watch the real services under a light load. One fault after another is injected; the right alert has to reach a
webhook by its route and in its time, what follows from it has to fire and be held back, and it has to clear.

| fault | what is done | who has to be told |
|---|---|---|
| provider | the simulator answers every call with 500 | bookstore-page of ProviderFails |
| latency | the simulator lets every first token wait for 12 s | bookstore-ticket of LlmLatencyP95High |
| cache | a Redis of its own is killed | platform-ticket of CacheDown, and not of CacheErrors |
| store | a mongod of its own is killed, or the way to MongoDB is cut | platform-page of StoreDown, and not of ErrorRate… |
| service | bookstore-api is killed | platform-page of ServiceDown, and not of NoTraffic |
| traffic | nobody asks any more | bookstore-ticket of NoTraffic |

Needs prometheus, alertmanager and redis-server (PROMETHEUS_BIN, ALERTMANAGER_BIN, REDIS_SERVER_BIN, or on the path)
and for the store MONGOD_BIN, or MONGODB_URI with TOXIPROXY_URL in front of it. It ends what it started and nothing
else. Python's standard library only.
"""

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from servers import Failed, Process, Receiver, call, found, listens, told
from service import ROOT, Service, free_port

MONITORING = ROOT / "monitoring"
sys.path.insert(0, str(MONITORING / "prometheus"))

from times import Times, milliseconds  # noqa: E402

SCRAPE_SECONDS = 1
# Beside the scaled times: deadlines of the services and what this machine takes.
SLACK_SECONDS = 25
# Where the routing sends to unless somebody puts an address of their own there.
PLACEHOLDER = "http://127.0.0.1:9095"
TIMINGS = re.compile(r"\b(group_wait|group_interval|repeat_interval): (\d+[smh])\b")
SLOW_SECONDS = 12


def say(text):
    print(f"prove-alerts: {text}", flush=True)


class Webhook(Receiver):
    """Keeps what Alertmanager tells: when, whom, which alert, and whether it fires or is over."""

    def __init__(self):
        self.told, self.lock = [], threading.Lock()
        super().__init__()

    def take(self, path, _headers, body):
        receiver = path.strip("/").replace("/", "-")
        with self.lock:
            for alert in json.loads(body)["alerts"]:
                self.told.append((time.monotonic(), receiver, alert["labels"]["alertname"], alert["status"], alert))

    def since(self, start, status):
        """(alert, receiver) and when it was first told after `start`."""
        first = {}
        with self.lock:
            for at, receiver, name, state, _ in self.told:
                if at >= start and state == status:
                    first.setdefault((name, receiver), at)
        return first

    def badly_written(self):
        """Templates that could not be filled in."""
        with self.lock:
            return sorted({f"{name}: {text}" for _, _, name, _, alert in self.told for text in alert["annotations"].values()
                           if "error expanding" in text or "<no value>" in text or "%!" in text})


class Load:
    """A light load without pauses: lists, books and summaries, each at a rate of its own."""

    def __init__(self, api):
        self.api, self.on, self.ended = api, threading.Event(), threading.Event()
        self.books = [book["id"] for book in json.loads(told(f"{api}/api/v1/books?limit=100"))["items"]]
        self.statuses = collections.Counter()
        self.random = random.Random(1)
        self.on.set()
        for rate, ask in ((8, self.list), (8, self.book), (2, self.summary), (1, self.ready)):
            threading.Thread(target=self.clock, args=(rate, ask), daemon=True).start()

    def clock(self, rate, ask):
        """In threads of their own, so that what is slow does not become less."""
        under_way = threading.BoundedSemaphore(60)
        while not self.ended.wait(1 / rate):
            if (self.on.is_set() or ask == self.ready) and under_way.acquire(blocking=False):
                threading.Thread(target=self.one, args=(ask, under_way), daemon=True).start()

    def one(self, ask, under_way):
        try:
            self.statuses[ask.__name__, ask()] += 1
        finally:
            under_way.release()

    def list(self):
        return call(f"{self.api}/api/v1/books?limit=5&q=the")[0]

    def book(self):
        return call(f"{self.api}/api/v1/books/{self.random.choice(self.books)}")[0]

    def summary(self):
        book = self.random.choice(self.books)
        return call(f"{self.api}/api/v1/books/{book}/generate-summary?refresh=true", "POST", {}, seconds=60)[0]

    def ready(self):
        """What an orchestrator does; no reader, and counted as none."""
        return call(f"{self.api}/health/ready")[0]


class Store:
    """A MongoDB that can be killed: a mongod of our own, or a way to another one that can be cut."""

    def __init__(self, folder, stack):
        mongod, uri, toxiproxy = (os.environ.get(name) for name in ("MONGOD_BIN", "MONGODB_URI", "TOXIPROXY_URL"))
        database = f"alerts_{secrets.token_hex(4)}"
        self.process = self.proxy = None
        port = free_port()
        if mongod:
            data = folder / "mongod"
            data.mkdir()
            self.process = Process("mongod", folder, [mongod, "--dbpath", data, "--port", port, "--bind_ip", "127.0.0.1"],
                                   lambda: listens(port))
            stack.callback(self.process.stop)
        elif uri and toxiproxy:
            upstream = urllib.parse.urlsplit(uri)
            self.proxy = f"{toxiproxy.rstrip('/')}/proxies/{database}"
            told(f"{toxiproxy.rstrip('/')}/proxies", "POST", {
                "name": database, "listen": f"127.0.0.1:{port}", "enabled": True,
                "upstream": f"{upstream.hostname}:{upstream.port or 27017}",
            })
            stack.callback(call, self.proxy, "DELETE")
        else:
            sys.exit("prove-alerts: there is no store to be killed: set MONGOD_BIN, or MONGODB_URI and TOXIPROXY_URL")
        self.uri = f"mongodb://127.0.0.1:{port}/{database}?directConnection=true"

    def kill(self):
        if self.process:
            self.process.kill()
        else:
            told(self.proxy, "POST", {"enabled": False})

    def back(self):
        if self.process:
            self.process.start()
        else:
            told(self.proxy, "POST", {"enabled": True})


class World:
    """All of it, running."""

    def __init__(self, folder, stack, scale):
        self.folder, self.stack = folder, stack
        self.times, self.scale = Times(scale, SCRAPE_SECONDS), scale
        self.webhook = Webhook()
        self.store = Store(folder, stack)
        redis = free_port()
        self.redis = Process(
            "redis", folder, [found("redis-server", "REDIS_SERVER_BIN"), "--port", redis, "--bind", "127.0.0.1",
                              "--save", "", "--appendonly", "no", "--dir", folder], lambda: listens(redis))
        stack.callback(self.redis.stop)
        self.simulator = Service("llm-simulator", folder, {})
        stack.callback(self.simulator.stop)
        self.settings = {
            "MONGODB_URI": self.store.uri, "REDIS_URL": f"redis://127.0.0.1:{redis}", "LLM_PROVIDER": "ollama",
            "OLLAMA_BASE_URL": self.simulator.url, "LOG_ACCESS_EVERY": "100",
        }
        self.api = Service("bookstore-api", folder, self.settings)
        stack.callback(lambda: self.api.stop())
        self.alertmanager = self.start_alertmanager()
        self.prometheus = self.start_prometheus()
        self.load, self.begun = Load(self.api.url), time.monotonic()
        stack.callback(self.load.ended.set)

    def start_alertmanager(self):
        text = (MONITORING / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")
        if PLACEHOLDER not in text:
            raise Failed(f"alertmanager.yml no longer sends to {PLACEHOLDER}")
        text = text.replace(PLACEHOLDER, self.webhook.url)
        text = TIMINGS.sub(lambda match: f"{match[1]}: {self.times.wait(match[2])}", text)
        config, data, port = self.folder / "alertmanager.yml", self.folder / "alertmanager", free_port()
        config.write_text(text, encoding="utf-8")
        url = f"http://127.0.0.1:{port}"
        process = Process(
            "alertmanager", self.folder,
            [found("alertmanager", "ALERTMANAGER_BIN", "prometheus-alertmanager"), f"--config.file={config}",
             f"--storage.path={data}", f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
            lambda: call(f"{url}/-/ready", seconds=2)[0] == 200)
        self.stack.callback(process.stop)
        return url

    def start_prometheus(self):
        rules = self.folder / "rules"
        subprocess.run([sys.executable, MONITORING / "prometheus" / "generate_rules.py", "--scale", str(self.scale),
                        "--scrape-seconds", str(SCRAPE_SECONDS), "--out", rules], check=True)
        jobs = {"bookstore-api": self.api, "llm-simulator": self.simulator}
        # JSON is YAML.
        config = self.folder / "prometheus.yml"
        config.write_text(json.dumps({
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s",
                       "evaluation_interval": f"{SCRAPE_SECONDS}s"},
            "rule_files": [str(rules / "*.yml")],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [self.alertmanager.split("//")[1]]}]}]},
            "scrape_configs": [{"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{service.port}"]}]}
                               for name, service in jobs.items()],
        }), encoding="utf-8")
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        process = Process(
            "prometheus", self.folder,
            [found("prometheus", "PROMETHEUS_BIN"), f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
            lambda: call(f"{url}/-/ready", seconds=2)[0] == 200)
        self.stack.callback(process.stop)
        return url

    def firing(self):
        """Names of the alerts that fire in Prometheus, told of or not."""
        alerts = json.loads(told(f"{self.prometheus}/api/v1/alerts"))["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def seconds(self, *texts):
        """These times, scaled."""
        return sum(milliseconds(text) for text in texts) * self.scale / 1_000

    def faults(self, *rules):
        told(f"{self.simulator.url}/admin/faults", "PUT", {"rules": list(rules)})

    def crash(self):
        self.api.process.kill()
        self.api.process.wait()

    def revive(self):
        self.api = Service("bookstore-api", self.folder, self.settings, port=self.api.port)


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is done, who has to be told of what, and how long that may take: times in earnest, and seconds that do
    not scale."""

    inject: object
    recover: object
    alert: str
    receiver: str
    within: tuple
    clears: tuple
    fixed: float = 0
    # These have to fire in Prometheus, and nobody may be told of them.
    held: tuple = ()
    # Nobody may be told of these; whether they fire is all the same.
    never: tuple = ()
    # So long all has to have been well: budgets of a history that is shorter burn so fast that their page comes
    # first, and holds the ticket back.
    after: str = "0s"


# The time of each is the window that has to fill, the `for`, and the wait of its route.
FAULTS = {
    "provider": Fault(
        lambda world: world.faults({"kind": "server_error"}), lambda world: world.faults(),
        "ProviderFails", "bookstore-page", ("5m", "2m", "10s"), ("5m", "6m", "5m"), fixed=60,  # a breaker's longest pause
        never=("ProviderFailuresHigh", "StoreDown", "CacheDown", "ServiceDown", "LatencyP95High"),
    ),
    "latency": Fault(
        lambda world: world.faults({"kind": "slow_first_token", "seconds": SLOW_SECONDS}), lambda world: world.faults(),
        "LlmLatencyP95High", "bookstore-ticket", ("5m", "10m", "30s"), ("5m", "5m"), fixed=2 * SLOW_SECONDS,
        after="40m",
        never=("ProviderFails", "ErrorRateHigh", "ErrorRateVeryHigh", "LatencyP95High", "StoreDown"),
    ),
    "cache": Fault(
        lambda world: world.redis.kill(), lambda world: world.redis.start(),
        "CacheDown", "platform-ticket", ("30s", "30s"), ("6m", "5m"),
        held=("CacheErrors",), never=("StoreDown", "ErrorRateHigh", "ErrorRateVeryHigh", "ServiceDown"),
    ),
    "store": Fault(
        lambda world: world.store.kill(), lambda world: world.store.back(),
        "StoreDown", "platform-page", ("30s", "10s"), ("6m", "5m"),
        held=("ErrorRateHigh", "ErrorRateVeryHigh"), never=("ServiceDown", "CacheDown", "NoTraffic"),
    ),
    "service": Fault(
        lambda world: world.crash(), lambda world: world.revive(),
        "ServiceDown", "platform-page", ("1m", "10s"), ("6m", "5m"),
        never=("NoTraffic", "ErrorRateHigh", "ErrorRateVeryHigh", "StoreDown", "CacheDown", "LatencyP95High"),
    ),
    "traffic": Fault(
        lambda world: world.load.on.clear(), lambda world: world.load.on.set(),
        "NoTraffic", "bookstore-ticket", ("5m", "5m", "30s"), ("5m", "5m"), fixed=15,  # requests under way
        never=("ServiceDown", "ErrorRateHigh", "StoreDown", "CacheDown"),
    ),
}


def until(seconds, ready, what):
    """The answer of `ready` once it has one."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := ready():
            return answer
        if time.monotonic() > deadline:
            raise Failed(what() if callable(what) else what)
        time.sleep(0.2)


def calm(world):
    """Waits until what the faults are about does not fire. Tickets about burnt budgets last for hours."""
    about = {name for fault in FAULTS.values() for name in (fault.alert, *fault.held, *fault.never)}
    until(world.seconds("30m") + SLACK_SECONDS * 2, lambda: not about & world.firing(),
          lambda: f"{', '.join(sorted(about & world.firing()))} fire while nothing is wrong")


def prove(world, name, fault):
    calm(world)
    time.sleep(max(0, world.begun + world.seconds(fault.after) - time.monotonic()))
    start = time.monotonic()
    say(f"{name}: injected")
    fault.inject(world)
    may_take = world.seconds(*fault.within) + fault.fixed + SLACK_SECONDS
    wanted = (fault.alert, fault.receiver)
    try:
        at = until(may_take, lambda: world.webhook.since(start, "firing").get(wanted),
                   lambda: f"{name}: {fault.alert} did not reach {fault.receiver} within {may_take:.0f} s; fires: "
                           f"{sorted(world.firing())}; told: {sorted(world.webhook.since(start, 'firing'))}")
        seen = set()
        if fault.held:
            def held():
                seen.update(world.firing())
                return seen >= set(fault.held)

            until(world.seconds("15m") + SLACK_SECONDS, held,
                  lambda: f"{name}: {', '.join(sorted(set(fault.held) - seen))} did not fire, so nothing was held back")
            # Whoever were to be told of them would be by now.
            time.sleep(world.seconds("30s", "5m"))
    finally:
        recovered = time.monotonic()
        fault.recover(world)
    may_take = world.seconds(*fault.clears) + fault.fixed + SLACK_SECONDS
    over = until(may_take, lambda: world.webhook.since(recovered, "resolved").get(wanted),
                 lambda: f"{name}: {fault.alert} did not clear within {may_take:.0f} s; fires: {sorted(world.firing())}")
    told_of = {alert for alert, _ in world.webhook.since(start, "firing")}
    if wrong := sorted(told_of & {*fault.held, *fault.never}):
        raise Failed(f"{name}: somebody was told of {', '.join(wrong)}")
    others = sorted(told_of - {fault.alert})
    say(f"{name}: {fault.alert} reached {fault.receiver} after {at - start:.1f} s and cleared {over - recovered:.1f} s after it was over"
        + (f"; held back: {', '.join(fault.held)}" if fault.held else "") + (f"; also told: {', '.join(others)}" if others else ""))


def main():
    parser = argparse.ArgumentParser(description="Proves that alerts fire where they should, and nowhere else")
    parser.add_argument("--only", default=",".join(FAULTS), help=f"comma-separated: {', '.join(FAULTS)}")
    parser.add_argument("--scale", type=float, default=0.05, help="factor of all times")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := [name for name in names if name not in FAULTS]:
        parser.error(f"there is no fault {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    with tempfile.TemporaryDirectory(prefix="prove-alerts-") as folder, contextlib.ExitStack() as stack:
        world = None
        try:
            world = World(pathlib.Path(folder), stack, options.scale)
            # A rate over the shortest window, and traffic that could be missed.
            time.sleep(world.seconds("15m"))
            say(f"all is up, times are scaled by {options.scale:g}")
            for name in names:
                prove(world, name, FAULTS[name])
            if bad := world.webhook.badly_written():
                raise Failed(f"texts that could not be filled in: {'; '.join(bad)}")
        except Failed as failure:
            if world:
                say(f"answers by status: {dict(world.load.statuses)}")
            sys.exit(f"prove-alerts: {failure}")
    say(f"{len(names)} faults: each told of in its time, and cleared")


if __name__ == "__main__":
    main()
