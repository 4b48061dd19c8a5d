#!/usr/bin/env python3
"""Starts the three services, has something happen in each, and hands what /metrics shows to `promtool check
metrics`: names, units and help by Prometheus' own rules. Python's standard library only.

promtool comes with Prometheus; PROMTOOL_BIN names another than the one in PATH.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from service import DIRECT, Service

# What promtool says and is not followed: the name and the reason.
ACCEPTED = {
    "db_client_connection_count": "OpenTelemetry's own name of it (semantic conventions, database metrics)",
}


def say(text):
    print(f"check-metrics: {text}", flush=True)


def send(url, body=None, headers=None):
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode(),
                                     headers={"content-type": "application/json", **(headers or {})})
    with DIRECT.open(request, timeout=30) as answer:
        return answer.read()


def complaints(promtool, text):
    told = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    lines = (told.stdout + told.stderr).decode().splitlines()
    if told.returncode not in (0, 3):
        return lines or [f"promtool ended with {told.returncode}"]
    return [line for line in lines if line.strip() and line.split(" ", 1)[0] not in ACCEPTED]


def main():
    promtool = os.environ.get("PROMTOOL_BIN") or shutil.which("promtool")
    if not promtool:
        sys.exit("check-metrics: no promtool; install Prometheus or set PROMTOOL_BIN")
    services, found = [], 0
    with tempfile.TemporaryDirectory(prefix="bookstore-metrics-") as folder:
        folder = pathlib.Path(folder)
        try:
            simulator = Service("llm-simulator", folder, {})
            services.append(simulator)
            api = Service("bookstore-api", folder, {
                "OLLAMA_BASE_URL": simulator.url, "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai/dup",
                **{name: os.environ[name] for name in ("MONGODB_URI", "REDIS_URL") if os.environ.get(name)},
            })
            services.append(api)
            perf = Service("perf-service", folder, {"TARGETS": f"local={api.url}", "K6_ENGINE": "local"})
            services.append(perf)
            book = json.loads(send(f"{api.url}/api/v1/books?limit=1"))["items"][0]["id"]
            for accept in ("application/json", "text/event-stream"):
                send(f"{api.url}/api/v1/books/{book}/generate-summary?refresh=true", {}, {"accept": accept})
            for service in services:
                text = send(f"{service.url}/metrics")
                lines = complaints(promtool, text)
                series = sum(1 for line in text.splitlines() if line and not line.startswith(b"#"))
                say(f"{service.name}: {series} series, {len(lines)} complaints")
                for line in lines:
                    say(f"  {line}")
                found += len(lines)
        finally:
            for service in reversed(services):
                service.stop()
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
