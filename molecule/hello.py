"""The apps hello (gunicorn) and hello-async (uvicorn) on a fleet: what every scenario shares that
changes one. Their source is the tests' own copy, so that a test can make a release of any kind.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from conftest import INVENTORY, ROOT, Lab
from traffic import Report

SITES = {"hello": "hello.localhost", "hello-async": "hello-async.localhost"}
RATE = 20
"""Requests a second to each app. Ansible and all hosts share this machine, so that many more make
each run take several times as long."""
DRAIN = 2
"""Seconds that a host's connections get to end. WebSockets and event streams use all of them."""
BROKEN = "\nif __name__ != '__main__' and server() == {server!r}{where}:\n    {what}\n"

WHOAMI = """
import subprocess, sys
from urllib.request import urlopen
for app in sys.argv[1:]:
    show = ["systemctl", "show", "--property=Listen", "--value", f"{app}.socket"]
    address = subprocess.run(show, capture_output=True, text=True).stdout.split()[0]
    print(urlopen(f"http://{address}/whoami", timeout=5).read().decode())
"""


class Fleet:
    """The two apps as an inventory would describe them, from a source that tests change."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.inventories: tuple[Path, ...] = (INVENTORY,)
        self.source = folder / "hello"
        shutil.copytree(ROOT / "apps/hello", self.source)
        self.main = (self.source / "main.py").read_text()
        self._versions = itertools.count(10)
        self.apps = yaml.safe_load((INVENTORY / "group_vars/all/apps.yml").read_text())["apps"]
        for app in self.apps.values():
            app["source"]["path"] = str(self.source)
        self.file = folder / "apps.json"
        self.write(self.main)

    def write(self, main: str, **settings: object) -> None:
        """Change the source; `settings` are laid over both apps' entries."""
        (self.source / "main.py").write_text(main)
        known = {name: {**app, "drain_timeout": DRAIN} for name, app in self.apps.items()}
        apps = {name: {**app, **settings} for name, app in known.items()}
        self.file.write_text(json.dumps({"apps": apps}))

    def version(self, number: int | None = None) -> None:
        """Another release that works; with a number, the same as before with it."""
        number = next(self._versions) if number is None else number
        self.main = f"{self.main.partition('# version')[0]}# version {number}\n"
        self.write(self.main)

    def broken(self, server: str, what: str, host: str = "") -> None:
        """A release that imports, and fails once that server runs it."""
        where = f" and socket.gethostname() == {host!r}" if host else ""
        self.write(self.main + BROKEN.format(server=server, where=where, what=what))

    def run(
        self, playbook: str, *more: str, **variables: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook over these apps, with extra variables as -e app=hello gives them."""
        return self.lab.playbook(
            playbook if playbook == "site.yml" else f"playbooks/{playbook}",
            *more,
            *self.arguments(**variables),
            inventories=self.inventories,
        )

    def arguments(self, **variables: object) -> list[str]:
        """The extra variables of a run as words of its command line."""
        return ["-e", f"@{self.file}", "-e", json.dumps({"drain_timeout": DRAIN, **variables})]

    def run_until(self, host: str, app: str, other_than: set[str], **variables: object) -> None:
        """Begin a deploy, and kill its controller once `host` serves another release, proved."""
        process = self.lab.start(
            "playbooks/deploy.yml",
            *self.arguments(app=app, **variables),
            inventories=self.inventories,
        )
        deadline = time.monotonic() + 300
        try:
            while time.monotonic() < deadline and process.poll() is None:
                now = serving(self.lab, host, app)
                if now.get("proved") and now["release"].partition(".")[0] not in other_than:
                    break
                time.sleep(0.2)
            assert process.poll() is None, "the deploy ended before it could be killed"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Recording:
    """Traffic to both apps through some balancers; its reports are there once it has ended."""

    def __init__(self, lab: Lab, balancers: tuple[str, ...], rate: float) -> None:
        self.reports: dict[str, Report] = {}
        self.running = {
            app: lab.traffic(
                site,
                balancers=balancers,
                rate=rate,
                without=("websocket", "events") if app == "hello" else (),
            )
            for app, site in SITES.items()
        }

    def mark(self, text: str) -> None:
        """Note what the test does now."""
        for each in self.running.values():
            each.mark(text)

    @contextmanager
    def fault(self, text: str) -> Iterator[None]:
        """Mark a fault while it is made, which takes a moment: losses.explain looks for it."""
        self.mark(text)
        yield
        self.mark(f"{text}: done")


@contextmanager
def recorded(
    lab: Lab, mark: str, balancers: tuple[str, ...] = ("lb1", "lb2"), rate: float = RATE
) -> Iterator[Recording]:
    """Traffic to both apps through these balancers; what is lost is for the test to judge."""
    recording = Recording(lab, balancers, rate)
    with ExitStack() as stack:
        for each in recording.running.values():
            stack.enter_context(each)
        recording.mark(mark)
        yield recording
    for app, each in recording.running.items():
        recording.reports[app] = each.report()
        print(f"{app}: {recording.reports[app].summary()}")


@contextmanager
def traffic(
    lab: Lab, mark: str, balancers: tuple[str, ...] = ("lb1", "lb2"), rate: float = RATE
) -> Iterator[dict[str, Report]]:
    """Traffic to both apps through these balancers; on the way out nothing must be lost."""
    with recorded(lab, mark, balancers, rate) as recording:
        yield recording.reports
    for report in recording.reports.values():
        assert not report.failed, report.summary()


def serving(lab: Lab, host: str, app: str) -> dict[str, Any]:
    """What a host notes of the activation in force."""
    text = lab.host(host).run(f"cat /srv/{app}/serving.json").stdout
    found: dict[str, Any] = json.loads(text or "{}")
    return found


def releases(lab: Lab, hosts: tuple[str, ...]) -> dict[str, set[str]]:
    """App → the releases that its hosts answer with, asked one by one past the balancers."""
    found: dict[str, set[str]] = {app: set() for app in SITES}
    for name in hosts:
        answer = lab.host(name).run(f"python3 -c '{WHOAMI}' {' '.join(SITES)}")
        assert answer.rc == 0, f"an app on {name} does not answer: {answer.stderr}"
        for app, line in zip(SITES, answer.stdout.splitlines(), strict=True):
            found[app].add(json.loads(line)["release"])
    return found


def out_of_pools(lab: Lab, balancers: tuple[str, ...] = ("lb1", "lb2")) -> dict[str, list[str]]:
    """Balancer → the server lines that are down, of all pools."""
    command = "grep --no-filename --word-regexp down /etc/nginx/pools/*.conf"
    return {name: lab.host(name).run(command).stdout.splitlines() for name in balancers}


def assert_whole(lab: Lab, hosts: tuple[str, ...], expected: dict[str, set[str]]) -> None:
    """One release on all hosts, each of them in both pools of both balancers, no lock left."""
    assert releases(lab, hosts) == expected
    assert out_of_pools(lab) == {"lb1": [], "lb2": []}
    for name in hosts:
        assert lab.host(name).run("ls /var/lib/fuego-deploy/locks").stdout == ""


def audit(lab: Lab, host: str, app: str) -> list[dict[str, str]]:
    """The audit log of a host, of one app."""
    lines = lab.host(host).file("/var/log/fuego-deploy/audit.jsonl").content_string.splitlines()
    return [entry for line in lines if (entry := json.loads(line))["app"] == app]
