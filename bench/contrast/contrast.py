"""The same traffic while a release is brought to three hosts, the usual way and ours.

Boots a lab of its own, runs each way once for gunicorn and for uvicorn, and writes a table and a
plot of the requests that failed, by the second, to bench/results. Ten minutes on 2 cores.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
INVENTORY = HERE / "inventory"
ROOT = HERE.parents[1]
RESULTS = ROOT / "bench" / "results"
sys.path[:0] = [str(ROOT / "molecule"), str(HERE), str(HERE.parent)]

import yaml  # noqa: E402
from playbook import play  # noqa: E402
from plot import Row, svg  # noqa: E402
from traffic import Report, Traffic  # noqa: E402

RATE = 300
BEFORE, AFTER = 3.0, 13.0
"""Seconds of traffic around each change. By default nginx leaves a failed host out for ten."""
APPS = {"gunicorn": "hello", "uvicorn": "hello-async"}


@dataclass(frozen=True, slots=True)
class Way:
    """How a release is brought to the hosts."""

    name: str
    site: str
    """The host name of its site, with {app} and {server}."""
    playbook: str
    variables: dict[str, str]


WAYS = (
    Way("restart all hosts at once", "usual-{server}.localhost", "bench/contrast/restart.yml",
        {"usual_server": "{server}", "usual_serial": "100%"}),
    Way("restart one host after the other", "usual-{server}.localhost",
        "bench/contrast/restart.yml", {"usual_server": "{server}", "usual_serial": "1"}),
    Way("deploy.yml", "{app}.localhost", "playbooks/deploy.yml", {"app": "{app}"}),
)  # fmt: skip


def balancer() -> str:
    """Where the lab's balancer is published."""
    config = (ROOT / ".lab" / "contrast" / "ssh_config").read_text()
    found = re.search(r"^Host lb1\n\s+HostName (\S+)", config, re.MULTILINE)
    assert found, config
    return f"{found[1]}:8080"


def sources(folder: Path, release: int) -> list[str]:
    """The arguments that give both apps the source in `folder`, as another release each time."""
    source = folder / "hello"
    if not source.exists():
        shutil.copytree(ROOT / "apps" / "hello", source)
    main = source / "main.py"
    text = main.read_text().partition("# release")[0]
    main.write_text(f"{text}# release {release}\n")
    inventory = (HERE / "inventory" / "group_vars" / "all" / "apps.yml").read_text()
    apps = yaml.safe_load(inventory)["apps"]
    for app in apps.values():
        app["source"]["path"] = str(source)
    file = folder / "apps.json"
    file.write_text(json.dumps({"apps": apps}))
    return ["-e", f"@{file}"]


def measure(way: Way, server: str, more: list[str]) -> tuple[Report, float]:
    """One run of one way: the traffic's report, and the seconds that the change took."""
    names = {"app": APPS[server], "server": server}
    variables = {key: text.format(**names) for key, text in way.variables.items()}
    without = ("websocket", "events")
    site = way.site.format(**names)
    with Traffic(site, balancer(), rate=RATE, without=without) as traffic:
        time.sleep(BEFORE)
        traffic.mark(f"{way.name}, {server}")
        start = time.monotonic()
        play(
            INVENTORY,
            way.playbook,
            "-e",
            json.dumps(variables),
            *(more if "app" in variables else []),
        )
        took = time.monotonic() - start
        time.sleep(AFTER)
    report = traffic.report()
    assert report.failed < report.requests, f"nothing answers: {report.summary()}"
    return report, took


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("boot the lab and deploy", flush=True)
        play(INVENTORY, "playbooks/lab.yml")
        try:
            play(INVENTORY, "site.yml", *sources(folder, 0))
            play(INVENTORY, "bench/contrast/usual.yml")
            for release, server in enumerate(APPS, start=1):
                for way in WAYS:
                    report, took = measure(way, server, sources(folder, release))
                    print(f"{server}, {way.name}: {report.summary().splitlines()[0]}", flush=True)
                    rows.append(Row(server, way.name, report, took))
        finally:
            play(INVENTORY, "playbooks/lab.yml", "-e", "lab_state=absent")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "contrast.svg").write_text(svg(rows))
    (RESULTS / "contrast.md").write_text(table(rows))


def table(rows: list[Row]) -> str:
    """The page of the results."""
    lines = [
        "# What a deploy loses",
        "",
        "Written by `make bench-contrast`; edits are lost.",
        "",
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, a load average of "
        f"{os.getloadavg()[1]:.1f}; three hosts behind one nginx, {RATE} requests a second (GET "
        "and POST, new and kept connections) and three at a time that take 3 s each. The usual way "
        "is a service that binds its own port, an upstream of three `server` lines with nginx's "
        "own defaults, and `systemctl restart`; ours is `playbooks/deploy.yml` with a new release.",
        "",
        "![Requests that failed, by the second](contrast.svg)",
        "",
        "| server | way | requests | failed | how | longest | the change took |",
        "| --- | --- | ---: | ---: | --- | ---: | ---: |",
    ]  # fmt: skip
    for row in rows:
        how = ", ".join(sorted({failure.how for failure in row.report.failures})) or "-"
        paced = [t.longest or 0 for n, t in row.report.clients.items() if n != "slow"]
        lines.append(
            f"| {row.server} | {row.way} | {row.report.requests:,} | {row.report.failed:,} | "
            f"{how} | "
            f"{max(paced):.2f} s | {row.took:.0f} s |"
        )
    lines += [
        "",
        "By default nginx leaves a host out for 10 s after one failure, so three that fail in that "
        "time leave nobody.",
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
