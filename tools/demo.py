"""Boot the lab, deploy to it, and show who answered: what `make demo` runs.

Exits with the code of the first step that fails; that step has said why.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUESTS = 60
SITES = ("hello.localhost", "hello-async.localhost")

Answer = tuple[str, str, str]
"""Who answered: host, server, protocol."""


def say(text: str) -> None:
    """Print a line that stands out from Ansible's."""
    print(f"\n==> {text}", flush=True)


def run(*command: str) -> None:
    """Run a command of the checkout, and end with its exit code where it fails."""
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        say(f"failed: {' '.join(command)} (exit code {code})")
        sys.exit(code)


def ask(port: int, site: str, requests: int) -> Counter[Answer]:
    """Send GET /whoami to `site` through the balancer on 127.0.0.1:`port`; count who answered.

    Each request has a connection of its own. Raises RuntimeError at an answer other than 200.
    """
    answers: Counter[Answer] = Counter()
    for _ in range(requests):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/whoami", headers={"Host": f"{site}:{port}"})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"http://{site}:{port}/whoami answered {response.status}: {body!r}")
        who = json.loads(body)
        answers[who["host"], who["server"], who["protocol"]] += 1
    return answers


def table(results: dict[str, Counter[Answer]]) -> str:
    """Return how many requests each host answered, by which server, as lines of text."""
    rows = [("site", "host", "server", "protocol", "answered")]
    for site, answers in results.items():
        rows += [(site, *who, str(count)) for who, count in sorted(answers.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    """Run the demo."""
    started = time.monotonic()
    say("Booting lb1, app1, app2 and app3; the first time builds their image, about a minute")
    run("ansible-playbook", "--inventory=inventories/lab", "playbooks/lab.yml")
    say("Deploying: ansible-playbook site.yml")
    run("ansible-playbook", "--inventory=inventories/lab", "site.yml")
    port = int((ROOT / ".lab/demo/http_port").read_text())
    say(f"Sending {REQUESTS} requests to each site through nginx on lb1")
    print(table({site: ask(port, site, REQUESTS) for site in SITES}))
    say(f"Up after {time.monotonic() - started:.0f} s. Open in a browser:")
    print(f"    http://hello.localhost:{port}/         WSGI on gunicorn")
    print(f"    http://hello-async.localhost:{port}/   ASGI on uvicorn, the same code")
    print(f"    http://127.0.0.1:{port}/               the default site")
    print("Next: . .venv/bin/activate; ansible-playbook site.yml; make clean takes it all away.")


if __name__ == "__main__":
    main()
