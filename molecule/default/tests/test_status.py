"""The status of the fleet: the table and the page say what is so, of hosts that are well and not.

In the order of the file; each test leaves the fleet as it found it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import browser
import pytest
from conftest import LAB, Lab
from fleet.status import status as status_of
from fleet.status_page import page
from told import WHEN, Fleet

WHY = "<script>document.title = 'hacked'</script> new & \"quick\" disk"
COLUMNS = ("app", "host", "server", "release", "pool", "health", "since", "requests", "5xx",
           "slowest", "restarts")  # fmt: skip
Table = dict[tuple[str, str], dict[str, str]]


def status(lab: Lab, *arguments: str) -> tuple[str, Table]:
    """Run the playbook; what it printed, and its table by app and host."""
    run = lab.playbook("playbooks/status.yml", *arguments)
    assert run.returncode == 0, run.stdout
    assert not re.search(r"changed=[1-9]", run.stdout), run.stdout
    assert not re.search(r"failed=[1-9]", run.stdout), run.stdout
    _, _, shown = run.stdout.partition("\nThe fleet at ")
    lines = [re.split(r" {2,}", line) for line in shown.splitlines()]
    rows = [dict(zip(COLUMNS, cells, strict=True)) for cells in lines if len(cells) == len(COLUMNS)]
    return shown, {(row["app"], row["host"]): row for row in rows if row["app"] != "app"}


def release(lab: Lab, host: str, app: str) -> str:
    path = lab.host(host).run(f"readlink -f /srv/{app}/current/release").stdout.strip()
    return Path(path).name.partition(".")[0]


@contextmanager
def drained(lab: Lab, host: str) -> Iterator[None]:
    run = lab.playbook("playbooks/drain.yml", "-e", json.dumps({"host": host, "why": WHY}))
    assert run.returncode == 0, run.stdout
    try:
        yield
    finally:
        run = lab.playbook("playbooks/restore.yml", "-e", f"host={host}")
        assert run.returncode == 0, run.stdout


@contextmanager
def given_up(lab: Lab, host: str, app: str) -> Iterator[None]:
    """A service that does not start any more, until systemd gives it up."""
    there = lab.host(host)
    before = there.file(f"/etc/{app}/env.local").content_string
    there.run(f"echo GUNICORN_WORKERS=many >>/etc/{app}/env.local")
    there.run(f"systemctl restart --no-block {app}")
    state = f"systemctl show --property=ActiveState --value {app}"
    deadline = time.monotonic() + 90
    while there.run(state).stdout.strip() != "failed":
        assert time.monotonic() < deadline, there.run(f"systemctl status {app}").stdout
        time.sleep(1)
    try:
        yield
    finally:
        there.run(f"cat >/etc/{app}/env.local <<'END'\n{before}END")
        there.run(f"systemctl reset-failed {app}.service {app}.socket")
        assert there.run(f"systemctl start {app}.socket {app}.service").rc == 0


def test_a_fleet_that_is_well(lab: Lab) -> None:
    for _ in range(30):
        assert lab.request("hello.localhost", "/whoami").status == 200
    shown, table = status(lab)
    assert list(table) == [
        (app, host) for app in ("hello", "hello-async") for host in ("app1", "app2", "app3")
    ]
    for (app, host), row in table.items():
        assert row["release"].rstrip("*") == release(lab, host, app)
        assert (row["pool"], row["health"]) == ("in pool", "healthy"), row
        since = lab.host(host).run(
            f'date --utc +%FT%TZ -d "$(systemctl show -P StateChangeTimestamp {app})"'
        )
        assert row["since"] == since.stdout.strip()
    assert {table["hello", "app1"]["server"], table["hello-async", "app1"]["server"]} == {
        "gunicorn", "uvicorn",
    }  # fmt: skip
    counts = [int(table["hello", host]["requests"]) for host in ("app1", "app2", "app3")]
    assert sum(counts) >= 30
    assert all(count >= 8 for count in counts)
    assert "hello: 3 of 3 hosts in the pool and healthy" in shown
    assert "lb1: nginx runs since 20" in shown
    _, _, changes = shown.partition("\nLast changes\n")
    last = next(line for line in changes.splitlines() if "Z  hello: " in line)
    assert re.search(rf"{release(lab, 'app1', 'hello')} on app1, app2, app3.*, by \S+@\S+$", last)


def test_check_mode_and_one_app(lab: Lab) -> None:
    _, table = status(lab, "--check", "-e", "app=hello-async")
    assert list(table) == [("hello-async", host) for host in ("app1", "app2", "app3")]
    assert {row["health"] for row in table.values()} == {"healthy"}


def test_who_is_drained_who_has_failed_and_who_was_killed(lab: Lab) -> None:
    with drained(lab, "app2"), given_up(lab, "app3", "hello"):
        kill = "systemctl kill --signal=KILL --kill-whom=main hello-async"
        assert lab.host("app1").run(kill).rc == 0
        time.sleep(4)
        shown, table = status(lab)
        restarts = lab.host("app1").run("systemctl show -P NRestarts hello-async").stdout.strip()
        assert int(restarts) > 0
        assert table["hello-async", "app1"]["restarts"] == restarts
    assert table["hello", "app2"]["pool"] == table["hello-async", "app2"]["pool"] == "drained"
    assert re.search(
        rf"app2 \(hello, hello-async\): drained by hand by \S+ at 20\S+Z: {re.escape(WHY)}\n", shown
    )
    assert table["hello", "app3"]["health"] == "failed (exit-code)"
    assert int(table["hello", "app3"]["restarts"]) > 0
    assert "hello on app3: failed (exit-code): systemd gave it up after" in shown
    assert "hello: 1 of 3 hosts in the pool and healthy" in shown
    assert table["hello", "app1"]["health"] == "healthy"


def test_a_stopped_service_is_not_started_by_looking(lab: Lab) -> None:
    host = lab.host("app2")
    with drained(lab, "app2"):  # so that no request starts it either
        assert host.run("systemctl stop hello.service").rc == 0
        _, table = status(lab)
        still = host.run("systemctl is-active hello.service").stdout.strip()
        assert host.run("systemctl start hello.service").rc == 0
    assert table["hello", "app2"]["health"] == "stopped"
    assert still == "inactive"


def test_a_lock_is_shown_with_its_holder(lab: Lab) -> None:
    lock = {"run": "20261121T000000Z-abcdef", "who": "alice@desk", "purpose": "deploy",
            "release": "", "since": "2026-11-21T00:00:00Z"}  # fmt: skip
    path = "/var/lib/fuego-deploy/locks/hello.json"
    lab.host("app1").run(f"echo '{json.dumps(lock)}' >{path}")
    try:
        shown, _ = status(lab)
    finally:
        lab.host("app1").run(f"rm {path}")
    assert "hello: locked by alice@desk since 2026-11-21T00:00:00Z for a deploy" in shown


def test_a_host_that_cannot_be_reached_and_pools_that_cannot_be_read(lab: Lab) -> None:
    balancer, state = lab.host("lb1"), "/var/lib/fuego-deploy/pools.json"
    balancer.run(f"mv {state} {state}.kept && echo '{{' >{state}")
    try:
        shown, table = status(lab, "-e", "@" + str(unreachable(lab)))
    finally:
        balancer.run(f"mv {state}.kept {state}")
    assert {row["health"] for row in table.values()} == {"unreachable"}
    assert {row["pool"] for row in table.values()} == {"unknown"}
    assert "the pools of this balancer cannot be read" in shown
    assert int(table["hello", "app1"]["requests"]) > 0, "the log is read all the same"


def unreachable(lab: Lab) -> Path:
    """Variables with which Ansible reaches the balancer alone."""
    path = LAB / "unreachable.json"
    where = "{{ 2222 if inventory_hostname == 'lb1' else 1 }}"
    path.write_text(json.dumps({"ansible_port": where}))
    return path


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_in_a_browser(lab: Lab, tmp_path: Path, width: int) -> None:
    path = tmp_path / "status.html"
    with drained(lab, "app2"):
        status(lab, "-e", f"report={path}")
    seen = browser.see(path, width)
    assert seen.console == []
    assert f"<title>Fleet status, {time.strftime('%Y')}" in seen.dom
    assert "<script" not in seen.dom
    browser.picture(path, width, LAB / f"status-{width}.png")
    shown = browser.ask(path, width, """
        const picture = [...page.querySelectorAll('svg.topology')].filter(shown);
        const letters = [...picture[0].querySelectorAll('text')];
        return {
            title: page.title,
            pictures: picture.map((one) => one.getAttribute('class')),
            boxes: [...picture[0].querySelectorAll('g.box > title')].map((one) => one.textContent),
            smallest: Math.min(...letters.map((one) => one.getBoundingClientRect().height)),
            wide: page.documentElement.scrollWidth,
            text: page.body.innerText,
        };
    """)  # fmt: skip
    assert shown["title"].startswith("Fleet status, 20"), "no script of a reason has run"
    assert shown["pictures"] == [f"topology {'wide' if width == 1280 else 'narrow'}"]
    assert {"clients", "load balancer lb1: nginx runs", "host app1: serves 2 of 2 apps",
            "host app2: serves 0 of 2 apps"} <= set(shown["boxes"])  # fmt: skip
    apps = [one for one in shown["boxes"] if one.startswith("app ")]
    assert sum("in pool, healthy" in one for one in apps) == 4
    assert sum("drained, healthy" in one for one in apps) == 2
    assert shown["smallest"] >= 12, "pixels"
    assert shown["wide"] <= width, "nothing runs out of the page"
    assert WHY in shown["text"]


@pytest.mark.parametrize("width", [1280, 390])
def test_long_names_stay_in_their_boxes_and_on_the_page(tmp_path: Path, width: int) -> None:
    fleet = Fleet()
    long = f"app3.{'quite-long' * 4}.example.com"
    fleet.plan["by_host"][long] = ["shop"]
    fleet.plan["apps"]["shop"]["hosts"].append(long)
    path = tmp_path / "status.html"
    path.write_text(page(status_of(fleet.plan, fleet.hosts, fleet.pools, WHEN, 300)))
    found = browser.ask(path, width, """
        const boxes = [...page.querySelectorAll('svg.topology')].filter(shown)[0];
        return {
            room: [...boxes.querySelectorAll('g.box')].flatMap((box) => {
                const end = box.querySelector('rect').getBoundingClientRect().right;
                return [...box.querySelectorAll('text')].map(
                    (one) => end - one.getBoundingClientRect().right);
            }),
            wide: page.documentElement.scrollWidth,
        };
    """)  # fmt: skip
    assert len(found["room"]) > 10
    assert min(found["room"]) > 0, "every text ends inside its box"
    assert found["wide"] <= width


def test_the_browser_tells_of_errors(tmp_path: Path) -> None:
    """Or a page without any would prove nothing."""
    path = tmp_path / "broken.html"
    path.write_text("<!DOCTYPE html><script>nothing.there()</script>")
    assert "nothing is not defined" in " ".join(browser.see(path, 800).console)
