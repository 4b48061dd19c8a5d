#!/usr/bin/env python3
"""Runs the Postman collections of both APIs by Newman, and holds them to the OpenAPI documents.

    postman.py            starts bookstore-api, llm-simulator and perf-service on free ports, asks them, stops them
    postman.py --running  asks those that BOOKSTORE_URL and PERF_URL name; of one that is left out, nothing

Beside what the collections assert: each operation of a service's /openapi.json is asked by some request of its
collection (HEAD goes with its GET), no request asks for an operation that there is not, and each request asserts
something. With --running API_TOKEN is taken from the environment, else from .env; PROVIDER (ollama) is the LLM
provider that is asked, SIMULATED (true, false) whether a simulator answers, where that is known; TARGET and
CANDIDATE are targets of perf-service.

NEWMAN_BIN names Newman, else it is looked for on PATH, else npx fetches the version below. Python's standard
library only.
"""

import json
import os
import pathlib
import re
import secrets
import shutil
import subprocess
import sys
import tempfile

import dotenv
from service import DIRECT, ROOT, Service

NEWMAN = "newman@6.2.2"
# What a collection may ask for that no document describes.
BESIDE = ("/", "/metrics", "/openapi.json", "/swagger/", "/api/v1/nowhere")


def say(text):
    print(f"postman: {text}", file=sys.stderr, flush=True)


def newman():
    found = os.environ.get("NEWMAN_BIN") or shutil.which("newman")
    if found:
        return [found]
    if not shutil.which("npx"):
        sys.exit("postman: no Newman: install Node.js, or set NEWMAN_BIN")
    return ["npx", "--yes", NEWMAN]


def file_of(crate, kind):
    return ROOT / "crates" / crate / "postman" / f"{crate}.postman_{kind}.json"


def requests_of(item, folder=""):
    """All requests of a collection: where each stands, and what it is."""
    for one in item["item"]:
        place = f"{folder}{one['name']}"
        if "item" in one:
            yield from requests_of(one, f"{place} / ")
        else:
            yield place, one


def fits(path, template):
    """Whether a path with variables may be one of a template; under /api/ whatever its case."""
    pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]+\})", template))
    flags = re.IGNORECASE if template.startswith("/api/") else 0
    return re.fullmatch(pattern, path, flags) is not None


def operation(request, operations):
    """The operation that a request asks for. A path that is written out comes before one with parameters."""
    path = "/" + "/".join(request["url"]["path"])
    found = [one for one in operations if one[0] == request["method"] and fits(path, one[1])]
    return path, min(found, key=lambda one: one[1].count("{"), default=None)


def check_coverage(crate, document):
    """What the collection and the document do not have in common."""
    operations = {(method.upper(), path) for path, item in document["paths"].items()
                  for method in item if method in ("get", "put", "post", "patch", "delete")}
    collection = json.loads(file_of(crate, "collection").read_text(encoding="utf-8"))
    asked, mistakes = set(), []
    for place, one in requests_of(collection):
        path, found = operation(one["request"], operations)
        if found:
            asked.add(found)
        elif path not in BESIDE:
            mistakes.append(f"{place}: there is no {one['request']['method']} {path}")
        script = [line for event in one.get("event", ()) if event["listen"] == "test" for line in event["script"]["exec"]]
        if "pm.test(" not in "\n".join(script):
            mistakes.append(f"{place}: asserts nothing")
    mistakes += [f"no request asks for {method} {path}" for method, path in sorted(operations - asked)]
    for mistake in mistakes:
        say(f"{crate}: {mistake}")
    say(f"{crate}: {len(asked)} of {len(operations)} operations are asked for")
    return not mistakes


def run(crate, url, folder, values):
    """One collection; whether everything held."""
    with DIRECT.open(f"{url}/openapi.json", timeout=30) as answer:
        covered = check_coverage(crate, json.load(answer))
    environment = json.loads(file_of(crate, "environment").read_text(encoding="utf-8"))
    told = {"baseUrl": url, **values}
    for value in environment["values"]:
        value["value"] = told.pop(value["key"], value["value"])
    if told:
        sys.exit(f"postman: {file_of(crate, 'environment').name} has no {', '.join(told)}")
    # In a file of ours alone: a command line is for everybody to see.
    file = folder / f"{crate}.json"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        json.dump(environment, out)
    # The services are here, or where a tunnel leads: no proxy has a part in it.
    neutral = {name: value for name, value in os.environ.items() if name.lower() not in ("http_proxy", "https_proxy", "all_proxy")
               or not url.startswith("http://127.0.0.1:")}
    code = subprocess.call([*newman(), "run", file_of(crate, "collection"), "--environment", file, "--reporters", "cli",
                            "--reporter-cli-no-banner", "--color", "off", "--timeout-request", "60000"], env=neutral)
    return covered and code == 0


def given(*names):
    return {key: os.environ[variable] for key, variable in names if os.environ.get(variable)}


def running(folder):
    held, asked = True, False
    common = {"apiToken": dotenv.value("API_TOKEN")}
    if url := os.environ.get("BOOKSTORE_URL"):
        asked = True
        values = given(("provider", "PROVIDER"), ("simulated", "SIMULATED"))
        held = run("bookstore-api", url.rstrip("/"), folder, {**common, **values}) and held
    if url := os.environ.get("PERF_URL"):
        asked = True
        target = os.environ.get("TARGET", "local")
        values = {"target": target, "candidate": os.environ.get("CANDIDATE", target)}
        held = run("perf-service", url.rstrip("/"), folder, {**common, **values}) and held
    if not asked:
        sys.exit("postman: BOOKSTORE_URL or PERF_URL says who is to be asked")
    return held


def started(folder):
    """Services of our own, each write guarded by a token of this run."""
    services, secret = [], secrets.token_hex(24)
    guarded = {"API_TOKEN": secret, "LOG_FILTER": "warn"}
    try:
        simulator = Service("llm-simulator", folder, {"LOG_FILTER": "warn"})
        services.append(simulator)
        api = Service("bookstore-api", folder, {**guarded, "OLLAMA_BASE_URL": simulator.url})
        services.append(api)
        engine = {"K6_ENGINE": os.environ.get("K6_ENGINE", "local"), **{
            name: os.environ[name] for name in ("K6_BIN", "K6_IMAGE", "DOCKER_HOST") if os.environ.get(name)}}
        perf = Service("perf-service", folder, {**guarded, **engine, "TARGET_API_TOKEN": secret,
                                                "TARGETS": f"local={api.url},other={api.url}"})
        services.append(perf)
        held = True
        # Twice, as an environment is asked at each deployment: what an earlier one left is in nobody's way.
        for _ in range(2):
            held = run("bookstore-api", api.url, folder, {"apiToken": secret, "provider": "ollama", "simulated": "true"}) and held
            held = run("perf-service", perf.url, folder, {"apiToken": secret, "target": "local", "candidate": "other"}) and held
        for service in services:
            for line in service.complaints()[:10]:
                held = False
                say(f"{service.name} logged: {line[:1000]}")
        return held
    finally:
        for service in reversed(services):
            service.stop()


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--running"]):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="bookstore-postman-") as name:
        held = (running if sys.argv[1:] else started)(pathlib.Path(name))
    say("everything held" if held else "not everything held, see above")
    sys.exit(0 if held else 1)
