"""Servers of others, started for a check and ended by it, and what they answer. Python's standard library only."""

import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from service import DIRECT

READY_SECONDS = 30


class Failed(Exception):
    """Something was not as it has to be."""


def found(name, variable, *others):
    path = os.environ.get(variable) or next(filter(None, map(shutil.which, (name, *others))), None)
    if not path:
        sys.exit(f"{name} is not there: install it, or set {variable}")
    return path


def call(url, method="GET", body=None, seconds=30, headers=None):
    """Status and body; status 0 when nothing answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, method=method, data=data,
                                     headers={"content-type": "application/json", **(headers or {})})
    try:
        with DIRECT.open(request, timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return 0, b""


def told(url, method="GET", body=None, wanted=(200, 201, 204)):
    status, answer = call(url, method, body)
    if status not in wanted:
        raise Failed(f"{method} {url} answered {status}: {answer[:300]!r}")
    return answer


class Process:
    """A server of somebody else's, its log in a file."""

    def __init__(self, name, folder, command, ready, variables=None):
        self.variables = variables or {}
        self.name, self.command, self.ready = name, [str(part) for part in command], ready
        self.log = folder / f"{name}.log"
        self.folder = folder
        self.start()

    def start(self):
        neutral = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")}
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                                            cwd=self.folder, env={**neutral, **self.variables}, start_new_session=True)
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Failed(f"{self.name} is not ready:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Receiver:
    """Takes what is posted to it, on a free port of loopback, as a webhook or a collector of spans does."""

    def __init__(self):
        this = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                this.take(self.path, self.headers, self.rfile.read(int(self.headers.get("content-length") or 0)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, path, headers, body):
        """What becomes of it; called by several threads."""
        raise NotImplementedError
