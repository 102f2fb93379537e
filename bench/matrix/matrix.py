"""Every framework on every server that it runs on: requests a second, latency, memory and start.

Boots a lab of its own with one balancer and one app host, deploys each pair by the shipped
playbooks with one worker, and measures them in turn, each alone, past nginx and through it. Writes
docs/matrix.md and docs/matrix.svg; with --only it writes nothing. About forty minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
INVENTORY = HERE / "inventory"
ROOT = HERE.parents[1]
LAB = ROOT / ".lab" / "matrix"
sys.path[:0] = [str(HERE), str(HERE.parent)]

import page  # noqa: E402
from pairs import SERVERS, Figures, Latency, Pair, pairs  # noqa: E402
from playbook import play  # noqa: E402

CONNECTIONS = 16
WARM_UP, BURST = 1, 2
"""Seconds of wrk."""
PROBE = """
import json, subprocess, sys, time, urllib.request
name, url, unit = sys.argv[1:4]
units = [f"{name}.service", *([f"{name}.socket"] if unit == "socket" else [])]
began = time.monotonic()
subprocess.run(["systemctl", "start", *reversed(units)], check=True)
subprocess.run(["systemctl", "start", f"{name}.service"], check=True)
while url:
    try:
        urllib.request.urlopen(url, timeout=20).read()
        break
    except OSError:
        time.sleep(0.005)
print(json.dumps(time.monotonic() - began))
"""
MEMORY = """
import json, pathlib, subprocess, sys
group = subprocess.run(["systemctl", "show", "--property=ControlGroup", "--value", sys.argv[1]],
                       capture_output=True, text=True, check=True).stdout.strip()
found = 0
for pid in filter(str.isdigit, (path.name for path in pathlib.Path("/proc").iterdir())):
    try:
        groups = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
        if any(line.endswith(group) for line in groups.splitlines()):
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            found += int(text.partition("\\nPss:")[2].split()[0])
    except OSError:
        pass
print(json.dumps(found * 1024))
"""


def on_host(script: str, *words: str) -> str:
    """Run a shell's words, or Python, on the app host as root."""
    command = ["ssh", "-F", str(LAB / "ssh_config"), "app1", "sudo", script, *words]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    ).stdout


def python_on_host(program: str, *words: str) -> float:
    """Run a program there, and return the number that it prints."""
    command = ["ssh", "-F", str(LAB / "ssh_config"), "app1", "sudo", "python3", "-", *words]
    done = subprocess.run(command, input=program, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def addresses() -> tuple[str, str]:
    """The balancer's loopback address, and the app host's own as the balancer knows it."""
    config = (LAB / "ssh_config").read_text()
    found = dict(re.findall(r"^Host (\S+)\n +HostName (\S+)", config, flags=re.MULTILINE))
    return found["lb1"], found["app1"].replace("127.", "10.", 1)


def wrk(url: str, host: str, seconds: int) -> Latency:
    """Requests a second, and the median and 99th percentile of their latency in milliseconds.
    Raises RuntimeError where one of them failed."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "--timeout=5s",
               f"-HHost: {host}", url]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", run.stdout)
    if not rate or "Non-2xx" in run.stdout or "Socket errors" in run.stdout:
        raise RuntimeError(f"{host}: {run.stdout}{run.stderr}")
    return float(rate[1]), percentile(run.stdout, 50), percentile(run.stdout, 99)


def percentile(text: str, share: int) -> float:
    """A line of wrk's latency distribution, in milliseconds."""
    match = re.search(rf"^ +{share}%\s+([\d.]+)(us|ms|s)$", text, flags=re.MULTILINE)
    assert match, text
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


def measure(pair: Pair, figures: Figures) -> None:
    """One round of one pair, alone on its host."""
    balancer, host = addresses()
    site = f"{pair.name}.localhost"
    direct = f"http://{host}:{pair.port}{pair.path}"
    unit = "socket" if pair.inherits else "service"
    url = direct if pair.speaks_http else ""
    figures.starts.append(python_on_host(PROBE, pair.name, url or "''", unit))
    ways = [(f"http://{balancer}:8080{pair.path}", figures.through)]
    if pair.speaks_http:
        ways.append((direct, figures.past))
    for address, found in ways:
        wrk(address, site, WARM_UP)
        found.append(wrk(address, site, BURST))
    figures.memory.append(python_on_host(MEMORY, f"{pair.name}.service"))
    stop([pair])


def stop(chosen: Iterable[Pair]) -> None:
    """Stop their units, the sockets first, so that nothing starts them again."""
    names = [
        name
        for pair in chosen
        for name in ([f"{pair.name}.socket"] if pair.inherits else []) + [f"{pair.name}.service"]
    ]
    on_host("systemctl", "stop", *names)


def run(chosen: list[Pair], rounds: int) -> dict[Pair, Figures]:
    """Boot, deploy, measure in turn, and take the lab away."""
    results = {pair: Figures() for pair in chosen}
    with tempfile.TemporaryDirectory() as name:
        given = Path(name) / "apps.json"
        given.write_text(json.dumps({"apps": {pair.name: pair.entry() for pair in chosen}}))
        print(f"boot the lab and deploy {len(chosen)} pairs", flush=True)
        play(INVENTORY, "playbooks/lab.yml")
        try:
            play(INVENTORY, "site.yml", "-e", f"@{given}")
            stop(chosen)
            for number in range(1, rounds + 1):
                for pair in chosen[:: -1 if number % 2 else 1]:
                    measure(pair, results[pair])
                    rate = results[pair].through[-1][0]
                    print(f"round {number}  {pair.name:32}{rate:10,.0f}", flush=True)
        finally:
            play(INVENTORY, "playbooks/lab.yml", "-e", "lab_state=absent")
    return results


def choose(wanted: set[str]) -> list[Pair]:
    """The pairs of these frameworks and servers, of all where none are named."""
    servers, frameworks = wanted & set(SERVERS), wanted - set(SERVERS)
    return [
        pair
        for pair in pairs()
        if (not frameworks or pair.framework.lower() in frameworks)
        and (not servers or pair.server in servers)
    ]


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 21), metavar="1-20")
    parser.add_argument("--only", help="frameworks and servers, with commas between")
    return parser.parse_args()


def main() -> None:
    """Run the command line."""
    options = arguments()
    if not shutil.which("wrk"):
        sys.exit("matrix: wrk is missing; install it: sudo apt-get install wrk")
    wanted = {word.strip().lower() for word in (options.only or "").split(",") if word.strip()}
    known = {name.lower() for pair in pairs() for name in (pair.framework, pair.server)}
    if wanted - known:
        sys.exit(
            f"matrix: --only: {min(wanted - known)!r} is not one of {', '.join(sorted(known))}"
        )
    load = os.getloadavg()[0]
    results = run(choose(wanted), options.rounds)
    text = page.markdown(results, options.rounds, load)
    print(text)
    if not wanted:
        (ROOT / "docs" / "matrix.md").write_text(text)
        (ROOT / "docs" / "matrix.svg").write_text(page.svg(results))


if __name__ == "__main__":
    main()
