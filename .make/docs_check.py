#!/usr/bin/env python3
"""Holds the documents to what there is:

- every link leads to a file or heading that is there; every file, setting and address on this machine that is named in
  prose is there, too;
- every command in a code block, and every `make …` or call of a binary in prose, names a target, subcommand or option
  that there is;
- every figure that follows from the sources is theirs, and what was measured names the target that measures it
  (figures.py);
- README's tables of settings have the settings that the code reads, all of them, with their defaults;
- every link to a dashboard, in alerts and pages too, leads to one that there is;
- every make target is in `make help`, and is run by .ci/run, a workflow or a test, or .make/untested_targets.json says
  why not.

Links out of here are looked at for their form alone: nothing is fetched. Sources are read as text, in the form in which
they are written here. Python's standard library only.
"""

import json
import pathlib
import re
import shlex
import subprocess
import sys

import figures

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md")
BINARIES = ("bookstore-api", "perf-service", "llm-simulator")
PORTS = {7001: "bookstore-api", 7002: "bookstore-api", 7003: "perf-service", 7004: "perf-service", 7006: "llm-simulator"}
# Programs of others that a code block may call; what they are told is not looked at.
PROGRAMS = {"cargo", "cd", "cp", "curl", "docker", "eval", "export", "gh", "git", "k6", "mkdir", "npx", "ollama", "openssl",
            "pip", "pipx", "promtool", "python3", "rustup", "ssh"}
# Options of those that prose names.
OPTIONS_OF_OTHERS = {"--web.enable-remote-write-receiver", "--cfg", "--out"}
# Names of files that are no part of the repository: what a user has, or a program writes.
FILES_OF_OTHERS = {
    "books.csv", "books.jsonl", "calls.jsonl", "profile.json", "report.json", "smoke.html", "tenants.json",
    "run.json", "results.json", "report.html", "samples.ndjson", "k6.log", "k6.exit", "runs.sqlite", "docker-gate.sock",
    "release.json", "foo.rs", "mod.rs", "openapi.json",
}
FILE = re.compile(r"[\w.{},*/-]*\.(?:rs|js|mjs|ts|py|json|jsonl|ndjson|md|toml|ya?ml|html|css|csv|txt|sock|sqlite|log)")
ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1|localhost):(\d+)((?:/[^\s)`'\"|·,;]*)?)")
SETTING = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")


class Repository:
    """What the documents are held to."""

    def __init__(self):
        listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                                capture_output=True, text=True, check=True).stdout
        self.files = {line for line in listed.splitlines() if (ROOT / line).exists()}
        self.folders = {str(parent) for file in self.files for parent in pathlib.PurePosixPath(file).parents}
        self.makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        rules = re.findall(r"(?m)^([a-z0-9][a-z0-9 -]*):(?!=)([^#\n]*)(##)?", self.makefile)
        self.targets = {target: rest for names, rest, _ in rules for target in names.split()}
        self.commands = {name: self.command_line(name) for name in BINARIES}
        self.routes = {name: self.routes_of(name) for name in BINARIES}
        self.settings = {name: settings_of(self.sources(name, "src/settings")) for name in BINARIES}
        # Wherever a variable's name may come from: its word is in one of these.
        words = [self.makefile, *(self.text(file) for file in self.files
                                  if re.match(r"\.make/|\.ci/|\.github/|k6/|monitoring/|docker-compose|crates/.*/src/|crates/Dockerfile", file))]
        self.variables = {word for text in words for word in SETTING.findall(text)} | set(re.findall(r"\b[A-Z]{3,}\b", self.makefile))
        self.variables |= set(re.findall(r"read\('([A-Z]+)'", self.text("k6/lib/settings.js")))

    def text(self, file):
        return (ROOT / file).read_text(encoding="utf-8", errors="replace")

    def sources(self, crate, beginning):
        """Rust of a crate without its tests, as one text."""
        found = sorted(file for file in self.files if file.startswith(f"crates/{crate}/{beginning}")
                       and file.endswith(".rs") and not file.endswith("/tests.rs"))
        return "\n".join(self.text(file).split("#[cfg(test)]")[0] for file in found)

    def command_line(self, crate):
        """Subcommands and options, as clap makes them of the declarations."""
        text = self.sources(crate, "src/settings")
        kebab = lambda name: re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).replace("_", "-").lower()
        commands = set()
        for body in re.findall(r"Subcommand[^\]]*\)\]\s*(?:pub(?:\(\w+\))? )?enum \w+ \{\n(.*?)\n\}", text, re.DOTALL):
            commands |= {kebab(name) for name in re.findall(r"(?m)^    ([A-Z]\w*)(?:[,({]| \{)", body)}
        options = {"--help", "--version", "-h", "-V"}
        for attribute, field in re.findall(r"#\[arg\(((?:[^()]|\([^()]*\))*)\)\]\s*(?:pub(?:\(\w+\))? )?(\w+):", text):
            if re.search(r"\blong\b", attribute):
                options.add("--" + ((re.search(r'\blong = "([^"]+)"', attribute) or [0, kebab(field)])[1]))
            if short := re.search(r"\bshort\b(?: = '(.)')?", attribute):
                options.add("-" + (short[1] or field[0]))
            options |= {f"--{alias}" for alias in re.findall(r'alias = "([^"]+)"', attribute)}
        return commands, options

    def routes_of(self, crate):
        text = self.sources(crate, "src/http") + self.sources("http-server", "src/")
        found = set(re.findall(r'(?:path = |\.route\()"(/[^"]*)"', text))
        # What takes any path refuses it.
        return {"/swagger", "/openapi.json", "/metrics"} | {route for route in found if "{*path}" not in route}


def settings_of(text):
    """What the environment may say, and what is taken where it does not: None where that is not told in one word."""
    found = {}
    argument = re.compile(r"((?:[ \t]*///[^\n]*\n)*)[ \t]*#\[arg\(((?:[^()]|\([^()]*\))*)\)\]")
    for comment, attribute in argument.findall(text):
        if name := re.search(r'\benv = "([A-Z0-9_]+)"', attribute):
            words = " ".join(re.sub(r"(?m)^\s*///", " ", comment).split())
            told = re.search(r'default_value = "([^"]*)"', attribute) or re.search(r"\[default: ([^\]]+)\]", words)
            # What stands behind a semicolon is of one subcommand alone.
            found[name[1]] = told[1].split(";")[0] if told and told[1] else None
    for name in re.findall(r'(?:secret|variable|env::var)\("([A-Z0-9_]+)"\)', text):
        found.setdefault(name, None)
    return found


class Document:
    """A Markdown file: prose without code blocks, code blocks, headings."""

    def __init__(self, name, text):
        self.name, self.prose, self.blocks, self.anchors = name, [], [], set()
        fence, language, block = None, "", []
        for number, line in enumerate(text.splitlines(), 1):
            mark = re.match(r"^\s*(```+|~~~+)(\w*)", line)
            if fence is None and mark:
                fence, language, block = mark[1], mark[2], []
            elif fence is not None and mark and mark[1].startswith(fence) and not mark[2]:
                self.blocks.append((language, block))
                fence = None
            elif fence is not None:
                block.append((number, line))
            else:
                self.prose.append((number, line))
                if heading := re.match(r"^#{1,6} (.+?)#*$", line):
                    self.anchors.add(self.slug(heading[1]))

    def slug(self, heading):
        """As GitHub makes it; a second one of a name gets a number."""
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip()).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number, whole = 0, slug
        while whole in self.anchors:
            number += 1
            whole = f"{slug}-{number}"
        return whole


def links(document, documents, repository):
    plain = re.compile(r"`+[^`]*`+")
    for number, line in document.prose:
        text = plain.sub("", line)
        found = re.findall(r"\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)", text) + re.findall(r"(?:href|src)=\"([^\"]+)\"", text)
        found += re.findall(r"^\[[^\]]+\]:\s*(\S+)", text)
        # A picture that is a link, too.
        found += re.findall(r"\]\(([^)\s]+)\)\]\(([^)\s]+)\)", text) and [one for pair in re.findall(r"\]\(([^)\s]+)\)\]\(([^)\s]+)\)", text) for one in pair]
        for target in found:
            if re.match(r"https?://", target):
                if not re.match(r"https://[\w.-]+\.[a-z]+(?:[/?#]|$)|http://(?:127\.0\.0\.1|localhost)[:/]", target):
                    yield number, f"{target} is no address that a link may lead to"
            elif re.match(r"mailto:[^@\s]+@[\w.-]+$", target):
                continue
            else:
                path, _, anchor = target.partition("#")
                whole = pathlib.Path(document.name).parent.joinpath(path) if path else pathlib.Path(document.name)
                name = str(pathlib.PurePosixPath(*[part for part in normal(whole)])) if path else document.name
                if name not in repository.files and name not in repository.folders:
                    yield number, f"{target} is not there"
                elif anchor and anchor not in (documents[name] if name in documents else Document(name, repository.text(name))).anchors:
                    yield number, f"{target}: {name} has no such heading"


def normal(path):
    parts = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return parts


def is_there(name, repository):
    """Whether a file is named: whole, by its end, with alternatives in braces, or with a star."""
    if brace := re.search(r"\{([^{}]*)\}", name):
        return all(is_there(name[:brace.start()] + one + name[brace.end():], repository) for one in brace[1].split(","))
    pattern = re.escape(name.strip("/")).replace(r"\*\*", ".*").replace(r"\*", "[^/]*").replace("NAME", "[^/]+")
    if any(re.search(rf"(?:^|/){pattern}$", one) for one in repository.files | repository.folders):
        return True
    # A file of a crate may be named by the crate alone.
    crate, _, rest = pattern.partition("/")
    return any(re.fullmatch(rf"crates/{crate}/src/{rest}", one) for one in repository.files)


def named_files(document, repository):
    for number, line in document.prose:
        for code in re.findall(r"`([^`]+)`", line):
            looks = FILE.fullmatch(code) and not re.fullmatch(r"\.[\w.]+", code)
            inside = re.fullmatch(r"(?:crates|k6|monitoring|\.make|\.github|\.ci|\.cargo)/[\w.{},*/-]*", code)
            if not (looks or inside) or code.rsplit("/", 1)[-1] in FILES_OF_OTHERS:
                continue
            if not is_there(code, repository):
                yield number, f"`{code}` is not there"


def fits(path, route):
    pattern = re.escape(route)
    pattern = re.sub(r"\\\{\\\*[^}]*\\\}", ".+", pattern)
    pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", pattern)
    return re.fullmatch(pattern, path, re.IGNORECASE if path.startswith("/api/") else 0) is not None


def addresses(text, repository):
    for port, path in ADDRESS.findall(text):
        service = PORTS.get(int(port))
        path = path.split("?")[0].split("#")[0].rstrip(".:")
        if service and path not in ("", "/") and not any(fits(path, route) for route in repository.routes[service]):
            # What a client is pointed at: it adds the rest.
            if not any(route.startswith(path + "/") for route in repository.routes[service]):
                yield f"{service} has no {path}"


def command(words, repository):
    """What is wrong with one command."""
    assigned = re.compile(r"([A-Z][A-Z0-9_]*)=.*", re.DOTALL)
    while words and (match := assigned.fullmatch(words[0])):
        value = words.pop(0).partition("=")[2]
        if value.startswith("$("):
            # A variable of the shell's own, from what a command says.
            words.insert(0, value.removeprefix("$("))
        elif match[1] not in repository.variables:
            yield f"nothing reads {match[1]}"
    if not words or words[0] == "…":
        return
    program, rest = words[0], words[1:]
    name = program.rsplit("/", 1)[-1]
    if program == "make":
        for word in rest:
            if match := assigned.fullmatch(word):
                if match[1] not in repository.variables:
                    yield f"nothing reads {match[1]}"
            elif re.search(r"[A-Z…<]", word):
                pattern = re.sub(r"[A-Z]+|…|<[^>]*>", "[a-z0-9-]+", word)
                if not any(re.fullmatch(pattern, target) for target in repository.targets):
                    yield f"there is no target like {word}"
            elif not word.startswith("-") and word not in repository.targets:
                yield f"there is no target {word}"
    elif name in BINARIES:
        commands, options = repository.commands[name]
        if rest and re.fullmatch(r"[a-z-]+", rest[0]) and not rest[0].startswith("-") and rest[0] not in commands:
            yield f"{name} has no subcommand {rest[0]}"
        for word in rest:
            option = word.split("=")[0]
            if re.fullmatch(r"--?[a-z][\w-]*", option) and option not in options:
                yield f"{name} has no option {option}"
    elif program.startswith((".make/", ".ci/")):
        if program not in repository.files:
            yield f"{program} is not there"
    elif program not in PROGRAMS:
        yield f"{program} is no program that is known here"
    for word in rest:
        if word.startswith((".make/", ".ci/")) and word not in repository.files:
            yield f"{word} is not there"


def split(words):
    one = []
    for word in words:
        if word in ("&&", "||", "|", ";"):
            yield one
            one = []
        else:
            one.append(word)
    yield one


def commands(document, repository):
    for language, block in document.blocks:
        if language not in ("sh", "bash", "shell", "console"):
            continue
        waiting, first = "", 0
        for number, line in block:
            first = first if waiting else number
            waiting = f"{waiting}\n{line}" if waiting else line
            if waiting.endswith("\\"):
                waiting = waiting[:-1]
                continue
            try:
                words = shlex.split(waiting, comments=True)
            except ValueError:
                continue  # a quotation goes on
            waiting = ""
            for one in split(words):
                for wrong in command(one, repository):
                    yield first, wrong
        if waiting:
            yield first, "a quotation does not end"
    for number, line in document.prose:
        for code in re.findall(r"`([^`]+)`", line):
            beginning = code.split(" ", 1)[0]
            if " " in code and (beginning == "make" or beginning in BINARIES or SETTING.fullmatch(beginning.split("=")[0]) and "=" in beginning and " make " in code):
                try:
                    words = shlex.split(code)
                except ValueError:
                    yield number, f"`{code}` has an open quotation"
                    continue
                for one in split(words):
                    for wrong in command(one, repository):
                        yield number, wrong
            elif re.fullmatch(r"--[a-z][\w.-]*", code):
                known = set().union(*(options for _, options in repository.commands.values()))
                if code not in known and code not in OPTIONS_OF_OTHERS:
                    yield number, f"no binary has the option {code}"


def named_settings(document, repository):
    """Every variable that prose names is read somewhere."""
    for number, line in document.prose:
        for code in re.findall(r"`([^`]+)`", line):
            name = re.fullmatch(r"([A-Z][A-Z0-9_]*)(?:=\S*)?", code)
            if name and "_" in name[1] and name[1] not in repository.variables and not name[1].endswith("_"):
                yield number, f"nothing reads {name[1]}"


def tables(document):
    """README's tables of settings: binary, line, names, default, words."""
    binary = None
    for number, line in document.prose:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.lstrip().startswith("|") else None
        if not cells:
            binary = None
        elif cells[0] in BINARIES and len(cells) == 3 and cells[1] == "default":
            binary = cells[0]
        elif binary and not re.fullmatch(r":?-+:?", cells[0]):
            yield binary, number, re.findall(r"`([A-Z][A-Z0-9_]*)`", cells[0]), cells[1], cells[2] if len(cells) > 2 else ""


def settings_tables(document, repository):
    listed = {name: set() for name in BINARIES}
    for binary, number, names, default, words in tables(document):
        there, first = repository.settings[binary], repository.settings["bookstore-api"]
        parts = [part.strip().strip("`") for part in default.split(",")]
        for place, name in enumerate(names):
            if name in listed[binary]:
                yield number, f"{name} is in {binary}'s table twice"
            listed[binary].add(name)
            if name not in there:
                yield number, f"{binary} does not read {name}"
                continue
            real = there[name]
            if real in (None, "none"):
                continue
            # A row of several names has as many defaults; one that is only sometimes in force stands among the words.
            told = default.strip("`") if len(names) == 1 else parts[place] if place < len(parts) else ""
            likewise = not told and "as above" in words and first.get(name) in (real, None)
            if real != told and not likewise and not re.search(rf"(?<![\w.]){re.escape(real)}(?![\w.])", words):
                yield number, f"{binary}: {name} is {real} unless set, and the table says {told or 'nothing'}"
    for binary in BINARIES:
        for name in sorted(repository.settings[binary].keys() - listed[binary]):
            yield 0, f"{binary} reads {name}, which its table does not have"


def run_somewhere(repository):
    """The targets that .ci/run, a workflow, an action or a test runs, and what those need."""
    found = set()
    for file in repository.files:
        if not (file == ".ci/run" or file.startswith(".github/") and file.endswith((".yaml", ".yml")) or re.match(r"crates/[^/]+/tests/.*\.rs$", file)):
            continue
        for line in repository.text(file).splitlines():
            line = re.sub(r"(?:^|\s)(?:#|//).*$", "", line)
            for words in re.findall(r"(?<![\w/-])make((?: +(?:[a-z0-9][a-z0-9-]*|[A-Z_]+=(?:\"[^\"]*\"|\S*)))+)", line):
                found |= {word for word in words.split() if word in repository.targets}
    # `make help` is run below.
    waiting = found | {"help"}
    found = set()
    while waiting:
        target = waiting.pop()
        found.add(target)
        waiting |= {need for need in repository.targets[target].split() if need in repository.targets} - found
    return found


def targets(repository):
    said = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True)
    shown = set(re.findall(r"(?m)^  ([a-z0-9-]+) ", said.stdout))
    for target in sorted(repository.targets.keys() - shown):
        yield f"make help does not show {target}"
    file = ".make/untested_targets.json"
    reasons, covered = json.loads(repository.text(file)), run_somewhere(repository)
    for target in sorted(repository.targets.keys() - covered - reasons.keys()):
        yield f"nothing runs {target}, and {file} does not say why"
    for target, reason in reasons.items():
        if target not in repository.targets:
            yield f"{file} names {target}, which is no target"
        elif target in covered:
            yield f"{file} names {target}, which is run"
        if len(reason.split()) < 4:
            yield f"{file} gives no reason for {target}"


def dashboards(repository):
    """Whatever links to a dashboard, alerts first of all, links to one that there is."""
    uids = {json.loads(repository.text(file))["uid"] for file in repository.files
            if re.fullmatch(r"monitoring/grafana/dashboards/[^/]+\.json", file)}
    for file in sorted(repository.files):
        if re.match(r"monitoring/|crates/[^/]+/src/|\.make/[^/]+\.py$|[^/]+\.md$", file):
            for uid in sorted(set(re.findall(r"/d/([a-z]+-[a-z0-9-]+)", repository.text(file))) - uids):
                yield f"{file} links to the dashboard {uid}, which there is not"


def main():
    repository = Repository()
    names = [*DOCUMENTS, *sorted(file for file in repository.files if re.match(r"(?:crates/[^/]+/docs|docs)/.*\.md$", file))]
    missing = [name for name in names if name not in repository.files]
    documents = {name: Document(name, repository.text(name)) for name in names if name not in missing}
    mistakes = [f"{name} is not there" for name in missing]
    for document in documents.values():
        found = [*links(document, documents, repository), *named_files(document, repository), *commands(document, repository),
                 *named_settings(document, repository)]
        for number, line in [*document.prose, *(line for _, block in document.blocks for line in block)]:
            found += [(number, wrong) for wrong in addresses(line, repository)]
        if document.name == "README.md":
            found += settings_tables(document, repository)
        mistakes += [f"{document.name}:{number}: {wrong}" if number else f"{document.name}: {wrong}" for number, wrong in sorted(set(found))]
    mistakes += [f"{name}: {wrong}" for name, wrong in figures.check(repository)]
    mistakes += [*dashboards(repository), *targets(repository)]
    for mistake in mistakes:
        print(f"docs-check: {mistake}", file=sys.stderr)
    if mistakes:
        sys.exit(f"docs-check: {len(mistakes)} mistakes")
    read = sum(len(one) for one in repository.settings.values())
    print(f"docs-check: {len(documents)} documents, {len(repository.targets)} targets, {read} settings, {len(figures.CLAIMS)} figures: all as they are")


if __name__ == "__main__":
    main()
