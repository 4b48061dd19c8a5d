#!/usr/bin/env python3
"""README's tables of settings, from what `--help` of the three binaries says:

    settings.py            write them
    settings.py --check    are they what is written?

The binaries of `make build` are asked, in an empty environment. Each table stands between two marks of its own.
Python's standard library only.
"""

import re
import subprocess
import sys

from service import ROOT, binary

BINARIES = ("bookstore-api", "perf-service", "llm-simulator")
README = ROOT / "README.md"
# An option or a variable: six columns in; what is said of it: ten.
ENTRY = re.compile(r"(?m)^ {2,6}(?:-\w, )?(--[a-z0-9-]+|[A-Z][A-Z0-9_]+)(?: <\w+>)?\s*\n((?: {10}.*\n?)+)")


def entries(binary_name):
    """Name, default and words of each setting, in the order of the help; then those of the environment alone."""
    told = subprocess.run([binary(binary_name), "--help"], capture_output=True, text=True, env={}, check=True).stdout
    found = []
    for option, words in ENTRY.findall(told):
        words = " ".join(words.split())
        name = re.search(r"\[env: (\w+)=?\]", words)
        default = re.search(r"\[default: ([^\]]*)\]", words)
        # Options of one call, such as --help, are no settings.
        if not name and option.startswith("-"):
            continue
        text = re.sub(r"\s*\[(?:env|default|alias|aliases): [^\]]*\]", "", words)
        spelled = "--" + (name[1] if name else "").lower().replace("_", "-")
        if option.startswith("-") and spelled != option:
            text += f" (`{option}`)"
        default = default[1].strip('"') if default else ""
        found.append((name[1] if name else option, default, text if name else f"{text}; environment only"))
    if len(found) < 10:
        sys.exit(f"settings: `{binary_name} --help` tells of {len(found)} settings only: has its form changed?")
    return found


def table(name):
    lines = [f"| {name} | default | |", "|---|---|---|"]
    for setting, default, words in entries(name):
        cells = [f"`{setting}`", f"`{default}`" if re.fullmatch(r"\S+", default) else default, words]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def main():
    old = text = README.read_text(encoding="utf-8")
    for name in BINARIES:
        begin, end = f"<!-- settings of {name}: make settings -->\n", f"\n<!-- end of settings of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            sys.exit(f"settings: README.md lacks the marks {begin.strip()} and {end.strip()}, or has them twice")
        head, rest = text.split(begin)
        text = f"{head}{begin}\n{table(name)}\n{end}{rest.split(end)[1]}"
    if sys.argv[1:] == ["--check"]:
        if text != old:
            sys.exit("settings: README.md has other settings than the binaries; `make settings` writes them")
        print("settings: README.md has those of the binaries")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    elif text != old:
        README.write_text(text, encoding="utf-8")
        print("settings: wrote README.md")


if __name__ == "__main__":
    main()
