"""The figures in the documents that follow from the sources, each with the place that decides it; docs_check.py holds them
to it. A figure that was measured is no fact of the sources: its paragraph has to name the target that prints it.

A claim is a document, its words with a group for each figure, and where the same figures come from: a file with words of
its own, or a function. `1_200`, `1,200` and `ten` are numbers, too. Python's standard library only.
"""

import json
import re

WORDS = {word: number for number, word in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve".split())}
README, ARCHITECTURE = "README.md", "ARCHITECTURE.md"
LISTENER, APP, MONGO = "crates/http-server/src/listener.rs", "crates/bookstore-api/src/app.rs", "crates/bookstore-api/src/store/mongo.rs"
OVERDUE, OBJECTIVES = "crates/bookstore-api/src/cache_aside/overdue.rs", "monitoring/prometheus/objectives.py"
COMPARISON = "crates/perf-service/src/settings/comparison.rs"
# Words of a paragraph that tells of a measurement, and what names who made it.
MEASURED = re.compile(r"\bMeasured\b|\bmeasured (?:on|in|with|beside)\b|\d (?:ms|µs|MiB|KiB) (?:to|more|at p99|of processor time)\b")
MEASURER = re.compile(r"`make [a-z]|\]\([^)]*verdicts\.md\)|Prometheus|tests/it/")


def seeds(repository):
    return [len(json.loads(repository.text("crates/bookstore-api/seed/books.json")))]


def dashboards(repository):
    return [sum(bool(re.fullmatch(r"monitoring/grafana/dashboards/[^/]+\.json", file)) for file in repository.files)]


def mistakes(repository):
    body = repository.text("k6/lib/mistakes.js").split("const MISTAKES = [")[1].split("\n];")[0]
    return [len(re.findall(r"(?m)^  \(", body))]


def percent(repository):
    return [float(found) * 100 for found in re.findall(r'(?m)^        "\w+", "(0\.\d+)", "slo:', repository.text(OBJECTIVES))]


def burns(repository):
    return re.findall(r'(?m)^    Burn\("([\d.]+)"', repository.text(OBJECTIVES))


CLAIMS = (
    (README, r"starts with (\d+) well-known books", seeds),
    (README, r"Grafana with (\w+) dashboards", dashboards),
    (README, r"Prometheus with alerts, (\w+) Grafana dashboards", dashboards),
    (README, r"\| `errors` \| (\d+) mistakes", mistakes),
    (README, r"\| availability ([\d.]+) %[^\n]*\n\| latency ([\d.]+) %[^\n]*\n\| llm_latency ([\d.]+) %[^\n]*\n\| summaries ([\d.]+) %", percent),
    (README, r"done within (\d+) s, where no LLM", (OBJECTIVES, r"no LLM takes part are done within (\d+) s")),
    (README, r"done within (\d+) s, where one may", (OBJECTIVES, r"an LLM may take part are done within (\d+) s")),
    (README, r"a page at ([\d.]+) and (\d+) times the pace, a ticket at (\d+) and (\d+)", burns),
    (README, r"with (\w+) bad requests at the least", (OBJECTIVES, r"FEWEST_BAD = (\d+)")),
    (README, r"`--min-effect`, (\d+) %", (COMPARISON, r"smallest change that matters[^\[]*\[default: (\d+)\]")),
    (README, r"unanswered (\d+) s after the load", ("k6/lib/phases.js", r"GRACE_SECONDS = (\d+)")),
    (README, r"may spend `LLM_DAILY_BUDGET_USD`, (\w+) dollars a day",
     ("crates/bookstore-api/src/settings/llm.rs", r'env = "LLM_DAILY_BUDGET_USD",\s*default_value = "(\d+)"')),
    (ARCHITECTURE, r"head and handshake are cut after (\d+) s, a body is answered with `408` after (\d+) s",
     (LISTENER, r"header_timeout: Duration::from_secs\((\d+)\),\s*body_timeout: Duration::from_secs\((\d+)\)")),
    (ARCHITECTURE, r"closed after (\d+) s in which it made room", (LISTENER, r"write_timeout: Duration::from_secs\((\d+)\)")),
    (ARCHITECTURE, r"more connections than ([\d,]+), or", (LISTENER, r"\n            connections: ([\d_]+)")),
    (ARCHITECTURE, r"it is said goodbye after (\d+) to", (LISTENER, r"idle_timeout: Duration::from_secs\((\d+)\)")),
    (ARCHITECTURE, r"requests under way end within (\d+) s \((\d+) s more to be cut\)",
     (LISTENER, r"drain_deadline: Duration::from_secs\((\d+)\)", "crates/http-server/src/connection/streams.rs",
      r"CUT_DEADLINE: Duration = Duration::from_secs\((\d+)\)")),
    (ARCHITECTURE, r"half a handshake\) are closed after (\d+) s", (LISTENER, r"IDLE_GRACE: Duration = Duration::from_secs\((\d+)\)")),
    (ARCHITECTURE, r"writes under way end within ([\d.]+) s, the ledger[^.]*within ([\d.]+) s",
     (APP, r"WRITES_DEADLINE: Duration = Duration::from_millis\(([\d_]+)\)", APP, r"LAST_DEADLINE: Duration = Duration::from_millis\(([\d_]+)\)")),
    (ARCHITECTURE, r"within (\d+) s for each store operation", (MONGO, r"\nconst DEADLINE: Duration = Duration::from_secs\((\d+)\)")),
    (ARCHITECTURE, r"back within (\d+) s of its return", (MONGO, r"HEARTBEAT: Duration = Duration::from_secs\((\d+)\)")),
    (ARCHITECTURE, r"tried (\w+) before the write is answered", ("crates/bookstore-api/src/cache_aside.rs", r"TRIES: u32 = (\d+)")),
    (ARCHITECTURE, r"then every (\d+) ms until it is carried out", (OVERDUE, r"\nconst PAUSE: Duration = Duration::from_millis\((\d+)\)")),
    (ARCHITECTURE, r"more than ([\d,]+) invalidations are overdue", (OVERDUE, r"MOST: usize = ([\d_]+)")),
    (ARCHITECTURE, r"is followed by the next within (\d+) s", ("crates/bookstore-api/src/leases.rs", r"LASTS: Duration = Duration::from_secs\((\d+)\)")),
    (ARCHITECTURE, r"exact up to ([\d,]+), flagged `totalCapped`", ("crates/bookstore-api/src/store.rs", r"TOTAL_CAP: u64 = ([\d_]+)")),
    (ARCHITECTURE, r"\*\*gzip from (\d+) KiB on", ("crates/http-server/src/layers/compression.rs", r"LEAST: u64 = (\d+) << 10")),
)


def number(text):
    """Of a word, of digits with separators, or of `twice`."""
    text = str(text).lower().replace(",", "").replace("_", "")
    return {"twice": 2.0, "once": 1.0}.get(text) or float(WORDS.get(text, text))


def found(pattern, text):
    match = re.search(pattern, text)
    return match and [one for one in match.groups() if one is not None]


def scenarios(repository):
    """README's table and `make help`, against the heads of the scenarios themselves."""
    heads = {}
    for file in repository.files:
        if name := re.fullmatch(r"k6/scenarios/([\w-]+)\.js", file):
            heads[name[1]] = dict(re.findall(r"(?m)^// (duration|users|rate): (\d+)m?$", repository.text(file)))
    rows = re.findall(r"(?m)^\| ((?:`[\w-]+`(?: · )?)+) \| ([^|]+) \|$", repository.text(README))
    told = {name: text for names, text in rows for name in re.findall(r"`([\w-]+)`", names) if name in heads}
    told |= {f"make perf-{name}": text for name, text in re.findall(r"(?m)^perf-([\w-]+): \$\(SERVED\) ## (.+)$", repository.makefile)}
    for name, text in told.items():
        head = heads[name.removeprefix("make perf-")]
        for what, pattern in (("duration", r"(\d+) minutes"), ("rate", r"(\d+) visits a second"), ("users", r"(\d+) users?\b")):
            said = re.search(pattern, text)
            if said and what in head and int(said[1]) != int(head[what]):
                yield f"{name} is said to have {said[0]}, and has {head[what]}"
    for name in heads.keys() - told.keys():
        yield f"README's table of scenarios lacks {name}"


def check(repository):
    """What is wrong, by document."""
    for document, pattern, source in CLAIMS:
        said = found(pattern, repository.text(document))
        if said is None:
            yield document, f"the words {pattern!r} are gone: .make/figures.py holds them to the sources"
            continue
        if callable(source):
            real = source(repository)
        else:
            real = [one for file, words in zip(source[::2], source[1::2]) for one in found(words, repository.text(file)) or ["nan"]]
        # Milliseconds in the source may be seconds in the words.
        fits = len(said) == len(real) and all(abs(number(a) - number(b)) < 1e-9 or abs(number(a) * 1000 - number(b)) < 1e-9
                                              for a, b in zip(said, real))
        if not fits:
            yield document, f"{', '.join(said)} is said by {pattern!r}, and it is {', '.join(map(str, real))}"
    for wrong in scenarios(repository):
        yield README, wrong
    for document in (README, ARCHITECTURE):
        text = re.sub(r"(?ms)^```.*?^```", "", repository.text(document))
        for paragraph in re.split(r"\n\s*\n|\n(?=- )", text):
            if MEASURED.search(paragraph) and not paragraph.startswith("|") and not MEASURER.search(paragraph):
                yield document, f"nothing says which target measured: {' '.join(paragraph.split())[:90]}…"
