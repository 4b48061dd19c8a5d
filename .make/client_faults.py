"""Each fault of llm-simulator under each official client: what the client reports, and that nothing leaks.

Run by clients.py, in an environment that has the clients. Their own retries are off. A fault is in force for
all requests of one protocol; what a client makes of it is a short label, such as "RateLimitError 429", held
against the table below, streamed and whole. Open sockets and memory are read from /proc: on Linux only.
"""

import collections
import concurrent.futures
import itertools
import json
import pathlib
import re
import time
import urllib.request

import anthropic
import boto3
import botocore.exceptions
import httpx
import ollama
import openai
from botocore.config import Config

from client_checks import MODEL, PROMPT, holds, same
from service import DIRECT

# Shorter than the pauses that faults make, longer than anything else takes.
TIMEOUT = 1.0
PAUSE = 30
AT_ONCE = 8
# Where all of them only wait.
WAITING_AT_ONCE = 24
WRONG = {"input_tokens": 7, "cached_input_tokens": 0, "output_tokens": 77}
KINDS = {
    "rate_limited": {"retry_after_seconds": 2},
    "server_error": {},
    "unavailable": {"retry_after_seconds": 3},
    "overloaded": {},
    "timeout": {"seconds": 0.01},
    "reset": {},
    "reset in the middle": {"after_chunks": 3},
    "slow_first_token": {"seconds": PAUSE},
    "stall": {"seconds": PAUSE, "after_chunks": 3},
    "cut": {"after_chunks": 3},
    "malformed": {"after_chunks": 3},
    "stream_error": {"after_chunks": 3},
    "truncated": {"after_chunks": 3},
    "wrong_usage": {"usage": WRONG},
    "refusal": {},
}
# What one process may hold more than before a thousand faults, beyond what its allocator keeps.
MORE_RSS_KIB = 24 << 10
SETTLE_SECONDS = 10


class Ollama:
    """`ollama`."""

    protocol = "ollama"

    def __init__(self, url):
        self.client = ollama.Client(host=url, timeout=TIMEOUT)

    def ask(self, stream):
        question = {"model": "llama3.2", "prompt": PROMPT}
        if stream:
            *_, last = self.client.generate(**question, stream=True)
        else:
            last = self.client.generate(**question)
        if not last.done:
            return "answer without an end", None
        return f"answer {last.done_reason}", (last.prompt_eval_count, last.eval_count)

    def label(self, error):
        if isinstance(error, ollama.ResponseError):
            return f"ResponseError {error.status_code}"


class OpenAi:
    """`openai`."""

    protocol = "openai"

    def __init__(self, url):
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, timeout=TIMEOUT)

    def ask(self, stream):
        question = {"model": "gpt-4o", "messages": [{"role": "user", "content": PROMPT}]}
        create = self.client.chat.completions.create
        if stream:
            reason = usage = None
            for chunk in create(**question, stream=True, stream_options={"include_usage": True}):
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    reason = choice.finish_reason or reason
        else:
            answer = create(**question)
            reason, usage = answer.choices[0].finish_reason, answer.usage
        if reason is None:
            return "answer without an end", None
        return f"answer {reason}", (usage.prompt_tokens, usage.completion_tokens)

    def label(self, error):
        if isinstance(error, openai.APIStatusError):
            return f"{type(error).__name__} {error.status_code}{waits(error.response.headers)}"


class Anthropic:
    """`anthropic`."""

    protocol = "anthropic"

    def __init__(self, url):
        self.client = anthropic.Anthropic(base_url=url, api_key="any", max_retries=0, timeout=TIMEOUT)

    def ask(self, stream):
        question = {"model": "claude-sonnet-4-5", "max_tokens": 1000,
                    "messages": [{"role": "user", "content": PROMPT}]}
        if stream:
            with self.client.messages.stream(**question) as events:
                answer = events.get_final_message()
        else:
            answer = self.client.messages.create(**question)
        if answer.stop_reason is None:
            return "answer without an end", None
        return f"answer {answer.stop_reason}", (answer.usage.input_tokens, answer.usage.output_tokens)

    def label(self, error):
        if isinstance(error, anthropic.APIStatusError):
            # In the middle of a stream the status said that all is well.
            more = f", {error.body['error']['type']}" if error.status_code == 200 else ""
            return f"{type(error).__name__} {error.status_code}{waits(error.response.headers)}{more}"


class Boto3:
    """`boto3`."""

    protocol = "bedrock"

    def __init__(self, url):
        config = Config(retries={"total_max_attempts": 1}, read_timeout=TIMEOUT, max_pool_connections=WAITING_AT_ONCE)
        self.client = boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", config=config,
                                   aws_access_key_id="AKIDANY", aws_secret_access_key="any")

    def ask(self, stream):
        question = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": PROMPT}]}]}
        if stream:
            reason = usage = None
            events = self.client.converse_stream(**question)["stream"]
            try:
                for event in events:
                    reason = event.get("messageStop", {}).get("stopReason", reason)
                    usage = event.get("metadata", {}).get("usage", usage)
            finally:
                # A stream that broke is the caller's to close.
                events.close()
        else:
            answer = self.client.converse(**question)
            reason, usage = answer.get("stopReason"), answer.get("usage")
        if reason is None or usage is None:
            return "answer without an end", None
        return f"answer {reason}", (usage["inputTokens"], usage["outputTokens"])

    def label(self, error):
        if isinstance(error, botocore.exceptions.EventStreamError):
            return f"EventStreamError {error.response['Error']['Code']}"
        if isinstance(error, botocore.exceptions.ClientError):
            metadata = error.response["ResponseMetadata"]
            return f"{type(error).__name__} {metadata['HTTPStatusCode']}{waits(metadata['HTTPHeaders'])}"


def waits(headers):
    after = headers.get("retry-after")
    return f", retry after {after}" if after else ""


CLIENTS = {"ollama": Ollama, "openai": OpenAi, "anthropic": Anthropic, "boto3": Boto3}
# What is reported of each kind, by client: of a stream and of a whole answer; one where it is the same.
TABLE = {
    "ollama": {
        "rate_limited": "ResponseError 429",
        "server_error": "ResponseError 500",
        "unavailable": "ResponseError 503",
        "overloaded": "ResponseError 503",
        "timeout": "ResponseError 504",
        "reset": "httpx.ReadError",
        "reset in the middle": "httpx.ReadError",
        "slow_first_token": "httpx.ReadTimeout",
        "stall": "httpx.ReadTimeout",
        "cut": "httpx.RemoteProtocolError",
        "malformed": "json.JSONDecodeError",
        "stream_error": "ResponseError -1",
        "truncated": "answer length",
        "wrong_usage": "answer stop",
        # It has no word for it; the answer is empty.
        "refusal": "answer stop",
    },
    "openai": {
        "rate_limited": "RateLimitError 429, retry after 2",
        "server_error": "InternalServerError 500",
        "unavailable": "InternalServerError 503, retry after 3",
        "overloaded": "InternalServerError 503",
        "timeout": "InternalServerError 504",
        "reset": "openai.APIConnectionError",
        "reset in the middle": "openai.APIConnectionError",
        "slow_first_token": "openai.APITimeoutError",
        "stall": "openai.APITimeoutError",
        "cut": "openai.APIConnectionError",
        "malformed": "json.JSONDecodeError",
        "stream_error": "openai.APIError",
        "truncated": "answer length",
        "wrong_usage": "answer stop",
        "refusal": "answer content_filter",
    },
    "anthropic": {
        "rate_limited": "RateLimitError 429, retry after 2",
        "server_error": "InternalServerError 500",
        "unavailable": "ServiceUnavailableError 503, retry after 3",
        "overloaded": "OverloadedError 529",
        "timeout": "GatewayTimeoutError 504",
        "reset": "anthropic.APIConnectionError",
        "reset in the middle": ("httpx2.ReadError", "anthropic.APIConnectionError"),
        "slow_first_token": "anthropic.APITimeoutError",
        "stall": ("httpx2.ReadTimeout", "anthropic.APITimeoutError"),
        "cut": ("httpx2.RemoteProtocolError", "anthropic.APIConnectionError"),
        "malformed": "json.JSONDecodeError",
        "stream_error": "APIStatusError 200, overloaded_error",
        "truncated": "answer max_tokens",
        "wrong_usage": "answer end_turn",
        "refusal": "answer refusal",
    },
    "boto3": {
        "rate_limited": "ThrottlingException 429, retry after 2",
        "server_error": "InternalServerException 500",
        "unavailable": "ServiceUnavailableException 503, retry after 3",
        "overloaded": "ServiceUnavailableException 503",
        "timeout": "ModelTimeoutException 408",
        "reset": "botocore.ConnectionClosedError",
        "reset in the middle": ("urllib3.ProtocolError", "botocore.ConnectionClosedError"),
        "slow_first_token": "botocore.ReadTimeoutError",
        "stall": ("urllib3.ReadTimeoutError", "botocore.ReadTimeoutError"),
        # Of half a body, or one that is no JSON, this client makes an answer without members.
        "cut": ("urllib3.ProtocolError", "answer without an end"),
        "malformed": ("botocore.ChecksumMismatch", "answer without an end"),
        "stream_error": "EventStreamError serviceUnavailableException",
        "truncated": "answer max_tokens",
        "wrong_usage": "answer end_turn",
        "refusal": "answer content_filtered",
    },
}


class Watched:
    """The simulator's process: what it holds."""

    def __init__(self, service):
        self.service, self.proc = service, pathlib.Path(f"/proc/{service.process.pid}")

    def sockets(self):
        links = []
        for link in (self.proc / "fd").iterdir():
            try:
                links.append(str(link.readlink()))
            except OSError:
                pass
        return sum(link.startswith("socket:") for link in links)

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", (self.proc / "status").read_text()).group(1))

    def metric(self, name, **labels):
        with DIRECT.open(f"{self.service.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if re.match(rf"{name}(\{{|\s)", line) and all(want in line for want in wanted))

    def rules(self, rules):
        request = urllib.request.Request(f"{self.service.url}/admin/faults", json.dumps({"rules": rules}).encode(),
                                         {"Content-Type": "application/json"}, method="PUT")
        with DIRECT.open(request, timeout=10) as answer:
            return json.load(answer)

    def applied(self):
        with DIRECT.open(f"{self.service.url}/admin/faults", timeout=10) as answer:
            return sum(count["applied"] for count in json.load(answer)["counts"])

    def settle(self, sockets):
        """Nothing under way, and no more sockets than before."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            under_way, now = self.metric("simulator_answers_under_way"), self.sockets()
            if under_way == 0 and now <= sockets:
                return
            if time.monotonic() > deadline:
                same("answers under way", under_way, 0)
                holds(f"no more than {sockets} sockets are open", now <= sockets, now)
            time.sleep(0.05)


def report(client, stream):
    """One call: its label, and the usage told."""
    try:
        return client.ask(stream)
    except Exception as error:
        return client.label(error) or f"{type(error).__module__.split('.')[0]}.{type(error).__name__}", None


def check(watched, name, kind, times):
    client = CLIENTS[name](watched.service.url)
    watched.rules([])
    truth = {stream: report(client, stream) for stream in (True, False)}
    at_once = WAITING_AT_ONCE if KINDS[kind].get("seconds") == PAUSE else AT_ONCE
    sockets, rss = watched.sockets() + AT_ONCE, watched.rss_kib()
    rule = {"kind": kind.split()[0], "match": {"protocol": client.protocol}, **KINDS[kind]}
    streams = [True] if kind == "stream_error" else [True, False]
    watched.rules([rule])
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        asked = list(itertools.islice(itertools.cycle(streams), times))
        reports = list(pool.map(lambda stream: (stream, *report(client, stream)), asked))
    same("how often the fault was applied", watched.applied(), times)
    found = collections.Counter((stream, label) for stream, label, _ in reports)
    wanted = TABLE[name][kind]
    streamed, whole = wanted if isinstance(wanted, tuple) else (wanted, wanted)
    for (stream, label), count in found.items():
        what, one = ("of a stream", streamed) if stream else ("of a whole answer", whole)
        same(f"what is reported {what}, {count} of {times} times", label, one)
    for stream, label, usage in reports:
        if kind == "wrong_usage":
            same("the usage told", usage, (WRONG["input_tokens"], WRONG["output_tokens"]))
            holds("it is not the true one", usage != truth[stream][1], usage)
    watched.rules([])
    same("an answer afterwards", {stream: report(client, stream) for stream in (True, False)}, truth)
    close = getattr(client.client, "close", None)
    if close:
        close()
    watched.settle(sockets)
    more = watched.rss_kib() - rss
    holds(f"at most {MORE_RSS_KIB} KiB more memory is held", more <= MORE_RSS_KIB, f"{more} KiB")
    labels = sorted({label for _, label in found})
    return f"{' | '.join(labels)}; {watched.sockets()} sockets, {more:+} KiB"


def checks(service, times):
    """Names and checks: each kind, so many times, under each client."""
    watched = Watched(service)
    for name in CLIENTS:
        for kind in KINDS:
            yield f"{name}: {kind}", lambda name=name, kind=kind: check(watched, name, kind, times)
