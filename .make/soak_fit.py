#!/usr/bin/env python3
"""Records calls of the Ollama at OLLAMA_BASE_URL, fits a profile and says how well it fits:

    soak_fit.py [--calls 2400] [--model llama3.2] [--keep FOLDER] [--recordings FILE]

Questions of 8 to 480 words, one, two and four at a time, go through `llm-simulator record`. `fit` then
prints its table, and the example `soak_fit` how often, over random halves, a simulated quantile lies in
the interval of the half held out, beside how often that of the other half itself does. Python's standard
library only.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import urllib.request

from service import DIRECT, ROOT, Service, binary

WORDS = ("a captain hunts the white whale across cold oceans while his crew wonders what loyalty means under "
         "an old mast between storms and letters from home").split()
AT_ONCE = (1, 2, 4)
PHASE = 100


def ask(url, model, number):
    draws = random.Random(number)
    words = int(8 * 60 ** draws.random())
    text = "Summarise this book: " + " ".join(draws.choice(WORDS) for _ in range(words))
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(f"{url}/api/chat", body, {"Content-Type": "application/json"})
    with DIRECT.open(request, timeout=300) as answer:
        return json.loads(answer.read().splitlines()[-1]).get("done", False)


def record(upstream, model, calls, folder):
    recordings = folder / "calls.jsonl"
    arguments = ["record", "--upstream", upstream, "--output", str(recordings), "--answers", "timing"]
    proxy = Service("llm-simulator", folder, {}, arguments)
    try:
        ask(upstream, model, 0)  # The model is in memory before the first call counts.
        phases = random.Random(1)
        for start in range(0, calls, PHASE):
            with concurrent.futures.ThreadPoolExecutor(phases.choice(AT_ONCE)) as pool:
                numbers = range(start, min(calls, start + PHASE))
                done = sum(pool.map(lambda number: ask(proxy.url, model, number), numbers))
            print(f"soak_fit: {start + done} calls recorded", file=sys.stderr, flush=True)
    finally:
        proxy.stop()
    return recordings


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2400)
    parser.add_argument("--model", default=os.environ.get("OLLAMA_MODEL", "llama3.2"))
    parser.add_argument("--keep", type=pathlib.Path, help="folder for recordings and profile")
    parser.add_argument("--recordings", type=pathlib.Path, help="recordings that are there already")
    wanted = parser.parse_args()
    upstream = os.environ.get("OLLAMA_BASE_URL")
    if not upstream and not wanted.recordings:
        sys.exit("soak_fit: OLLAMA_BASE_URL is not set: start an Ollama and name it, such as http://127.0.0.1:11434")
    with tempfile.TemporaryDirectory() as temporary:
        folder = wanted.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        recordings = wanted.recordings or record(upstream.rstrip("/"), wanted.model, wanted.calls, folder)
        profile = folder / "profile.json"
        for command in (
            [binary("llm-simulator"), "fit", recordings, "--output", profile],
            [binary("examples") / "soak_fit", recordings],
        ):
            code = subprocess.run(command, cwd=ROOT).returncode
            if code:
                return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
