#!/usr/bin/env python3
"""Opens a page where there is a browser, and says its address anyway: open_page.py NAME. Fails where nothing answers.
Python's standard library only."""

import subprocess
import sys

import dotenv
from servers import call

PAGES = {
    "grafana-mega": ("http://127.0.0.1:3000", "/d/bookstore-mega"),
    "grafana-dashboards": ("http://127.0.0.1:3000", "/dashboards?tag=bookstore"),
    "grafana-demo": ("http://127.0.0.1:3000", "/"),
    "grafana-performance": ("http://127.0.0.1:3000", "/d/bookstore-performance"),
    "aspire-dashboard": ("http://127.0.0.1:15888", "/"),
    "prometheus": ("http://127.0.0.1:9090", "/alerts"),
    "alertmanager": ("http://127.0.0.1:9093", "/"),
    "swagger": ("http://127.0.0.1:7002", "/swagger"),
    "swagger-perf": ("http://127.0.0.1:7004", "/swagger"),
    "trends": ("http://127.0.0.1:7004", "/trends"),
}


def main(name):
    server, path = PAGES[name]
    token = dotenv.value("ASPIRE_BROWSER_TOKEN") if name == "aspire-dashboard" else ""
    address = f"{server}/login?t={token}" if token else server + path
    print(address)
    if call(server, seconds=5)[0] == 0:
        starts = "make run-services or make up" if "700" in server else "make run-aspire or make up" if token else "make up"
        sys.exit(f"nothing answers at {server}: {starts}")
    for opener in ("xdg-open", "open"):
        try:
            if subprocess.run([opener, address], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=20).returncode == 0:
                return
        except (OSError, subprocess.SubprocessError):
            pass


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in PAGES:
        sys.exit(f"{__doc__}\nNames: {', '.join(PAGES)}")
    main(sys.argv[1])
