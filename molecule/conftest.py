"""What the tests of all scenarios share: the hosts over SSH, the balancers over HTTP, Ansible.

Molecule says which scenario runs (MOLECULE_SCENARIO_NAME); the lab of that name was made by
playbooks/lab.yml, which wrote how to reach its hosts to .lab/<scenario>/ssh_config.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import testinfra
from lab import lab_checkout
from testinfra.host import Host
from traffic import Traffic

if TYPE_CHECKING:
    from hello import Fleet

ROOT = Path(__file__).resolve().parent.parent
SCENARIO = os.environ.get("MOLECULE_SCENARIO_NAME", "default")
INVENTORY = ROOT / "molecule" / SCENARIO / "inventory"
LAB = ROOT / ".lab" / SCENARIO
HTTP_PORT = 8080
"""Where a balancer's port 80 is published, on the balancer's own loopback address."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, whole."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Lab:
    """The hosts of the scenario, and what tests do with them."""

    def __init__(self) -> None:
        config = (LAB / "ssh_config").read_text()
        self.addresses: dict[str, str] = dict(
            re.findall(r"^Host (\S+)\n +HostName (\S+)", config, flags=re.MULTILINE)
        )
        """The loopback address of each host, by name."""
        # In no folder of ours, since a socket's path may not be long.
        self._sockets = tempfile.TemporaryDirectory(prefix="ssh-", ignore_cleanup_errors=True)

    @cache  # noqa: B019 - one object for the session
    def host(self, name: str) -> Host:
        """Return the host `name`, to run commands on as root."""
        # A kept connection to a host that ended meanwhile would fail. testinfra formats the text.
        hosts_end = SCENARIO in ("default", "faults", "scale")
        kept = None if hosts_end else f"{self._sockets.name}/%%C"
        return testinfra.get_host(
            f"ssh://{name}?sudo=True",
            ssh_config=str(LAB / "ssh_config"),
            timeout=30,
            controlpath=kept,
        )

    def request(
        self,
        site: str,
        path: str = "/",
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        balancer: str = "lb1",
    ) -> Answer:
        """Send one request for `site` through `balancer`, on a connection of its own."""
        connection = http.client.HTTPConnection(self.addresses[balancer], HTTP_PORT, timeout=20)
        try:
            connection.request(method, path, body, {"Host": site, **(headers or {})})
            response = connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def traffic(
        self,
        site: str,
        *,
        balancers: tuple[str, ...] = ("lb1",),
        rate: float = 300,
        without: Iterable[str] = (),
        lasting: int = 3,
    ) -> Traffic:
        """Return traffic to `site` through the balancers, to be used as a context."""
        addresses = (f"{self.addresses[balancer]}:{HTTP_PORT}" for balancer in balancers)
        return Traffic(site, *addresses, rate=rate, without=without, lasting=lasting)

    def playbook(
        self, *arguments: str, inventories: tuple[Path, ...] = (INVENTORY,)
    ) -> subprocess.CompletedProcess[str]:
        """Run ansible-playbook as a person would, from the root of the checkout."""
        began = time.monotonic()
        process = self.start(*arguments, inventories=inventories, output=subprocess.PIPE)
        try:
            stdout, stderr = process.communicate()
        except BaseException:  # it has a session of its own, which Ctrl-C does not reach
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
        print(f"{arguments[0]}: {time.monotonic() - began:.0f} s")
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def start(
        self,
        *arguments: str,
        inventories: tuple[Path, ...] = (INVENTORY,),
        output: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[str]:
        """Begin what `playbook` runs, in a process group of its own."""
        chosen = [f"--inventory={inventory}" for inventory in inventories]
        environment = os.environ | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
        }
        environment.pop("ANSIBLE_FORCE_COLOR", None)
        return subprocess.Popen(
            ["ansible-playbook", *chosen, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )

    def restart(self, name: str) -> None:
        """Reboot the host `name`: its container shares the machine's kernel, so it is restarted."""
        self.podman("restart", "--time=10", self.container(name))

    def container(self, name: str) -> str:
        """Return the container that is the host `name`, whether it runs or not."""
        # Of this checkout: another one may have a lab of the same name.
        labels = (
            f"fuego-deploy.checkout={lab_checkout(str(ROOT))}",
            f"fuego-deploy.lab={SCENARIO}",
        )
        filters = [f"--filter=label={one}" for one in labels]
        names = self.podman("ps", "--all", "--format={{.Names}}", *filters).split()
        return next(container for container in names if container.endswith(f"-{name}"))

    @staticmethod
    def podman(*arguments: str) -> str:
        """Run podman as the lab does, and return what it said."""
        command = [str(ROOT / "roles/lab/files/podman.sh"), *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def exposure(lab: Lab, name: str, app: str) -> float:
    """Return how exposed systemd finds the service of `app` on the host `name`: 0 (least) to 10."""
    report = lab.host(name).run(f"systemd-analyze security --no-pager {app}.service").stdout
    level = float(re.findall(r"Overall exposure level for \S+: ([0-9.]+)", report)[0])
    print(f"exposure of {app} on {name}: {level}")
    return level


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Return the hosts of the scenario."""
    return Lab()


@pytest.fixture(scope="session")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """Return the apps hello and hello-async, which all tests of the scenario change in turn."""
    from hello import Fleet

    return Fleet(lab, tmp_path_factory.mktemp("fleet"))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """Show the hosts' journals where a test failed: the lab is gone before anybody can look."""
    yield
    if not session.testsfailed or not (LAB / "ssh_config").exists():
        return
    shown = Lab()
    for name in shown.addresses:
        print(f"\n--- journal of {name}")
        print(
            shown.host(name).run("journalctl --no-pager --lines=60 --output=short-precise").stdout
        )
