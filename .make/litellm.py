#!/usr/bin/env python3
"""Runs a command with LiteLLM's proxy beside it, which passes everything on to a provider on STUB_PORT.

    litellm.py COMMAND…        the command gets LITELLM_URL and STUB_PORT; its exit code is handed on

What is in `.make/litellm.txt` is installed from PyPI into .tools/litellm, which git ignores. Where that
cannot be had, or with LITELLM=no, the command runs without LITELLM_URL and this says so. The proxy listens
on loopback only and is ended by its process id. Python's standard library only, 3.10 or later.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv

from service import DIRECT, ROOT, free_port

WANTED = pathlib.Path(__file__).with_name("litellm.txt")
FOLDER = ROOT / ".tools" / "litellm"
READY_SECONDS = 120
# The one that crates/llm/examples/bench_llm/proxy.rs asks for.
MODEL = "bench-120-0-"
CONFIG = """\
model_list:
  - model_name: "{model}"
    litellm_params:
      model: "openai/{model}"
      api_base: "http://127.0.0.1:{port}/v1"
      api_key: "any"
      num_retries: 0
litellm_settings:
  telemetry: false
"""


def say(text):
    print(f"litellm: {text}", file=sys.stderr, flush=True)


def installed():
    """The folder of programs of an environment that has exactly what is wanted; None where it cannot be had."""
    programs, stamp = FOLDER / "bin", FOLDER / "installed"
    stated = f"{sys.version}\n{WANTED.read_text()}"
    if stamp.exists() and stamp.read_text() == stated:
        return programs
    say(f"installing {WANTED.name} into {FOLDER.relative_to(ROOT)}")
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        venv.create(FOLDER, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"no environment for it: {error}")
        return None
    pip = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    if subprocess.call([*pip, "-r", WANTED]):
        return None
    stamp.write_text(stated)
    return programs


def ready(url):
    try:
        with DIRECT.open(f"{url}/health/liveliness", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def start(programs, folder, stub):
    """The proxy and its address; None when it does not start."""
    port = free_port()
    (folder / "config.yaml").write_text(CONFIG.format(port=stub, model=MODEL))
    neutral = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR")}
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [programs / "litellm", "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            # Nothing is fetched and no question is logged.
            env={**neutral, "HOME": str(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR",
                 "NO_PROXY": "127.0.0.1",
                 "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"},
        )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + READY_SECONDS
    while not ready(url):
        if process.poll() is not None or time.monotonic() > deadline:
            say("does not get ready:\n" + (folder / "log").read_text(errors="replace")[-2000:])
            stop(process)
            return None
        time.sleep(0.2)
    return process, url


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main():
    command = sys.argv[1:]
    if not command:
        sys.exit(__doc__)
    # The command starts the provider, on this port.
    stub = free_port()
    environment = {**os.environ, "STUB_PORT": str(stub)}
    programs = None if os.environ.get("LITELLM") == "no" else installed()
    if programs is None:
        say("not measured: LITELLM=no, or PyPI cannot be had")
        sys.exit(subprocess.call(command, env=environment))
    with tempfile.TemporaryDirectory() as folder:
        started = start(programs, pathlib.Path(folder), stub)
        if started is None:
            say("not measured")
            sys.exit(subprocess.call(command, env=environment))
        process, url = started
        try:
            code = subprocess.call(command, env={**environment, "LITELLM_URL": url})
        finally:
            stop(process)
    sys.exit(code)


if __name__ == "__main__":
    main()
