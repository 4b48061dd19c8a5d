"""Tokens, counted in five places that share no code, must be the same to the token:

    reconcile.py [--calls 100] [--seed 1]

A simulator answers all four providers' protocols, with faults; a recorder in front of it writes down what was
reported on the wire; bookstore-api makes retries and falls back, and some of its callers leave in the middle
of a stream. What the recorder heard reported, what the answers say (each held against the spans of its own
trace), the spans, the metrics and the ledger are then held against each other, by provider. What nobody
reported is in the ledger as estimated, and in no metric. The keys must be in nothing that left the service.
Python's standard library only.
"""

import argparse
import collections
import concurrent.futures
import http.client
import json
import pathlib
import random
import re
import tempfile
import time
import urllib.request

from servers import Receiver
from service import DIRECT, Service

CANARY = "canary-4f1d8c7e2b"
BEDROCK_MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
PROVIDERS = ("openai", "claude", "bedrock", "ollama")
CONVENTION = {"openai": "openai", "anthropic": "claude", "aws.bedrock": "bedrock", "ollama": "ollama"}
PROTOCOLS = {"openai": "openai", "anthropic": "claude", "bedrock": "bedrock", "ollama": "ollama"}
AT_ONCE = 8
FAULTS = [
    {"kind": "rate_limited", "rate": 0.06, "retry_after_seconds": 0},
    {"kind": "server_error", "rate": 0.06},
    {"kind": "overloaded", "rate": 0.04},
    {"kind": "reset", "rate": 0.03},
    {"kind": "cut", "rate": 0.06, "after_chunks": 3},
    {"kind": "stream_error", "rate": 0.05, "after_chunks": 2},
    {"kind": "malformed", "rate": 0.03, "after_chunks": 2},
    {"kind": "wrong_usage", "rate": 0.05, "usage": {"input_tokens": 7, "cached_input_tokens": 3, "output_tokens": 77}},
    {"kind": "refusal", "rate": 0.03},
]


def fields(data):
    """The fields of a protobuf message: number, wire type, value."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        else:
            length = {1: 8, 5: 4}.get(kind) or varint()
            value = data[at:at + length]
            at += length
        yield key >> 3, kind, value


def part(data, number):
    return [value for found, _, value in fields(data) if found == number]


def spans_of(body):
    """(trace id, name, attributes) of each span of an ExportTraceServiceRequest: opentelemetry-proto, trace.proto."""
    for resource in part(body, 1):
        for scope in part(resource, 2):
            for span in part(scope, 2):
                attributes = {}
                for attribute in part(span, 9):
                    key, value = part(attribute, 1)[0].decode(), part(attribute, 2)[0]
                    for number, _, content in fields(value):
                        attributes[key] = content.decode() if number == 1 else content
                yield part(span, 1)[0].hex(), part(span, 5)[0].decode(), attributes


class Collector(Receiver):
    """An OTLP receiver that keeps what it gets."""

    def __init__(self):
        self.bodies = []
        super().__init__()

    def take(self, path, _headers, body):
        if path == "/v1/traces":
            self.bodies.append(body)


def send(url, method="GET", body=None, headers=None):
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"content-type": "application/json", **(headers or {})})
    with DIRECT.open(request, timeout=30) as answer:
        text = answer.read()
        return json.loads(text) if text else None


class Asked:
    """What one request got: its trace, its answer or the code of its problem."""

    def __init__(self, service, book, kind, number):
        self.trace, self.book = f"{number + 1:032x}", book
        self.answer, self.failed, self.left, self.text = None, None, False, ""
        path = f"/api/v1/books/{book}/generate-summary?refresh=true"
        stream, provider = kind
        if provider:
            path += f"&provider={provider}"
        headers = {"traceparent": f"00-{self.trace}-00f067aa0ba902b7-01", "content-length": "0"}
        if stream:
            headers["accept"] = "text/event-stream"
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        connection.request("POST", path, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            self.text = answer.read().decode()
            self.failed = json.loads(self.text)["code"]
        elif not stream:
            self.text = answer.read().decode()
            self.answer = json.loads(self.text)
        else:
            self.listen(answer, leaves=stream == "left")
        connection.close()

    def listen(self, answer, leaves):
        event = None
        for line in answer:
            line = line.decode().rstrip("\n")
            self.text += line
            if line.startswith("event:"):
                event = line[6:].strip()
                if event == "delta" and leaves:
                    self.left = True
                    return
            elif line.startswith("data:") and event == "completed":
                self.answer = json.loads(line[5:])
            elif line.startswith("data:") and event == "error":
                self.failed = json.loads(line[5:])["code"]
        if not (self.answer or self.failed):
            raise SystemExit(f"a stream ended without completed or error: {self.text[-300:]}")


def metric(text, name):
    """Label sets and values of a metric."""
    for line in text.splitlines():
        found = re.fullmatch(re.escape(name) + r"\{(.*)\} (\S+)", line)
        if found:
            yield dict(re.findall(r'(\w+)="([^"]*)"', found[1])), float(found[2])


def tokens():
    return collections.defaultdict(lambda: [0, 0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    print(f"reconcile: {options.calls} calls, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        library = folder / "library.jsonl"
        started = []
        try:
            simulator = Service("llm-simulator", folder, {"SIM_PROFILE": "quick", "SIM_SEED": str(options.seed)})
            started.append(simulator)
            recorder = Service("llm-simulator", folder, {}, ["record", "--upstream", simulator.url, "--output",
                                                             str(library), "--answers", "timing"])
            started.append(recorder)
            collector = Collector()
            service = Service("bookstore-api", folder, {
                "LLM_PROVIDER": "openai", "LLM_FALLBACK": "claude,bedrock,ollama", "LLM_ATTEMPTS": "4",
                "LLM_DAILY_BUDGET_USD": "none", "LOG_FILTER": "debug",
                "OPENAI_BASE_URL": f"{recorder.url}/v1", "OPENAI_API_KEY": f"{CANARY}-openai",
                "ANTHROPIC_BASE_URL": recorder.url, "ANTHROPIC_API_KEY": f"{CANARY}-anthropic",
                "CLAUDE_MODEL": "claude-sonnet-4-5", "OLLAMA_BASE_URL": recorder.url,
                "BEDROCK_MODEL": BEDROCK_MODEL, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": recorder.url,
                "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": f"{CANARY}-id",
                "AWS_SECRET_ACCESS_KEY": f"{CANARY}-secret",
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            })
            started.append(service)
            send(f"{simulator.url}/admin/faults", "PUT", {"rules": FAULTS})
            books = [book["id"] for book in send(f"{service.url}/api/v1/books?limit=100")["items"]]
            kinds = [(stream, provider) for stream in (None, "whole", "left")
                     for provider in (None, None, *PROVIDERS)]
            work = [(draw.choice(books), draw.choice(kinds)) for _ in range(options.calls)]
            began = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
                asked = list(pool.map(lambda item: Asked(service, *item[1], item[0]), enumerate(work)))
            print(f"reconcile: asked in {time.monotonic() - began:.1f} s: "
                  f"{sum(one.answer is not None for one in asked)} answered, "
                  f"{sum(one.failed is not None for one in asked)} failed, {sum(one.left for one in asked)} left",
                  flush=True)
            time.sleep(1)
            ledger = send(f"{service.url}/api/v1/llm/usage")
            scraped = DIRECT.open(f"{service.url}/metrics").read().decode()
        finally:
            logs = ""
            for one in reversed(started):
                one.stop()
                logs = logs or one.log.read_text(errors="replace")
        recordings = [json.loads(line) for line in library.read_text().splitlines()]
        judge(asked, recordings, collector.bodies, scraped, ledger, logs)


def spent(spans):
    return [sum(span.get(f"gen_ai.usage.{kind}_tokens", 0) for span in spans) for kind in ("input", "output")]


def answers_against_spans(asked, by_trace):
    """What answers say, against the spans of the request that made the calls: their own, or that of another
    which wanted the same at the same time. Of those, one carries the tokens and no two carry the same."""
    wrong, claimed, by_book = [], set(), collections.defaultdict(list)
    for one in asked:
        by_book[one.book].append(one)
    for book in by_book.values():
        answered = [one for one in book if one.answer]
        reported = [one for one in answered if one.answer["usage"]["source"] == "reported"]
        for one in reported:
            usage, told = one.answer["usage"], one.answer["attempts"]
            said = [usage["inputTokens"], usage["outputTokens"]]
            if said == [0, 0]:
                continue
            for other in (one, *book):
                spans = by_trace[other.trace]
                if other.trace not in claimed and spent(spans) == said and len(spans) == len(told):
                    claimed.add(other.trace)
                    break
            else:
                wrong.append(f"{one.trace}: the answer says {said} in {len(told)} attempts, its spans "
                             f"{spent(by_trace[one.trace])} in {len(by_trace[one.trace])}")
        if len(reported) == len(answered):
            wrong += [f"{one.trace}: no answer says what its spans do, {spent(by_trace[one.trace])}"
                      for one in reported if any(spent(by_trace[one.trace])) and one.trace not in claimed]
    return wrong


def judge(asked, recordings, bodies, scraped, ledger, logs):
    wire, in_spans, in_metrics, in_ledger, estimated = (tokens() for _ in range(5))
    for call in recordings:
        whole = call["end"] == "complete" and not call.get("unheard") and not call.get("error")
        if whole and call.get("usage"):
            provider = PROTOCOLS[call["protocol"]]
            wire[provider][0] += call["usage"]["input_tokens"]
            wire[provider][1] += call["usage"]["output_tokens"]
    by_trace = collections.defaultdict(list)
    for body in bodies:
        for trace, name, attributes in spans_of(body):
            if "gen_ai.operation.name" in attributes:
                by_trace[trace].append(attributes)
                provider = CONVENTION[attributes["gen_ai.provider.name"]]
                in_spans[provider][0] += attributes.get("gen_ai.usage.input_tokens", 0)
                in_spans[provider][1] += attributes.get("gen_ai.usage.output_tokens", 0)
    for labels, value in metric(scraped, "gen_ai_client_token_usage_sum"):
        provider = CONVENTION[labels["gen_ai_provider_name"]]
        in_metrics[provider][("input", "output").index(labels["gen_ai_token_type"])] += round(value)
    for row in ledger["items"]:
        in_ledger[row["provider"]][0] += row["inputTokens"]
        in_ledger[row["provider"]][1] += row["outputTokens"]
        estimated[row["provider"]][0] += row["estimatedInputTokens"]
        estimated[row["provider"]][1] += row["estimatedOutputTokens"]
    wrong = []
    print(f"{'provider':10} {'wire':>16} {'spans':>16} {'metrics':>16} {'ledger':>16} {'estimated':>16}")
    for provider in PROVIDERS:
        rows = [place[provider] for place in (wire, in_spans, in_metrics, in_ledger)]
        print(f"{provider:10} " + " ".join(f"{f'{a}/{b}':>16}" for a, b in [*rows, estimated[provider]]))
        if any(row != rows[0] for row in rows):
            wrong.append(f"{provider}: the places differ")
        if rows[0] == [0, 0]:
            wrong.append(f"{provider}: nothing was counted")
    attempts = collections.Counter(len(by_trace[one.trace]) for one in asked)
    wrong += answers_against_spans(asked, by_trace)
    print("requests by attempts: " + ", ".join(f"{count} with {number}" for number, count in sorted(attempts.items())))
    if estimated and not any(sum(pair) for pair in estimated.values()):
        wrong.append("nothing was estimated, although streams were cut and left")
    everything = {"an answer": "".join(one.text for one in asked), "the metrics": scraped, "the log": logs,
                  "the ledger": json.dumps(ledger), "a span": b"".join(bodies).decode(errors="replace")}
    wrong += [f"a key is in {place}" for place, text in everything.items() if CANARY in text]
    if wrong:
        raise SystemExit("reconcile: FAILED\n  " + "\n  ".join(wrong[:20]))
    print("reconcile: all places agree, to the token; no key in any of them")


if __name__ == "__main__":
    main()
