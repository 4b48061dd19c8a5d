#!/usr/bin/env python3
"""Decides which k6 a load run takes, says so, and runs the command given with K6_ENGINE and K6_BIN set:

    engine.py [--if-there] COMMAND...

A container where a Docker daemon answers and has the image or can get it; else a local k6 (see
k6.py). K6_ENGINE=docker or K6_ENGINE=local decides instead. With --if-there the command is run without a k6, too.
Python's standard library only.
"""

import http.client
import os
import pathlib
import platform
import socket
import subprocess
import sys

IMAGE = os.environ.get("K6_IMAGE", "grafana/k6:1.1.0")
PULL_SECONDS = 300


def say(text):
    print(f"k6: {text}", file=sys.stderr, flush=True)


class Docker(http.client.HTTPConnection):
    """HTTP over the daemon's socket."""

    def __init__(self, path, seconds):
        super().__init__("localhost", timeout=seconds)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method, url, seconds=3):
    connection = Docker(path, seconds)
    try:
        connection.request(method, url)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def docker_has_image():
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        say(f"DOCKER_HOST is {host}: only a local daemon runs k6 beside the services")
        return False
    path = host.removeprefix("unix://")
    if ask(path, "GET", "/_ping")[0] != 200:
        return False
    if ask(path, "GET", f"/images/{IMAGE}/json")[0] == 200:
        return True
    say(f"pulling {IMAGE}")
    name, _, tag = IMAGE.rpartition(":")
    status, text = ask(path, "POST", f"/images/create?fromImage={name}&tag={tag}", PULL_SECONDS)
    if status != 200 or ask(path, "GET", f"/images/{IMAGE}/json")[0] != 200:
        say(f"{IMAGE} cannot be pulled: {text[-200:].decode(errors='replace').strip() or 'no answer'}")
        return False
    return True


def main(command, if_there):
    wanted = os.environ.get("K6_ENGINE", "auto")
    if wanted not in ("auto", "docker", "local"):
        sys.exit(f"k6: K6_ENGINE is {wanted}; it may be auto, docker or local")
    # Elsewhere a container does not share the host's loopback, on which the services listen.
    engine = "docker" if wanted == "docker" or (
        wanted == "auto" and platform.system() == "Linux" and docker_has_image()) else "local"
    environment = {**os.environ, "K6_ENGINE": engine, "K6_IMAGE": IMAGE}
    if engine == "local":
        finder = pathlib.Path(__file__).with_name("k6.py")
        found = subprocess.run([sys.executable, finder], stdout=subprocess.PIPE, text=True)
        if not found.returncode:
            environment["K6_BIN"] = found.stdout.strip()
        elif if_there:
            say("there is none: load runs will say so")
        else:
            sys.exit(found.returncode)
    else:
        say(f"in a container of {IMAGE}")
    os.execvpe(command[0], command, environment)


if __name__ == "__main__":
    given = sys.argv[1:]
    if_there = given[:1] == ["--if-there"]
    if not given[if_there:]:
        sys.exit(__doc__)
    main(given[if_there:], if_there)
