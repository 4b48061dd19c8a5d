#!/usr/bin/env python3
"""All of the telemetry at work, and whether it tells the truth:

    observe.py [--duration 8] [--keep]

Real Prometheus (with the project's own file, scraping every second) and a real collector (with the project's own
file) watch the real services on MongoDB and Redis while the scenarios smoke, errors and ai run, the provider fails
for a while and Redis is killed and comes back. Then:

1. every query of every panel of the ten dashboards returns data (none is excused here, where all is set up);
2. requests, tokens and dollars, as differences of what Prometheus scraped, are those that k6 sent to it and those of
   the simulator: counts exactly, dollars to a billionth;
3. the slowest summary of a run, found by the trace id in its results, is read back from a real Jaeger: k6, API,
   cache, store, LLM and simulator under one id, each with its parent; its log lines from a real Loki by that id;
4. the same spans reached a second exporter, whose key is not the first one's;
5. tail sampling, with a share of none, keeps a slow request whole, keeps load runs', and drops a quick one.

`--keep` leaves all of it running until Ctrl-C, to be looked at. Needs prometheus, the collector, redis-server and
k6 (PROMETHEUS_BIN, OTELCOL_BIN, REDIS_SERVER_BIN and K6_BIN, or on the path), MONGODB_URI, JAEGER_QUERY_URL with
JAEGER_OTLP_GRPC, and LOKI_URL with LOKI_OTLP. It ends what it started and nothing else. Python's standard library only.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from reconcile import spans_of
from servers import Failed, Process, Receiver, call, found, listens, told
from service import ROOT, Service, free_port

MONITORING = ROOT / "monitoring"
MODEL = "llama3.2"
SPENT = {"version": 1, "tenants": [{"id": "load-test-spent", "tokensPerMinute": 1}]}
SPLIT = {"version": 1, "experiments": [{"name": "models", "sticky": "book", "share": 0.5, "arms": [
    {"name": "usual", "weight": 1, "provider": "ollama"}, {"name": "other", "weight": 1, "provider": "openai"}]}]}
# Longest that a run may take beside its measured load.
RUN_SECONDS = 120
ARRIVAL_SECONDS = 30
# Longer than what is slow on purpose takes, as it has to be in earnest.
DECISION_SECONDS, SLOW_SECONDS = 6, 3
TRACELOOP_KEY = "observe-traceloop-key"


def say(text):
    print(f"observe: {text}", flush=True)


def needed(*names):
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        sys.exit(f"observe: {', '.join(missing)} must be set: see the head of {pathlib.Path(__file__).name}")
    return [os.environ[name] for name in names]


class Traceloop(Receiver):
    """Takes spans as Traceloop does, and keeps the ids and whose key came with them."""

    def __init__(self):
        self.spans, self.keys, self.lock = set(), collections.Counter(), threading.Lock()
        super().__init__()

    def take(self, _path, headers, body):
        with self.lock:
            self.keys[headers.get("authorization", "")] += 1
            self.spans |= {trace for trace, _, _ in spans_of(body)}


class World:
    """All of it, running."""

    def __init__(self, folder, stack):
        mongodb, jaeger, self.jaeger_url, loki, self.loki_url = needed(
            "MONGODB_URI", "JAEGER_OTLP_GRPC", "JAEGER_QUERY_URL", "LOKI_OTLP", "LOKI_URL")
        self.folder, self.stack = folder, stack
        self.traceloop = Traceloop()
        self.ports = {name: free_port() for name in ("prometheus", "grpc", "http", "own", "spans", "health")}
        self.prometheus = f"http://127.0.0.1:{self.ports['prometheus']}"
        self.start_collector(jaeger, loki)
        redis = free_port()
        self.redis = Process(
            "redis", folder, [found("redis-server", "REDIS_SERVER_BIN"), "--port", redis, "--bind", "127.0.0.1",
                              "--save", "", "--appendonly", "no", "--dir", folder], lambda: listens(redis))
        stack.callback(self.redis.stop)
        telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.ports['http']}", "OTEL_BSP_SCHEDULE_DELAY": "500"}
        self.simulator = self.service("llm-simulator", {**telemetry, "SIM_PROFILE": "quick"})
        tenants, split = folder / "tenants.json", folder / "experiments.json"
        tenants.write_text(json.dumps(SPENT))
        split.write_text(json.dumps(SPLIT))
        base = mongodb.split("?", 1)[0].rstrip("/")
        host = re.match(r"mongodb://[^/]+", base)[0]
        query = f"?{mongodb.split('?', 1)[1]}" if "?" in mongodb else ""
        self.api = self.service("bookstore-api", {
            **telemetry, "MONGODB_URI": f"{host}/observe_{secrets.token_hex(4)}{query}",
            "REDIS_URL": f"redis://127.0.0.1:{redis}", "LLM_PROVIDER": "ollama", "OLLAMA_BASE_URL": self.simulator.url,
            "OLLAMA_MODEL": MODEL, "OPENAI_BASE_URL": f"{self.simulator.url}/v1", "OPENAI_API_KEY": "none-is-needed-here",
            "LLM_DAILY_BUDGET_USD": "25", "EXPERIMENTS_FILE": str(split), "TENANTS_FILE": str(tenants),
            "TRUSTED_PEERS": "127.0.0.1", "LOG_ACCESS_EVERY": "1",
            "TRACELOOP_BASE_URL": self.traceloop.url, "TRACELOOP_API_KEY": TRACELOOP_KEY,
            # The first exporter's; Traceloop must not see it.
            "OTEL_EXPORTER_OTLP_HEADERS": "x-observe=first",
        })
        self.perf = self.service("perf-service", {
            **telemetry, "TARGETS": f"local={self.api.url}", "K6_ENGINE": "local", "K6_BIN": found("k6", "K6_BIN"),
            "PROMETHEUS_REMOTE_WRITE_URL": f"{self.prometheus}/api/v1/write",
            "K6_PROMETHEUS_RW_PUSH_INTERVAL": "1s",
        })
        self.start_prometheus()

    def service(self, name, settings):
        service = Service(name, self.folder, settings)
        self.stack.callback(service.stop)
        return service

    def start_collector(self, jaeger, loki):
        """Its file as it is, but for the ports, which may be in use here."""
        text = (MONITORING / "otel-collector" / "config.yaml").read_text(encoding="utf-8")
        for name, port in (("grpc", 4317), ("http", 4318), ("spans", 8889), ("health", 13133)):
            text, count = re.subn(rf"(COLLECTOR_BIND:-0\.0\.0\.0\}}):{port}\b", rf"\g<1>:{self.ports[name]}", text)
            if count != 1:
                raise Failed(f"the collector's file no longer names port {port} once")
        text = text.replace("port: 8888", f"port: {self.ports['own']}")
        config = self.folder / "collector.yaml"
        config.write_text(text, encoding="utf-8")
        variables = {
            "COLLECTOR_BIND": "127.0.0.1", "TEMPO_OTLP_ENDPOINT": jaeger.split("//")[-1], "LOKI_OTLP_ENDPOINT": loki,
            # What is kept is kept for a reason: slow, failed, or of a load run.
            "TRACE_SHARE_PERCENT": "0", "TRACE_DECISION_WAIT": f"{DECISION_SECONDS}s",
            # Nobody is there: the others must not notice.
            "ASPIRE_OTLP_ENDPOINT": f"127.0.0.1:{free_port()}",
        }
        health = f"http://127.0.0.1:{self.ports['health']}/"
        collector = Process("collector", self.folder, [found("otelcol-contrib", "OTELCOL_BIN"), f"--config={config}"],
                            lambda: call(health, seconds=2)[0] == 200, variables)
        self.stack.callback(collector.stop)

    def start_prometheus(self):
        """Its file as it is, but for who is where and how often."""
        text = (MONITORING / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
        for place, port in (("bookstore-api:7002", self.api.port), ("perf-service:7004", self.perf.port),
                            ("llm-simulator:7006", self.simulator.port), ("otel-collector:8888", self.ports["own"]),
                            ("otel-collector:8889", self.ports["spans"]), ("localhost:9090", self.ports["prometheus"])):
            if place not in text:
                raise Failed(f"prometheus.yml no longer scrapes {place}")
            text = text.replace(place, f"127.0.0.1:{port}")
        text = re.sub(r"(scrape_interval|scrape_timeout|evaluation_interval): \d+s", r"\1: 1s", text)
        config = self.folder / "prometheus.yml"
        config.write_text(text, encoding="utf-8")
        subprocess.run([sys.executable, MONITORING / "prometheus" / "generate_rules.py", "--scale", "0.05",
                        "--scrape-seconds", "1", "--out", self.folder / "rules"], check=True)
        prometheus = Process(
            "prometheus", self.folder,
            [found("prometheus", "PROMETHEUS_BIN"), f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}", "--web.enable-remote-write-receiver",
             "--enable-feature=exemplar-storage", "--log.level=warn"],
            lambda: call(f"{self.prometheus}/-/ready", seconds=2)[0] == 200)
        self.stack.callback(prometheus.stop)

    def ask(self, query):
        """Values by their labels."""
        answer = told(f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in json.loads(answer)["data"]["result"]}

    def scraped_anew(self):
        """Waits until what is counted by now has been scraped from each."""
        now = time.time()
        until(ARRIVAL_SECONDS, lambda: all(at > now + 1 for at in self.ask("timestamp(up)").values()),
              "Prometheus scrapes no longer")

    def run(self, scenario, seconds, users=None):
        asked = {"scenario": scenario, "durationSeconds": seconds, "maxCostUsd": 5, **({"users": users} if users else {})}
        run = json.loads(told(f"{self.perf.url}/api/v1/runs", "POST", asked, (202,)))
        address = f"{self.perf.url}/api/v1/runs/{run['id']}"

        def ended():
            now = json.loads(told(address))
            return now if now["state"] in ("finished", "failed", "cancelled") else None

        run = until(seconds + RUN_SECONDS, ended, f"{scenario} did not end")
        say(f"{scenario}: {run['state']}, {run.get('outcome')}" + (f": {run['reason']}" if run.get("reason") else ""))
        if run["state"] != "finished":
            raise Failed(f"{scenario} ended as {run['state']}: {run.get('reason')}")
        return json.loads(told(f"{address}/summary"))


def until(seconds, ready, what):
    """The answer of `ready` once it has one."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := ready():
            return answer
        if time.monotonic() > deadline:
            raise Failed(what() if callable(what) else what)
        time.sleep(0.2)


def faults(world):
    """The provider fails, then Redis is gone, while somebody asks."""
    api, simulator = world.api.url, world.simulator.url
    books = [book["id"] for book in json.loads(told(f"{api}/api/v1/books?limit=20"))["items"]]
    ask = f"{api}/api/v1/books/%s/generate-summary?refresh=true&provider=%s"
    told(f"{simulator}/admin/faults", "PUT", {"rules": [{"kind": "server_error"}]})
    failed = sum(call(ask % (book, "openai"), "POST", {})[0] >= 500 for book in books[:12])
    told(f"{simulator}/admin/faults", "PUT", {"rules": []})
    world.redis.kill()
    until(10, lambda: call(f"{api}/health/ready")[0] and world.ask('bookstore_dependency_up{dependency="cache"} == 0'),
          "a cache that was killed is not told of")
    read = sum(call(f"{api}/api/v1/books/{book}")[0] == 200 for book in books)
    world.redis.start()
    until(20, lambda: call(f"{api}/health/ready")[0] and world.ask('bookstore_dependency_up{dependency="cache"} == 1'),
          "a cache that is back is not told of")
    say(f"faults: {failed} of 12 summaries failed while the provider did, {read} of {len(books)} books were read without Redis")
    if not failed or read != len(books):
        raise Failed("a provider that fails must show, and a cache that is gone must not")


def sampling(world):
    """Nobody said that these are of a load run: the slow one is kept, the quick one is not."""
    api = world.api.url
    book = json.loads(told(f"{api}/api/v1/books?limit=1"))["items"][0]["id"]
    slow, quick = secrets.token_hex(16), secrets.token_hex(16)

    def of(trace):
        return {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}

    told(f"{world.simulator.url}/admin/faults", "PUT", {"rules": [{"kind": "slow_first_token", "seconds": SLOW_SECONDS}]})
    status, _ = call(f"{api}/api/v1/books/{book}/generate-summary?refresh=true", "POST", {}, headers=of(slow))
    told(f"{world.simulator.url}/admin/faults", "PUT", {"rules": []})
    call(f"{api}/api/v1/books/{book}", headers=of(quick))
    if status != 200:
        raise Failed(f"a summary that takes {SLOW_SECONDS} s was answered with {status}")
    until(ARRIVAL_SECONDS, lambda: spans_at(world, slow), "tail sampling dropped a slow request")
    time.sleep(DECISION_SECONDS)
    spans = spans_at(world, slow)
    if not {("bookstore-api", "redis"), ("llm-simulator", "http")} <= {(service, part) for service, _, _, part in spans.values()}:
        raise Failed(f"a slow request is there in part only: {sorted({span[1] for span in spans.values()})}")
    if spans_at(world, quick):
        raise Failed("tail sampling kept a quick request, with a share of 0 %")
    say(f"tail sampling kept a request of {SLOW_SECONDS} s, {len(spans)} spans, and not the quick one beside it")


class Counters:
    """What Prometheus scraped, once before all runs and once after. Series that were not there before were at none."""

    REQUESTS = ('sum by (http_request_method, http_route, http_response_status_code) (http_server_request_duration_seconds_count'
                '{job="bookstore-api",http_route!~"/metrics|/health.*"})')
    TOKENS = "sum by (gen_ai_token_type) (gen_ai_client_token_usage_sum)"
    SIMULATED = "sum by (type) (simulator_tokens_total)"
    DOLLARS = "sum by (kind) (bookstore_llm_cost_usd_total)"

    def __init__(self, world):
        world.scraped_anew()
        self.values = {query: world.ask(query) for query in (self.REQUESTS, self.TOKENS, self.SIMULATED, self.DOLLARS)}

    def since(self, before, query):
        was = before.values[query]
        grown = {key: value - was.get(key, 0) for key, value in self.values[query].items()}
        return {key: value for key, value in grown.items() if value}


def by(values, *names, digits=0):
    """As a plain table: the values of these labels, and the number, rounded where floats were added up."""
    table = collections.Counter()
    for labels, value in values.items():
        labels = dict(labels)
        table[tuple(labels.get(name, "") for name in names)] += value
    return {key: round(value, digits) for key, value in table.items() if round(value, digits)}


def reconcile(world, before, after):
    """k6's own counters came by remote write; its series end with its run."""
    def k6(metric, labels, selector=""):
        return world.ask(f"sum by ({labels}) (last_over_time(k6_{metric}_total{{{selector}}}[15m]))")

    requests = by(k6("http_reqs", "name, status"), "name", "status")
    served = collections.Counter()
    for (method, route, status), value in by(after.since(before, Counters.REQUESTS), "http_request_method", "http_route",
                                             "http_response_status_code").items():
        served[f"{method} {route}", status] += value
    simulated = by(after.since(before, Counters.SIMULATED), "type")
    measured = by(after.since(before, Counters.TOKENS), "gen_ai_token_type")
    tokens = {}
    for kind in ("input", "output"):
        tokens |= {(kind,): sum(by(k6(f"llm_{kind}_tokens", "usage", 'usage="reported"'), "usage").values())}
    spent = by(after.since(before, Counters.DOLLARS), "kind", digits=9)
    dollars = {}
    for kind, metric in (("billed", "llm_cost_usd"), ("list", "llm_list_cost_usd")):
        if value := sum(by(k6(metric, "provider"), "provider", digits=12).values()):
            dollars[kind,] = round(value, 9)
    for (name, status), count in sorted(served.items()):
        print(f"  {requests.get((name, status), 0):>6g} {count:>6g}  {status} {name}")
    wrong = []
    for what, ours, theirs in (("requests by k6 and by bookstore-api", requests, dict(served)),
                               ("tokens by k6 and by bookstore-api", tokens, measured),
                               ("tokens by k6 and by llm-simulator", tokens, simulated),
                               ("dollars by k6 and by bookstore-api", dollars, spent)):
        differ = {key: (ours.get(key, 0), theirs.get(key, 0)) for key in sorted(ours.keys() | theirs.keys())
                  if ours.get(key, 0) != theirs.get(key, 0)}
        say(f"{what}: " + (f"differ: {differ}" if differ else f"{len(ours)} figures, {sum(ours.values()):.12g} in all, the same"))
        if differ or not any(ours.values()):
            wrong.append(what)
    if wrong:
        raise Failed(f"the numbers do not agree: {'; '.join(wrong)}")


def spans_at(world, trace):
    """Spans by id: (service, name, id of the parent, what it is a part of)."""
    status, body = call(f"{world.jaeger_url}/api/traces/{trace}")
    if status != 200:
        return {}
    spans = {}
    for one in json.loads(body)["data"]:
        for span in one["spans"]:
            service = one["processes"][span["processID"]]["serviceName"]
            parents = [reference["spanID"] for reference in span["references"] if reference["refType"] == "CHILD_OF"]
            tags = {tag["key"]: tag["value"] for tag in span["tags"]}
            part = tags.get("db.system.name") or tags.get("gen_ai.operation.name") or "http"
            spans[span["spanID"]] = (service, span["operationName"], parents[0] if parents else None, part)
    return spans


# Who has to be in the trace of a summary that an LLM wrote.
PLACES = {("k6", "http"), ("bookstore-api", "http"), ("bookstore-api", "redis"), ("bookstore-api", "mongodb"),
          ("bookstore-api", "chat"), ("llm-simulator", "http")}


def trace(world, results):
    """The slowest summary of a run that an LLM was asked for."""
    slow = [one for one in results["slowest"] if one["name"].endswith("/generate-summary") and one["status"] == 200]
    if not slow:
        raise Failed(f"no summary is among the slowest of ai: {[one['name'] for one in results['slowest']]}")
    tried = {}

    def whole():
        for one in slow:
            tried[one["traceId"]] = spans = spans_at(world, one["traceId"])
            if PLACES <= {(service, part) for service, _, _, part in spans.values()}:
                return one["traceId"], spans
        return None

    def told_of():
        trace, spans = max(tried.items(), key=lambda item: len(item[1]))
        return f"Jaeger has no whole trace; {trace} has {sorted({span[1:] for span in spans.values()}, key=str)}"

    trace, spans = until(ARRIVAL_SECONDS, whole, told_of)
    roots = [span for span in spans.values() if span[2] is None]
    orphans = [span for span in spans.values() if span[2] is not None and span[2] not in spans]
    if orphans or [root[0] for root in roots] != ["k6"]:
        raise Failed(f"trace {trace}: roots {roots}, spans whose parent is not there: {orphans}")

    def line(span):
        """From the root to it."""
        service, name, parent, _ = spans[span]
        return [*(line(parent) if parent else []), f"{service}: {name}"]

    deepest = max((line(span) for span, (service, *_) in spans.items() if service == "llm-simulator"), key=len)
    services = [step.split(":")[0] for step in deepest]
    if services[0] != "k6" or "bookstore-api" not in services:
        raise Failed(f"trace {trace}: the simulator's span hangs from {deepest}")
    say(f"trace {trace}: {len(spans)} spans; {' → '.join(deepest)}")

    query = urllib.parse.urlencode({"query": f'{{service_name="bookstore-api"}} | trace_id="{trace}"',
                                    "start": int((time.time() - 900) * 1e9), "limit": 100})

    def lines():
        status, body = call(f"{world.loki_url}/loki/api/v1/query_range?{query}")
        streams = json.loads(body)["data"]["result"] if status == 200 else []
        return [value[1] for stream in streams for value in stream["values"]]

    logged = until(ARRIVAL_SECONDS, lines, f"Loki has no line with the trace id {trace}")
    say(f"Loki has {len(logged)} lines of that trace, such as {logged[0][:100]!r}")
    with world.traceloop.lock:
        there, keys = trace in world.traceloop.spans, dict(world.traceloop.keys)
    if not there or set(keys) != {f"Bearer {TRACELOOP_KEY}"}:
        raise Failed(f"the second exporter {'has' if there else 'has not'} got the trace; keys that came with spans: {sorted(keys)}")
    say(f"the second exporter has got the same trace, in {sum(keys.values())} exports with its own key")


def panels(world, began):
    shown = int(time.time() - began) + 5
    done = subprocess.run([sys.executable, ROOT / ".make" / "panel_queries.py", "--data", "--strict", "--window", "10s", "--range", str(shown)],
                          env={**os.environ, "PROMETHEUS_URL": world.prometheus})
    if done.returncode:
        raise Failed("panels without data")


def main():
    parser = argparse.ArgumentParser(description="All of the telemetry at work, and whether it tells the truth")
    parser.add_argument("--duration", type=int, default=8, help="seconds of measured load a run")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C")
    options = parser.parse_args()
    began = time.time()
    wrong = []
    with tempfile.TemporaryDirectory(prefix="observe-") as folder, contextlib.ExitStack() as stack:
        try:
            world = World(pathlib.Path(folder), stack)
            say(f"all is up: Prometheus {world.prometheus}, bookstore-api {world.api.url}")
            before = Counters(world)
            results = [world.run(scenario, options.duration) for scenario in ("smoke", "errors", "ai")]
            after = Counters(world)
            for check in (lambda: reconcile(world, before, after), lambda: trace(world, results[-1]), lambda: sampling(world), lambda: faults(world),
                          lambda: panels(world, began)):
                try:
                    check()
                except Failed as failure:
                    say(f"FAILED: {failure}")
                    wrong.append(str(failure))
            if options.keep:
                say("kept until Ctrl-C")
                with contextlib.suppress(KeyboardInterrupt):
                    threading.Event().wait()
        except Failed as failure:
            wrong.append(str(failure))
    if wrong:
        sys.exit("observe: " + "; ".join(wrong))
    say("panels have data, numbers agree, traces and log lines arrive")


if __name__ == "__main__":
    main()
