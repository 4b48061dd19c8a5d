"""One process of ours on a free port of loopback, for the scripts that test it from outside. Python's
standard library only."""

import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
READY_SECONDS = 20
STOP_SECONDS = 15
# The service is here: a proxy for the outside world has no part in it.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def binary(name):
    profile = os.environ.get("PROFILE", "release")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / ("debug" if profile == "dev" else profile) / name
    if not path.exists():
        sys.exit(f"{path} is not there; `make build` makes it")
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """A process of ours, its log in a file."""

    def __init__(self, name, folder, environment, arguments=(), port=None):
        self.name, self.port = name, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}-{self.port}.log"
        neutral = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "TMPDIR")}
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [binary(name), *arguments], stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=folder,
                start_new_session=True,
                env={**neutral, "HTTP_PORT": str(self.port), "DATA_DIR": str(folder / name), **environment},
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                sys.exit(f"{name} is not ready:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def ready(self):
        try:
            with DIRECT.open(f"{self.url}/health/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def complaints(self):
        """What its log has of errors and panics."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if '"ERROR"' in line or "panic" in line]

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
