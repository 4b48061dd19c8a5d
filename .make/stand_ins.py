"""Images that stand in for those of docker-compose.yml where no registry can be reached: FROM scratch, with the
programs that this machine has and the libraries that they load, under the names that are pinned there.

Of ours, the stages of crates/Dockerfile from `runtime` on are built as they are, on a stand-in for their base and with
binaries that are built already. Every image has a label, by which it is found and removed again, and no image that
lacks it is ever replaced. Python's standard library only.
"""

import os
import pathlib
import re
import shutil
import subprocess

from servers import Failed, found
from service import ROOT, binary

LABEL = "bookstore.stand-in=true"
OURS = {name: f"bookstore/{name}:stand-in" for name in ("bookstore-api", "perf-service", "llm-simulator")}
RUNTIME = "bookstore/runtime:stand-in"
DOCKERFILE = ROOT / "crates" / "Dockerfile"
# The first line of the stages that are built here.
FIRST_STAGE = "FROM ${RUNTIME_IMAGE} AS runtime"
# What a program needs beside its libraries, and a base without anything lacks.
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    "etc/group": "root:x:0:\nnonroot:x:65532:\n",
    # Names of compose's extra_hosts are in /etc/hosts.
    "etc/nsswitch.conf": "hosts: files dns\n",
}
CERTIFICATES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
# Of a Java that only runs things.
NOT_OF_JAVA = shutil.ignore_patterns("jmods", "src.zip", "man", "include", "legal", "docs", "demo", "ct.sym")


def docker(*arguments, quiet=True):
    """Output of the command line, which has to succeed."""
    # The builder that needs no plugin.
    done = subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "DOCKER_BUILDKIT": "0"})
    if done.returncode:
        shown = f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}" if quiet else ""
        raise Failed(f"docker {' '.join(map(str, arguments))[:300]} failed:\n{shown}")
    return done.stdout.strip()


def pinned(service):
    """The image of a service of docker-compose.yml that is not ours."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    body = re.search(rf"^  {service}:\n((?:    .*\n|\s*#.*\n|\n)+)", text, re.MULTILINE)
    image = body and re.search(r"^    image: (?:&\S+ )?([^\s#]+)", body[1], re.MULTILINE)
    if not image or "$" in image[1]:
        raise Failed(f"docker-compose.yml pins no image of {service}")
    return image[1]


def libraries(program):
    """What a program loads, by the paths at which its loader looks."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    # `libc.so.6 => /lib/…/libc.so.6 (0x…)`, and the loader itself without an arrow.
    return {pathlib.Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", told, re.MULTILINE)}


class Root:
    """The files of an image."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True)
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)
        for path, text in FILES.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        if CERTIFICATES.exists():
            self.file(CERTIFICATES, CERTIFICATES)

    def file(self, source, place):
        target = self.folder / str(place).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.realpath(source), target)
        return target

    def program(self, source, place):
        self.file(source, place).chmod(0o755)
        self.loads(source)

    def loads(self, *programs):
        for library in set().union(*map(libraries, programs)):
            self.file(library, library)

    def empty(self, place):
        (self.folder / place.lstrip("/")).mkdir(parents=True)


def build(image, folder, instructions, *options):
    """An image of a folder; one of that name that is no stand-in stays, and fails."""
    if there := docker("image", "ls", "--quiet", image):
        labelled = docker("image", "ls", "--quiet", "--filter", f"label={LABEL}", image)
        if not labelled:
            raise Failed(f"{image} is here already ({there}) and is no stand-in: it would be replaced, so it is not. "
                         "Check with what there is: leave out --stand-ins")
    dockerfile = folder.with_name(f"{folder.name}.Dockerfile")
    dockerfile.write_text(instructions, encoding="utf-8")
    docker("build", "--quiet", "--force-rm", "--label", LABEL, "--file", dockerfile, "--tag", image, *options, folder)
    return image


def scratch(image, root, *instructions, owned=()):
    """An image FROM scratch with those files; `owned` are empty folders that belong to somebody."""
    lines = ["FROM scratch", "COPY root/ /"]
    for place, user in owned:
        (root.folder.parent / "empty").mkdir(exist_ok=True)
        lines.append(f"COPY --chown={user}:{user} empty/ {place}/")
    return build(image, root.folder.parent, "\n".join([*lines, *instructions]) + "\n")


def stripped(source, target):
    """A binary without what only a debugger reads, where that can be taken out."""
    if not shutil.which("strip") or subprocess.call(["strip", "--strip-debug", "-o", target, source]):
        shutil.copy(source, target)
    target.chmod(0o755)


def ours(work):
    """Images of the three services from the real Dockerfile's own last stages."""
    root = Root(work / "runtime" / "root")
    out = work / "services" / "out"
    (out / "data").mkdir(parents=True)
    for name in OURS:
        stripped(binary(name), out / name)
        root.loads(out / name)
    # As in distroless, whose place it takes.
    scratch(RUNTIME, root, "USER 65532:65532")
    text = DOCKERFILE.read_text(encoding="utf-8")
    if text.count(FIRST_STAGE) != 1:
        raise Failed(f"crates/Dockerfile no longer has the line {FIRST_STAGE!r}")
    stages = f"ARG RUNTIME_IMAGE\nFROM scratch AS build\nCOPY out/ /out/\n{text[text.index(FIRST_STAGE):]}"
    for name, image in OURS.items():
        build(image, work / "services", stages, "--target", name, "--build-arg", f"RUNTIME_IMAGE={RUNTIME}")


def redis(work):
    root = Root(work / "redis" / "root")
    for name, variable in (("redis-server", "REDIS_SERVER_BIN"), ("redis-cli", "REDIS_CLI_BIN")):
        root.program(found(name, variable), f"/usr/bin/{name}")
    root.empty("/data")
    scratch(pinned("redis"), root)


def prometheus(work):
    root = Root(work / "prometheus" / "root")
    root.program(found("prometheus", "PROMETHEUS_BIN"), "/bin/prometheus")
    root.program(found("promtool", "PROMTOOL_BIN"), "/bin/promtool")
    scratch(pinned("prometheus"), root, 'ENTRYPOINT ["/bin/prometheus"]', owned=[("/prometheus", 65534)])


def alertmanager(work):
    root = Root(work / "alertmanager" / "root")
    root.program(found("prometheus-alertmanager", "ALERTMANAGER_BIN", "alertmanager"), "/bin/alertmanager")
    root.program(found("amtool", "AMTOOL_BIN"), "/bin/amtool")
    # Some distributions' packages keep its templates beside it, and not in it.
    for template in pathlib.Path("/usr/share/prometheus/alertmanager").glob("*.tmpl"):
        root.file(template, template)
    scratch(pinned("alertmanager"), root, 'ENTRYPOINT ["/bin/alertmanager"]', owned=[("/alertmanager", 65534)])


def mongo(work):
    """A Java server of MongoDB's wire protocol: MONGO_STAND_IN names a folder with its class Serve (`Serve PORT FILE`)
    and, under lib/, what that needs."""
    classes = os.environ.get("MONGO_STAND_IN")
    if not classes or not (pathlib.Path(classes) / "Serve.class").exists():
        raise Failed("MONGO_STAND_IN names no folder with Serve.class and lib/*.jar, which stand in for MongoDB")
    java = pathlib.Path(os.path.realpath(found("java", "JAVA_BIN")))
    root = Root(work / "mongo" / "root")
    home = root.folder / "opt" / "java"
    shutil.copytree(java.parent.parent, home, ignore=NOT_OF_JAVA, ignore_dangling_symlinks=True)
    root.loads(java, *java.parent.parent.glob("lib/**/*.so"))
    # What Java loads of its own it finds by itself; a copy at its old place would be loaded beside it.
    shutil.rmtree(root.folder / str(java.parent.parent).lstrip("/"), ignore_errors=True)
    shutil.copytree(classes, root.folder / "opt" / "mongo", ignore=shutil.ignore_patterns("*.java", "*.xml"))
    shim = work / "mongo" / "shim"
    built = subprocess.run([os.environ.get("RUSTC", "rustc"), "--edition", "2024", "-O", "-o", shim,
                            ROOT / ".make" / "stand-ins" / "mongo.rs"], capture_output=True, text=True)
    if built.returncode:
        raise Failed(f"the stand-in for mongod cannot be built:\n{built.stderr[-2000:]}")
    for name in ("mongod", "mongosh"):
        root.program(shim, f"/usr/bin/{name}")
    shim.unlink()
    scratch(pinned("mongo"), root, owned=[("/data/db", 999), ("/data/configdb", 999)])


PARTS = {"our three": ours, "Redis": redis, "MongoDB": mongo, "Prometheus": prometheus, "Alertmanager": alertmanager}


def remove():
    """All stand-ins, and what building them left."""
    names = docker("image", "ls", "--filter", f"label={LABEL}", "--format", "{{.Repository}}:{{.Tag}}").split()
    named = [name for name in names if "<none>" not in name]
    if named:
        docker("image", "rm", "--force", *named)
    docker("image", "prune", "--force", "--filter", f"label={LABEL}")
    return named
