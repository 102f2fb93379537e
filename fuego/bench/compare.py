"""Requests a second of Fuego, of other frameworks and of no framework at all, through one server
and one worker. Run from anywhere: python bench/compare.py --help
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from statistics import median
from typing import Any
from urllib.request import ProxyHandler, build_opener

import contenders
import environment
import plot
import report
import servers

RESULTS = environment.BENCH / "results"
CONNECTIONS = 16
WARM_UP = 1  # seconds
PACKAGES = [
    *("gunicorn", "uvicorn", "uvloop", "httptools"),
    *("falcon", "bottle", "flask", "django", "starlette", "blacksheep", "fastapi"),
]


def wrk(port: int, seconds: int, on: set[int]) -> float:
    """Requests a second; RuntimeError where one of them failed."""
    url = f"http://127.0.0.1:{port}/items/7"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout=5s", url]
    with servers.cores(on):
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=seconds + 30
        )
    found = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    if found is None or "Non-2xx" in run.stdout or "Socket errors" in run.stdout:
        raise RuntimeError(f"wrk: {run.stdout}{run.stderr}")
    return float(found[1])


def check(port: int) -> None:
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/items/7", timeout=10) as response:
        body, kind = response.read(), response.headers["content-type"]
    if json.loads(body) != {"id": 7} or not kind.startswith("application/json"):
        raise RuntimeError(f"answers {body!r} as {kind}")


def measure(protocol: str, factory: str, seconds: int) -> float:
    """In a server of its own, so that no round inherits the luck of the one before."""
    python, port = environment.make(), servers.free_port()
    command = servers.wsgi_command if protocol == "WSGI" else servers.asgi_command
    server, client = servers.split_cores()
    with servers.running(command(python, f"contenders:{factory}", port), port, server):
        check(port)
        wrk(port, WARM_UP, client)
        return wrk(port, seconds, client)


def summary(rounds: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Ratios are taken within a round, against the bare app of the same minute."""
    bare = next(iter(rounds.values()))
    return {
        name: {
            "requests": median(values),
            "ratio": median(value / base for value, base in zip(values, bare, strict=True)),
            "rounds": values,
        }
        for name, values in rounds.items()
    }


def in_process() -> dict[str, Any]:
    script = environment.BENCH / "inprocess.py"
    run = subprocess.run(
        [environment.make(), script, "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    measured: dict[str, Any] = json.loads(run.stdout)
    return measured


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, choices=range(1, 51), metavar="1-50")
    parser.add_argument("--seconds", type=int, default=5, choices=range(1, 61), metavar="1-60")
    parser.add_argument(
        "--only", help="names, with commas between; the bare apps always run; writes no results"
    )
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if not shutil.which("wrk"):
        sys.exit("compare: wrk is missing; install it: sudo apt-get install wrk")
    wanted = {name.strip().lower() for name in (options.only or "").split(",") if name.strip()}
    known = {name.lower() for name in (*contenders.WSGI, *contenders.ASGI)}
    if wanted - known:
        sys.exit(f"compare: --only: {min(wanted - known)!r} is not one of {', '.join(known)}")
    protocols = {
        protocol: {
            name: factory
            for name, factory in apps.items()
            if not wanted or name.lower() in wanted or name.startswith("bare")
        }
        for protocol, apps in (("WSGI", contenders.WSGI), ("ASGI", contenders.ASGI))
    }
    rounds: dict[str, dict[str, list[float]]] = {
        protocol: {name: [] for name in apps} for protocol, apps in protocols.items()
    }
    load = os.getloadavg()[0]
    for number in range(1, options.rounds + 1):
        for protocol, apps in protocols.items():
            # Forth and back, so that a machine that slows down favours nobody.
            for name, factory in list(apps.items())[:: 1 if number % 2 else -1]:
                requests = measure(protocol, factory, options.seconds)
                rounds[protocol][name].append(requests)
                print(f"round {number}  {protocol}  {name:12}{requests:10,.0f}", file=sys.stderr)
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": CONNECTIONS,
        "load average before": round(load, 2),
        "processor": environment.processor(),
        "versions": environment.versions(PACKAGES),
        **{protocol: summary(values) for protocol, values in rounds.items()},
        "in process": in_process(),
    }
    text = report.markdown(results)
    print(text)
    if not wanted:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        (RESULTS / "README.md").write_text(text)
        (RESULTS / "results.svg").write_text(plot.svg(results))


if __name__ == "__main__":
    main()
