"""Planned changes lose nothing, failed ones undo themselves, an interrupted one is mended.

Traffic runs through both balancers to both apps, on gunicorn and on uvicorn, in every test. The
tests follow one another: each begins with the fleet that the one before it left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import HTTP_PORT, INVENTORY, ROOT, Lab
from traffic import Report, Traffic

APPS = {"hello": "hello.localhost", "hello-async": "hello-async.localhost"}
HOSTS = ("app1", "app2", "app3")
RATE = 170  # requests a second to each app
BROKEN = "\nif __name__ != '__main__' and server() == {server!r}{where}:\n    {what}\n"
HEALTH = 'app.health("/healthz")'


class Fleet:
    """The two apps as an inventory would describe them, from a source that tests change."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "hello"
        shutil.copytree(ROOT / "apps/hello", self.source)
        self.main = (self.source / "main.py").read_text()
        self.apps = yaml.safe_load((INVENTORY / "group_vars/all/apps.yml").read_text())["apps"]
        for app in self.apps.values():
            app["source"]["path"] = str(self.source)
        self.file = folder / "apps.json"
        self.write(self.main)

    def write(self, main: str, **settings: object) -> None:
        """Change the source; `settings` are laid over both apps' entries."""
        (self.source / "main.py").write_text(main)
        apps = {name: {**app, **settings} for name, app in self.apps.items()}
        self.file.write_text(json.dumps({"apps": apps}))

    def version(self, number: int) -> None:
        """Another release that works."""
        self.main = f"{self.main.partition('# version')[0]}# version {number}\n"
        self.write(self.main)

    def broken(self, server: str, what: str, host: str = "") -> None:
        """A release that imports, and fails once that server runs it."""
        where = f" and socket.gethostname() == {host!r}" if host else ""
        self.write(self.main + BROKEN.format(server=server, where=where, what=what))

    @property
    def arguments(self) -> tuple[str, str]:
        return "-e", f"@{self.file}"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("fleet"))


REPORTS: list[Report] = []


@contextmanager
def traffic(lab: Lab, mark: str) -> Iterator[dict[str, Report]]:
    """Traffic to both apps; on the way out nothing must be lost."""
    balancers = [f"{lab.addresses[name]}:{HTTP_PORT}" for name in ("lb1", "lb2")]
    reports: dict[str, Report] = {}
    with (
        Traffic(APPS["hello"], *balancers, rate=RATE, without=["websocket", "events"]) as one,
        Traffic(APPS["hello-async"], *balancers, rate=RATE) as other,
    ):
        for each in (one, other):
            each.mark(mark)
        yield reports
    for name, each in (("hello", one), ("hello-async", other)):
        reports[name] = each.report()
        REPORTS.append(reports[name])
        print(f"{name}: {reports[name].summary()}")
    for report in reports.values():
        assert not report.failed, report.summary()


def deploy(
    lab: Lab, fleet: Fleet, app: str, *more: str, playbook: str = "playbooks/deploy.yml"
) -> subprocess.CompletedProcess[str]:
    return lab.playbook(playbook, "-e", f"app={app}", *more, *fleet.arguments)


def releases(lab: Lab) -> dict[str, set[str]]:
    """App → the releases that its hosts answer with, asked one by one past the balancers."""
    found: dict[str, set[str]] = {}
    for app, port in (("hello", 8000), ("hello-async", 8001)):
        for name in HOSTS:
            host = lab.host(name)
            address = host.run(f"systemctl show --property=Listen --value {app}.socket").stdout
            ask = f"print(urlopen('http://{address.split()[0]}/whoami', timeout=5).read().decode())"
            answer = host.run(f'python3 -c "from urllib.request import urlopen; {ask}"')
            assert answer.rc == 0, f"{app} on {name}:{port} does not answer: {answer.stderr}"
            found.setdefault(app, set()).add(json.loads(answer.stdout)["release"])
    return found


def in_pools(lab: Lab) -> dict[str, list[str]]:
    """Balancer → the server lines that are down, of all pools."""
    command = "grep --no-filename --word-regexp down /etc/nginx/pools/*.conf"
    return {name: lab.host(name).run(command).stdout.splitlines() for name in ("lb1", "lb2")}


def assert_whole(lab: Lab, expected: dict[str, set[str]]) -> None:
    """One release on all hosts, each of them in both pools of both balancers, no lock left."""
    assert releases(lab) == expected
    assert in_pools(lab) == {"lb1": [], "lb2": []}
    for name in HOSTS:
        assert lab.host(name).run("ls /var/lib/fuego-deploy/locks").stdout == ""


def audit(lab: Lab, host: str, app: str) -> list[dict[str, str]]:
    """The audit log of a host, of one app."""
    lines = lab.host(host).file("/var/log/fuego-deploy/audit.jsonl").content_string.splitlines()
    return [entry for line in lines if (entry := json.loads(line))["app"] == app]


def test_deploy_then_roll_back_then_deploy(lab: Lab, fleet: Fleet) -> None:
    """Behaviours 1 and 24: nothing is lost, every host says what happened and who did it."""
    first = lab.playbook("playbooks/deploy.yml", *fleet.arguments)
    assert first.returncode == 0, first.stdout
    before = releases(lab)
    fleet.version(2)
    with traffic(lab, "deploy version 2"):
        run = lab.playbook("playbooks/deploy.yml", *fleet.arguments)
    assert run.returncode == 0, run.stdout
    after = releases(lab)
    assert after["hello"].isdisjoint(before["hello"])
    assert_whole(lab, after)

    with traffic(lab, "roll back hello"):
        run = deploy(lab, fleet, "hello", playbook="playbooks/rollback.yml")
    assert run.returncode == 0, run.stdout
    assert_whole(lab, {**after, "hello": before["hello"]})

    again = lab.playbook("site.yml", *fleet.arguments)
    assert again.returncode == 0, again.stdout
    assert "changed=0" in again.stdout
    assert_whole(lab, {**after, "hello": before["hello"]})

    with traffic(lab, "deploy version 2 again"):
        run = deploy(lab, fleet, "hello")
    assert run.returncode == 0, run.stdout
    assert_whole(lab, after)
    for name in HOSTS:
        log = audit(lab, name, "hello")[-3:]
        assert [entry["action"] for entry in log] == ["deploy", "rollback", "deploy"]
        assert [{entry["release"].partition(".")[0]} for entry in log] == [
            after["hello"], before["hello"], after["hello"],
        ]  # fmt: skip
        assert all("@" in entry["who"] for entry in log)


def test_a_release_that_does_not_start(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 2: the old one serves everywhere, and the app's own words are in the output."""
    before = releases(lab)
    fleet.broken("gunicorn", "sys.exit('no database here')")
    with traffic(lab, "deploy a release that gunicorn cannot start"):
        run = deploy(lab, fleet, "hello")
    assert run.returncode != 0
    assert "no database here" in run.stdout
    assert_whole(lab, before)


def test_a_release_that_answers_its_health_check_with_500(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 4."""
    before = releases(lab)
    sick = 'app.get("/healthz")(lambda request: Response(b"out of order", 500))'
    assert HEALTH in fleet.main
    fleet.write(fleet.main.replace(HEALTH, sick), health={"path": "/healthz", "deadline": 5})
    with traffic(lab, "deploy a release that is not healthy"):
        run = deploy(lab, fleet, "hello-async")
    assert run.returncode != 0
    assert "out of order" in run.stdout
    assert_whole(lab, before)


def test_a_release_that_fails_on_the_second_host(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 3: no mixed fleet."""
    before = releases(lab)
    fleet.broken("uvicorn", "sys.exit('not on this host')", host="app2")
    with traffic(lab, "deploy a release that fails on app2"):
        run = deploy(lab, fleet, "hello-async")
    assert run.returncode != 0
    assert "app2" in run.stdout
    assert "not on this host" in run.stdout
    assert_whole(lab, before)
    for name, actions in (("app1", ["deploy", "undo"]), ("app2", ["deploy failed", "undo"])):
        assert [entry["action"] for entry in audit(lab, name, "hello-async")[-2:]] == actions


def test_a_slow_migration_comes_first_and_once(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 6: on one host, before any activation, with the new code and the app's settings."""
    fleet.version(3)
    hooks = {
        "migrate": [
            "one=1; sleep 5; echo $DEPLOY_RELEASE $APP_NAME $(hostname) $one >>../../../shared/ran"
        ],
        "after_activate": ["test -s main.py"],
    }
    fleet.write(fleet.main, hooks=hooks)
    with traffic(lab, "deploy with a slow migration"):
        run = deploy(lab, fleet, "hello")
    assert run.returncode == 0, run.stdout
    after = releases(lab)
    assert_whole(lab, after)
    ran = [lab.host(name).run("cat /srv/hello/shared/ran").stdout for name in HOSTS]
    assert [line.split() for line in ran if line] == [[*after["hello"], "hello", "app1", "1"]]


def test_a_failing_hook_stops_before_any_traffic_moves(lab: Lab, fleet: Fleet) -> None:
    before = releases(lab)
    fleet.version(4)
    fleet.write(fleet.main, hooks={"migrate": ["echo table is locked; exit 3"]})
    with traffic(lab, "deploy with a migration that fails"):
        run = deploy(lab, fleet, "hello")
    assert run.returncode != 0
    assert "table is locked" in run.stdout
    assert "Nothing was switched" in run.stdout
    assert_whole(lab, before)


def test_an_interrupted_run_is_mended_by_the_next(lab: Lab, fleet: Fleet) -> None:
    """The controller dies while app2 is being switched; the next run finishes its work."""
    before = releases(lab)
    fleet.version(5)
    fleet.write(fleet.main)
    with traffic(lab, "deploy, killed half-way"):
        kill_when(lab, fleet, host="app1", app="hello", other_than=before["hello"])
        mixed = releases(lab)
        assert mixed != before
        run = deploy(lab, fleet, "hello")
        assert run.returncode == 0, run.stdout
    assert "took over from a deploy" in run.stderr, "Ansible warns there"
    after = releases(lab)
    assert after["hello"].isdisjoint(before["hello"])
    assert_whole(lab, after)


def test_what_follows_an_interrupted_run_and_fails_undoes_both(lab: Lab, fleet: Fleet) -> None:
    """The way back leads to what the whole fleet had, not to what the dead run left."""
    before = releases(lab)
    fleet.version(6)
    fleet.write(fleet.main)
    with traffic(lab, "deploy, killed half-way, then a release that fails"):
        kill_when(lab, fleet, host="app1", app="hello", other_than=before["hello"])
        fleet.broken("gunicorn", "sys.exit('no disk here')")
        run = deploy(lab, fleet, "hello")
        assert run.returncode != 0
    assert_whole(lab, before)


def kill_when(lab: Lab, fleet: Fleet, host: str, app: str, other_than: set[str]) -> None:
    """Begin a deploy, and kill its controller once `host` serves another release."""
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    process = subprocess.Popen(
        [
            "ansible-playbook",
            f"--inventory={INVENTORY}",
            "playbooks/deploy.yml",
            f"-eapp={app}",
            *fleet.arguments,
        ],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 300
    look = f"grep -o '\"proved\": [0-9]*' /srv/{app}/serving.json; cat /srv/{app}/serving.json"
    start = lab.host(host).run(look).stdout
    while time.monotonic() < deadline and process.poll() is None:
        now = lab.host(host).run(look).stdout
        if now != start and '"proved": null' not in now:
            break
        time.sleep(0.2)
    assert process.poll() is None, "the deploy ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_a_second_deploy_is_refused_while_one_runs(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 5: with who has it, since when and for what; taken over explicitly."""
    held = {"run": "somebody-elses", "who": "bob@elsewhere", "purpose": "deploy",
            "release": "abc", "since": "2026-01-01T00:00:00Z"}  # fmt: skip
    path = "/var/lib/fuego-deploy/locks/hello.json"
    lab.host("app2").run(f"echo '{json.dumps(held)}' >{path}")
    before = releases(lab)
    fleet.version(7)
    run = deploy(lab, fleet, "hello")
    assert run.returncode != 0
    assert "locked by bob@elsewhere since 2026-01-01T00:00:00Z for a deploy" in run.stdout
    assert releases(lab) == before
    assert lab.host("app1").run("ls /var/lib/fuego-deploy/locks").stdout == ""
    run = deploy(lab, fleet, "hello", "-e", "lock_steal=true")
    assert run.returncode == 0, run.stdout
    assert_whole(lab, releases(lab))


def test_nothing_of_all_that_was_lost() -> None:
    """Every test has looked at its own traffic; this is that it was enough of it."""
    requests = sum(report.requests for report in REPORTS)
    print(f"{requests} requests, {sum(report.failed for report in REPORTS)} lost")
    assert requests >= 20_000
