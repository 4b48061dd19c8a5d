#!/usr/bin/env python3
"""The three images in their registry: built, joined, named, used, scanned.

    images.py push               builds this machine's architecture and pushes each image by digest
    images.py join               joins what was pushed for each architecture into one image each
    images.py release TAG        writes down which digests a tag stands for
    images.py tag TAG            has a tag stand for the digests written down
    images.py use                fetches them, and has compose run them: .env names them from now on
    images.py scan               looks for known holes in the images that compose runs

REGISTRY is where they are, ghcr.io/OWNER/NAME of GITHUB_REPOSITORY unless it is set; who pushes or tags is logged in
(`docker login`). What was pushed and which digests make a release is written to .run/images. An image is always meant
by its digest: a tag is moved, and names nothing for certain. Python's standard library only.
"""

import json
import os
import platform
import subprocess
import sys

import dotenv
import stack
from service import ROOT

IMAGES = tuple(stack.IMAGES)
FOLDER = ROOT / ".run" / "images"
RELEASE = FOLDER / "release.json"
ARCHITECTURES = ("amd64", "arm64")
# The version that aquasecurity/trivy-action v0.36.0 brings; 0.69.4 before it was tampered with (CVE-2026-33634).
TRIVY = "ghcr.io/aquasecurity/trivy:0.70.0"


def say(text):
    print(f"images: {text}", file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"images: {text}")


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], cwd=ROOT, **options)
    if done.returncode:
        fail(f"`{' '.join(map(str, command[:4]))} …` ended with {done.returncode}")
    return done


def told(*command):
    """What a command prints, or nothing where it fails."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def registry():
    if os.environ.get("REGISTRY"):
        return os.environ["REGISTRY"].rstrip("/")
    repository = os.environ.get("GITHUB_REPOSITORY")
    if not repository:
        fail("REGISTRY is not set: such as ghcr.io/owner/bookstore")
    # A name of an image has no capitals.
    return f"ghcr.io/{repository.lower()}"


def revision():
    return os.environ.get("GITHUB_SHA") or told("git", "rev-parse", "HEAD") or "unknown"


def output(values):
    """For the steps and jobs of a workflow that follow."""
    if os.environ.get("GITHUB_OUTPUT"):
        with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as out:
            out.writelines(f"{name}={value}\n" for name, value in values.items())


def write(file, value):
    FOLDER.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def digest_of(reference):
    """The digest of the whole image, all architectures, or nothing where there is none."""
    command = ["docker", "buildx", "imagetools", "inspect", reference, "--format", "{{json .Manifest}}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout)["digest"]
    # A registry that cannot be asked is no registry without the image.
    if "not found" in done.stderr or "manifest unknown" in done.stderr:
        return None
    fail(f"{reference} cannot be looked up: {done.stderr.strip()[-300:]}")


def push():
    where = registry()
    architecture = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
    if not architecture:
        fail(f"no image is made for {platform.machine()}")
    labels, digests = stack.labels(), {}
    for image in IMAGES:
        metadata = FOLDER / f"{image}-{architecture}.metadata.json"
        FOLDER.mkdir(parents=True, exist_ok=True)
        cache = f"type=registry,ref={where}/cache:{architecture}"
        # All three come from one build stage, so that the first one's cache is everybody's.
        keep = ["--cache-to", f"{cache},mode=max"] if image == IMAGES[0] else []
        run("docker", "buildx", "build", "--file", "crates/Dockerfile", "--target", image,
            "--platform", f"linux/{architecture}", "--sbom=true", "--provenance=mode=max",
            *(part for name, text in labels.items() for part in ("--build-arg", f"{name}={text}")),
            "--cache-from", cache, *keep, "--metadata-file", metadata,
            "--output", f"type=image,name={where}/{image},push-by-digest=true,name-canonical=true,push=true", ".")
        digests[image] = json.loads(metadata.read_text(encoding="utf-8"))["containerimage.digest"]
        metadata.unlink()
    write(FOLDER / f"pushed-{architecture}.json", digests)
    say(f"pushed for {architecture}: {digests}")


def join():
    where, parts = registry(), {}
    for architecture in ARCHITECTURES:
        file = FOLDER / f"pushed-{architecture}.json"
        if not file.exists():
            fail(f"{file.relative_to(ROOT)} is not there: {architecture} was not pushed")
        parts[architecture] = json.loads(file.read_text(encoding="utf-8"))
    release = {}
    for image in IMAGES:
        name = f"{where}/{image}"
        tagged = f"{name}:sha-{revision()}"
        run("docker", "buildx", "imagetools", "create", "--tag", tagged, *(f"{name}@{parts[one][image]}" for one in ARCHITECTURES))
        index = json.loads(told("docker", "buildx", "imagetools", "inspect", tagged, "--raw") or "{}")
        there = {one.get("platform", {}).get("architecture") for one in index.get("manifests", ())}
        if not set(ARCHITECTURES) <= there:
            fail(f"{tagged} is for {', '.join(sorted(filter(None, there))) or 'nothing'}")
        release[image] = digest_of(tagged)
    write(RELEASE, release)
    output({"registry": where, **release})
    say(f"joined: {release}")


def known():
    if not RELEASE.exists():
        fail(f"{RELEASE.relative_to(ROOT)} is not there: `images.py join` or `images.py release TAG` writes it")
    return json.loads(RELEASE.read_text(encoding="utf-8"))


def references(tag, half=False):
    """What a tag stands for: all three images, or nothing. `half`: nothing, too, where it stands for some only, as after
    a tagging that broke off."""
    digests = {image: digest_of(f"{registry()}/{image}:{tag}") for image in IMAGES}
    missing = [image for image, digest in digests.items() if not digest]
    if len(missing) == len(IMAGES):
        return None
    if missing and half:
        say(f"{tag} stands for no {', '.join(missing)}: half a release, which counts as none")
        return None
    if missing:
        fail(f"{tag} stands for no {', '.join(missing)}: half a release")
    return digests


def release(tag):
    found = references(tag)
    output({"found": "true" if found else "false"})
    if not found:
        # Before the first deployment there is nothing to look at each day.
        sys.exit(f"images: {registry()} has no {tag}" if not os.environ.get("MAY_BE_MISSING") else say(f"there is no {tag} yet"))
    write(RELEASE, found)
    output({"registry": registry(), **found})
    say(f"{tag} stands for {found}")


def tag(name, digests=None):
    for image, digest in (digests or known()).items():
        whole = f"{registry()}/{image}"
        run("docker", "buildx", "imagetools", "create", "--tag", f"{whole}:{name}", f"{whole}@{digest}")
    say(f"{name} stands for it now")


def references_of(digests):
    """What each image is called for certain, by the variable that compose knows it by."""
    return {stack.IMAGES[image]: f"{registry()}/{image}@{digest}" for image, digest in digests.items()}


def use():
    named = references_of(known())
    for reference in named.values():
        # By Docker's own client, which is logged in.
        run("docker", "pull", "--quiet", reference)
    dotenv.complete()
    kept = [line for line in dotenv.FILE.read_text(encoding="utf-8").splitlines() if line.split("=")[0].strip() not in named]
    # Its mode stays what it is: nobody else may read it.
    dotenv.FILE.write_text("\n".join([*kept, *(f"{name}={reference}" for name, reference in named.items()), ""]), encoding="utf-8")
    say(f"compose runs {', '.join(named.values())}; without these lines in .env it builds them again")


def scan():
    """Without Docker's socket: the scanner sees a file."""
    cache = ROOT / ".tools" / "trivy"
    cache.mkdir(parents=True, exist_ok=True)
    archive = FOLDER / "scanned.tar"
    FOLDER.mkdir(parents=True, exist_ok=True)
    holes = []
    try:
        for name in [dotenv.value(variable) or stack.built(image) for image, variable in stack.IMAGES.items()]:
            run("docker", "save", "--output", archive, name)
            archive.chmod(0o644)
            code = subprocess.call([
                "docker", "run", "--rm", "--user", f"{os.getuid()}:{os.getgid()}", "--cap-drop", "ALL",
                "--security-opt", "no-new-privileges", "--volume", f"{archive}:/scanned.tar:ro", "--volume", f"{cache}:/cache",
                TRIVY, "image", "--cache-dir", "/cache", "--input", "/scanned.tar", "--scanners", "vuln,secret",
                "--severity", "HIGH,CRITICAL", "--ignore-unfixed", "--exit-code", "10", "--no-progress"])
            if code not in (0, 10):
                fail(f"the scanner ended with {code}")
            if code:
                holes.append(name)
            say(f"{name}: {'holes that can be closed, see above' if code else 'no known hole that can be closed'}")
    finally:
        archive.unlink(missing_ok=True)
    sys.exit(1 if holes else 0)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["push"]:
            push()
        case ["join"]:
            join()
        case ["release", name]:
            release(name)
        case ["tag", name]:
            tag(name)
        case ["use"]:
            use()
        case ["scan"]:
            scan()
        case _:
            sys.exit(__doc__)
