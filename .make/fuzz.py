#!/usr/bin/env python3
"""Fuzzes bookstore-api with schemathesis: the real binary, all checks, stateful, by its own /openapi.json.

    fuzz.py [--examples N] [--seed N] [--mongodb] [-- options of schemathesis]

SCHEMATHESIS_BIN names schemathesis, else it is looked for on PATH (`pip install schemathesis==4.32.5`).
The store is embedded and fresh; with --mongodb a fresh database at MONGODB_URI, which stays there. The simulated provider
and llm-simulator in Ollama's place answer summaries. Exits non-zero on any finding. Python's standard
library only.
"""

import argparse
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

from service import DIRECT, ROOT, Service

TOKEN = secrets.token_hex(24)


def say(text):
    print(f"fuzz: {text}", file=sys.stderr, flush=True)


def schemathesis():
    found = os.environ.get("SCHEMATHESIS_BIN") or shutil.which("schemathesis")
    if not found:
        sys.exit("fuzz: no schemathesis: `pip install schemathesis==4.32.5`, or set SCHEMATHESIS_BIN")
    return found


def seed(url):
    """A few books and authors, so that reads find something."""
    def post(path, body):
        request = urllib.request.Request(f"{url}{path}", json.dumps(body).encode(), {
            "Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"})
        with DIRECT.open(request, timeout=10) as answer:
            return json.load(answer)["id"]
    for number in range(5):
        author = post("/api/v1/authors", {"name": f"Author {number}", "bornYear": 1800 + number})
        for volume in range(3):
            post("/api/v1/books", {
                "title": f"Book {number}.{volume}", "authorIds": [author], "language": "en",
                "publishedYear": 1850 + number, "genres": ["novel"], "description": "A hunt for a whale.",
                "price": {"amount": f"{5 + volume}.99", "currency": "USD"}, "rating": 4.5})


def store(environment, wanted):
    if not wanted:
        return "the embedded store"
    uri = os.environ.get("MONGODB_URI")
    if not uri:
        sys.exit("fuzz: --mongodb needs MONGODB_URI: start a MongoDB and set it")
    parts = urllib.parse.urlsplit(uri)
    database = f"fuzz_{secrets.token_hex(4)}"
    environment["MONGODB_URI"] = urllib.parse.urlunsplit(parts._replace(path=f"/{database}"))
    return f"MongoDB, database {database}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mongodb", action="store_true")
    parser.add_argument("rest", nargs="*", help="options of schemathesis, behind --")
    arguments = parser.parse_args()
    tool = schemathesis()
    # Catalogue off: what is there is what is seeded here, the same in every run.
    environment = {"API_TOKEN": TOKEN, "LLM_PROVIDER": "simulated", "SEED_CATALOG": "false", "LOG_FILTER": "warn"}
    where = store(environment, arguments.mongodb)
    services = []
    with tempfile.TemporaryDirectory(prefix="bookstore-fuzz-") as folder:
        folder = pathlib.Path(folder)
        try:
            services.append(Service("llm-simulator", folder, {}))
            api = Service("bookstore-api", folder, {**environment, "OLLAMA_BASE_URL": services[0].url})
            services.append(api)
            seed(api.url)
            say(f"{arguments.examples} examples an operation, seed {arguments.seed}, {where}")
            # A session of its own: Ctrl-C reaches this script, which stops all in order.
            code = subprocess.call([
                tool, "--config-file", ROOT / ".make" / "schemathesis.toml", "run", f"{api.url}/openapi.json",
                "--checks", "all", "--header", f"Authorization: Bearer {TOKEN}",
                "--max-examples", str(arguments.examples), "--seed", str(arguments.seed),
                "--request-timeout", "30", "--continue-on-failure", "--no-color", *arguments.rest,
            ], cwd=folder, env={**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONUNBUFFERED": "1"})
            if api.process.poll() is not None:
                say(f"bookstore-api ended by itself with {api.process.returncode}")
                code = code or 1
            errors = api.complaints()
            for line in errors[:10]:
                say(line[:1000])
            code = code or int(bool(errors))
        finally:
            for service in reversed(services):
                service.stop()
    say("no finding" if code == 0 else f"findings, see above (exit code {code})")
    return code


if __name__ == "__main__":
    sys.exit(main())
