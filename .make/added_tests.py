"""Runs the tests that features add, and none that are there without them:

    added_tests.py CARGO test --workspace --features a/integration,b/integration

Says what cargo says, so that results are counted the same way. For whoever has run the others already.
Python's standard library only.
"""

import json
import os
import pathlib
import subprocess
import sys


def binaries(cargo, arguments):
    """Test binaries by package, kind and name: (path, the package's folder)."""
    command = [cargo, *arguments, "--no-run", "--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if built.returncode:
        sys.exit(built.returncode)
    found = {}
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message["profile"]["test"] and message.get("executable"):
            folder = pathlib.Path(message["manifest_path"]).parent
            target = message["target"]
            found[(folder.name, *target["kind"], target["name"])] = (message["executable"], folder)
    return found


def tests(binary):
    listed = subprocess.run([binary, "--list", "--format", "terse"], stdout=subprocess.PIPE, text=True, check=True)
    return [line.removesuffix(": test") for line in listed.stdout.splitlines() if line.endswith(": test")]


def without_features(arguments):
    at = arguments.index("--features")
    return arguments[:at] + arguments[at + 2:]


def main(cargo, arguments):
    before = {key: set(tests(path)) for key, (path, _) in binaries(cargo, without_features(arguments)).items()}
    failed = []
    for key, (path, folder) in binaries(cargo, arguments).items():
        every = tests(path)
        added = [name for name in every if name not in before.get(key, set())]
        name = "/".join(key)
        if not added:
            continue
        print(f"     Running {len(added)} of {len(every)} tests of {name}", flush=True)
        environment = {**os.environ, "CARGO_MANIFEST_DIR": str(folder)}
        if subprocess.call([path, "--exact", "--quiet", *added], cwd=folder, env=environment):
            failed.append(name)
    if failed:
        sys.exit(f"added_tests: failed: {', '.join(failed)}")


if __name__ == "__main__":
    if len(sys.argv) < 3 or "--features" not in sys.argv:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
