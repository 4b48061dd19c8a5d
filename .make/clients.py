#!/usr/bin/env python3
"""Runs the official Python clients, unchanged, against llm-simulator: openai, anthropic, ollama, boto3.

    clients.py                 text, usage, finish reasons, model lists, limits, errors, signatures
    clients.py --faults N      each fault N times under each client: what it reports, and that nothing leaks
    clients.py --only NAME     checks whose name contains this, such as boto3 or "openai: stop"

The clients of `.make/clients.txt` are installed from PyPI into .tools/clients, which git ignores. One line a
check; exit code 1 when any failed. This file needs Python's standard library only, 3.10 or later.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import venv
import warnings

from service import ROOT, Service

WANTED = pathlib.Path(__file__).with_name("clients.txt")
FOLDER = ROOT / ".tools" / "clients"
# The keys that the simulator under test asks for. They are of no use anywhere else.
KEYS = {
    "SIM_API_KEY": "sim-key-of-the-client-checks",
    "SIM_AWS_ACCESS_KEY_ID": "AKIDSIMULATOR",
    "SIM_AWS_SECRET_ACCESS_KEY": "not/a+secret-of-anybody",
}
# Quick, and with a context window that a short text overflows.
QUICK = {"SIM_FIRST_TOKEN_MEDIAN_MS": "2", "SIM_GAP_MEDIAN_MS": "0.1", "SIM_CONTEXT_TOKENS": "2000",
         "LOG_FILTER": "warn"}


def say(text):
    print(text, flush=True)


def installed():
    """The interpreter of an environment that has exactly the clients wanted."""
    python, stamp = FOLDER / "bin" / "python", FOLDER / "installed"
    stated = f"{sys.version}\n{WANTED.read_text()}"
    if python.exists() and stamp.exists() and stamp.read_text() == stated:
        return python
    print(f"clients: installing {WANTED.name} into {FOLDER.relative_to(ROOT)}", file=sys.stderr, flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", WANTED]
    if subprocess.call(pip):
        sys.exit("clients: the clients could not be installed; is PyPI, or the index that pip is set to, there?")
    stamp.write_text(stated)
    return python


def clean_environment():
    """No key, proxy or endpoint of whoever runs this reaches a client."""
    own = ("OPENAI_", "ANTHROPIC_", "AWS_", "OLLAMA_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
    for name in list(os.environ):
        if name.upper().startswith(own):
            del os.environ[name]
    os.environ.update(AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE=os.devnull,
                      AWS_SHARED_CREDENTIALS_FILE=os.devnull)


def run(checks, only):
    """Runs a table of checks; how many failed."""
    failed = passed = 0
    for name, check in checks:
        if only and only not in name:
            continue
        started = time.monotonic()
        try:
            told = check()
        except Exception as error:  # whatever a client raises is a finding
            failed += 1
            said = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            say(f"FAILED {name}\n         " + said[:2000].replace("\n", "\n         "))
        else:
            passed += 1
            more = f"  {told}" if isinstance(told, str) else ""
            say(f"ok     {name} ({time.monotonic() - started:.2f} s){more}")
    say(f"clients: {passed} passed, {failed} failed")
    return failed or not passed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, metavar="N")
    parser.add_argument("--only", default="", metavar="NAME")
    arguments = parser.parse_args()
    if pathlib.Path(sys.prefix).resolve() != FOLDER.resolve():
        python = installed()
        os.execv(python, [str(python), *sys.argv])
    clean_environment()
    # anthropic's client knows when models end.
    warnings.simplefilter("ignore", DeprecationWarning)
    services = []
    with tempfile.TemporaryDirectory(prefix="bookstore-clients-") as folder:
        folder = pathlib.Path(folder)
        try:
            if arguments.faults:
                import client_faults
                services.append(Service("llm-simulator", folder, QUICK))
                checks = client_faults.checks(services[0], arguments.faults)
            else:
                import client_checks
                services.append(Service("llm-simulator", folder, {**QUICK, **KEYS}))
                services.append(Service("llm-simulator", folder, QUICK))
                checks = client_checks.checks(services[0].url, services[1].url, KEYS)
            failed = run(checks, arguments.only)
            for service in services:
                if service.process.poll() is not None:
                    say(f"FAILED {service.name} ended by itself with {service.process.returncode}")
                    failed = True
                # Faults are errors, and logged as such.
                for line in [line for line in service.complaints() if not arguments.faults or "panic" in line][:10]:
                    say(f"FAILED {service.name} says {line[:1000]}")
                    failed = True
        finally:
            for service in reversed(services):
                service.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
