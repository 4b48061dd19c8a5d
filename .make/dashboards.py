#!/usr/bin/env python3
"""Generates the Grafana dashboards, or checks that the committed ones are what would be generated.

    dashboards.py            writes monitoring/grafana/dashboards/*.json
    dashboards.py --check    generates into a temporary folder and compares byte for byte

What monitoring/grafana/requirements.txt names, by version and hash, is installed from PyPI into
.tools/grafana-sdk, which git ignores. Python's standard library only, 3.11 or later, which the SDK needs.
"""

import argparse
import difflib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
GRAFANA = ROOT / "monitoring" / "grafana"
WANTED = GRAFANA / "requirements.txt"
COMMITTED = GRAFANA / "dashboards"
FOLDER = ROOT / ".tools" / "grafana-sdk"


def installed():
    """The interpreter of an environment that has exactly what is wanted."""
    if sys.version_info < (3, 11):
        sys.exit("dashboards: Grafana's SDK needs Python 3.11 or later; set PYTHON to one")
    python, stamp = FOLDER / "bin" / "python", FOLDER / "installed"
    stated = f"{sys.version}\n{WANTED.read_text()}"
    if python.exists() and stamp.exists() and stamp.read_text() == stated:
        return python
    print(f"dashboards: installing {WANTED.name} into {FOLDER.relative_to(ROOT)}", file=sys.stderr, flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    if subprocess.call([*pip, "-r", WANTED]):
        sys.exit("dashboards: the SDK could not be installed; is PyPI, or the index that pip is set to, there?")
    stamp.write_text(stated)
    return python


def generate(folder):
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    if code := subprocess.call([installed(), GRAFANA / "generate_dashboards.py", folder], env=environment):
        sys.exit(code)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def check():
    with tempfile.TemporaryDirectory() as folder:
        generate(folder)
        made, committed = files(pathlib.Path(folder)), files(COMMITTED)
    differing = sorted(name for name in made.keys() | committed.keys() if made.get(name) != committed.get(name))
    for name in differing:
        print(f"dashboards: {name} is not what is generated", file=sys.stderr)
        before, after = (side.get(name, b"").decode(errors="replace").splitlines() for side in (committed, made))
        for line in list(difflib.unified_diff(before, after, "committed", "generated", n=1, lineterm=""))[:20]:
            print(f"  {line[:200]}", file=sys.stderr)
    if differing:
        sys.exit("dashboards: run `make dashboards`, and commit what it writes")
    print(f"dashboards: the {len(made)} committed ones are what is generated")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        check()
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(folder)
        made = files(pathlib.Path(folder))
    # What is no longer generated goes, too.
    shutil.rmtree(COMMITTED, ignore_errors=True)
    COMMITTED.mkdir()
    for name, content in made.items():
        (COMMITTED / name).write_bytes(content)
    print(f"dashboards: wrote {len(files(COMMITTED))} to {COMMITTED.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
