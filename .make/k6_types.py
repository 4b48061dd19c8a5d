#!/usr/bin/env python3
"""Checks the types of the scripts in k6/ by @types/k6 and TypeScript's checker.

Both are pinned with their hashes in .make/k6-types/package-lock.json and land in .tools/, which git
ignores; npm fetches them once. Python's standard library only.
"""

import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
WANTED = ROOT / ".make" / "k6-types"
FETCHED = ROOT / ".tools" / "k6-types"
LOCK = "package-lock.json"


def fetch():
    """Fetches anew when the lock file is not that of the last whole fetch."""
    wanted, done = (WANTED / LOCK).read_bytes(), FETCHED / "fetched.lock"
    if done.exists() and done.read_bytes() == wanted:
        return
    if not shutil.which("npm"):
        sys.exit("k6 types: npm was not found; install Node.js (https://nodejs.org/), which the check of k6/ needs")
    print("k6 types: fetching @types/k6 and typescript", file=sys.stderr, flush=True)
    FETCHED.mkdir(parents=True, exist_ok=True)
    done.unlink(missing_ok=True)
    for name in ("package.json", LOCK):
        shutil.copyfile(WANTED / name, FETCHED / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    if subprocess.run(command, cwd=FETCHED, stdout=sys.stderr).returncode:
        sys.exit("k6 types: npm could not fetch them; is the network up?")
    done.write_bytes(wanted)


def main():
    fetch()
    checker = FETCHED / "node_modules" / "typescript" / "bin" / "tsc"
    sys.exit(subprocess.run(["node", str(checker), "--project", str(ROOT / "k6" / "jsconfig.json")]).returncode)


if __name__ == "__main__":
    main()
