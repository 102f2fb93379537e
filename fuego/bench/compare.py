"""Requests a second of Fuego, of other frameworks and of no framework at all, through one server
and one worker. Run from anywhere: python bench/compare.py --help
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
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
BURST = 1  # seconds
PACKAGES = [
    *("gunicorn", "uvicorn", "uvloop", "httptools"),
    *("falcon", "bottle", "flask", "django", "starlette", "blacksheep", "fastapi"),
]


def wrk(port: int, seconds: int, on: set[int]) -> tuple[float, int]:
    """Requests a second, and requests in all; RuntimeError where one of them failed."""
    url = f"http://127.0.0.1:{port}/items/7"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout=5s", url]
    with servers.cores(on):
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=seconds + 30
        )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    total = re.search(r"(\d+) requests in", run.stdout)
    if not rate or not total or "Non-2xx" in run.stdout or "Socket errors" in run.stdout:
        raise RuntimeError(f"wrk: {run.stdout}{run.stderr}")
    return float(rate[1]), int(total[1])


def check(port: int) -> None:
    opener = build_opener(ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/items/7", timeout=10) as response:
        body, kind = response.read(), response.headers["content-type"]
    if json.loads(body) != {"id": 7} or not kind.startswith("application/json"):
        raise RuntimeError(f"answers {body!r} as {kind}")


@dataclass
class Bursts:
    """Of one app: requests a second, and microseconds of the server's processor a request."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


def measure(protocol: str, apps: dict[str, str], bursts: int, results: dict[str, Bursts]) -> None:
    """One round: new servers, so that no round inherits the luck of the one before, and short
    bursts in turn, so that a neighbour's load meets each app alike."""
    python = environment.make()
    command = servers.wsgi_command if protocol == "WSGI" else servers.asgi_command
    server, client = servers.split_cores()
    with contextlib.ExitStack() as stack:
        running = {}
        for name, factory in apps.items():
            port = servers.free_port()
            started = servers.running(command(python, f"contenders:{factory}", port), port, server)
            running[name] = port, stack.enter_context(started)
            check(port)
            wrk(port, WARM_UP, client)
        for number in range(bursts):
            for name, (port, pid) in list(running.items())[:: -1 if number % 2 else 1]:
                before = servers.processor_seconds(pid)
                rate, requests = wrk(port, BURST, client)
                cost = (servers.processor_seconds(pid) - before) / requests
                results[name].rates.append(rate)
                results[name].costs.append(cost * 1e6)


def summary(bursts: dict[str, Bursts]) -> dict[str, dict[str, Any]]:
    """Ratios are taken within one turn, against the bare app of the same seconds."""
    bare = next(iter(bursts.values()))
    return {
        name: {
            "requests": median(app.rates),
            **paired(app.rates, bare.rates),
            "microseconds": median(app.costs),
            "bursts": app.rates,
        }
        for name, app in bursts.items()
    }


def paired(values: list[float], base: list[float]) -> dict[str, Any]:
    """The median of the ratios, and the interval that holds it with a confidence of 95 %
    (the sign test's order statistics)."""
    ratios = sorted(value / other for value, other in zip(values, base, strict=True))
    outside = max(0, int((len(ratios) - 1.96 * len(ratios) ** 0.5) / 2))
    return {"ratio": median(ratios), "between": [ratios[outside], ratios[-1 - outside]]}


def best_other(bursts: dict[str, Bursts]) -> dict[str, Any] | None:
    """The fastest framework that is not Fuego, and Fuego's ratio to it."""
    others = {
        name: median(app.rates)
        for name, app in bursts.items()
        if name != "Fuego" and not name.startswith("bare")
    }
    if not others or "Fuego" not in bursts:
        return None
    best = max(others, key=lambda name: others[name])
    return {"name": best, **paired(bursts["Fuego"].rates, bursts[best].rates)}


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
    parser.add_argument("--bursts", type=int, default=6, choices=range(1, 61), metavar="1-60")
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
    measured = {protocol: {name: Bursts() for name in apps} for protocol, apps in protocols.items()}
    load = os.getloadavg()[0]
    for number in range(1, options.rounds + 1):
        for protocol, apps in protocols.items():
            measure(protocol, apps, options.bursts, measured[protocol])
            for name, app in measured[protocol].items():
                rate = median(app.rates[-options.bursts :])
                print(f"round {number}  {protocol}  {name:12}{rate:10,.0f}", file=sys.stderr)
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "rounds": options.rounds,
        "bursts": options.bursts,
        "seconds": BURST,
        "connections": CONNECTIONS,
        "load average before": round(load, 2),
        "processor": environment.processor(),
        "versions": environment.versions(PACKAGES),
        **{protocol: summary(apps) for protocol, apps in measured.items()},
        "best other": {protocol: best_other(apps) for protocol, apps in measured.items()},
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
