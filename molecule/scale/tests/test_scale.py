"""A pool that grows and shrinks under traffic: hosts added, removed, drained, rebooted, upgraded.
Nothing is lost, and what is removed leaves nothing behind.

The tests follow one another: each begins with the fleet that the one before it left.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from conftest import INVENTORY, Lab
from hello import SITES, Fleet, out_of_pools, releases, traffic

ONE = ("lb1",)


@pytest.fixture(scope="module")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(lab, tmp_path_factory.mktemp("fleet"))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The inventory of app4's line."""
    return write(tmp_path_factory.mktemp("line"), "app_servers", "app4")


def write(folder: Path, group: str, host: str) -> Path:
    file = folder / f"{host}.yml"
    file.write_text(f"{group}: {{hosts: {{{host}: }}}}\n")
    return file


def changed(run: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Host → how many tasks of the run changed something."""
    found = re.findall(r"^(\S+)\s+: ok=\d+ +changed=(\d+)", run.stdout, flags=re.MULTILINE)
    return {name: int(count) for name, count in found}


def well(run: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    assert run.returncode == 0, run.stdout
    return run


def assert_shared(lab: Lab, requests: int = 40) -> None:
    """Each of the four hosts answers a quarter of the requests to both apps."""
    for site in SITES.values():
        found = Counter(lab.request(site, "/whoami").json()["host"] for _ in range(requests))
        assert set(found) == {"app1", "app2", "app3", "app4"}, found
        assert max(found.values()) - min(found.values()) <= requests / 10, found


def test_a_host_added_gets_the_releases_of_the_fleet(lab: Lab, fleet: Fleet, line: Path) -> None:
    """Also one that a rollback holds and that the controller no longer has as its source."""
    well(fleet.run("deploy.yml"))
    former = releases(lab, ("app1",))
    fleet.version(2)
    well(fleet.run("deploy.yml"))
    well(fleet.run("rollback.yml", app="hello"))
    expected = {**releases(lab, ("app1",)), "hello": former["hello"]}
    fleet.version(3)  # not deployed: adding a host is no deploy
    fleet.inventories = (INVENTORY, line)
    with traffic(lab, "add app4", ONE):
        run = well(fleet.run("scale.yml", add="app4"))
    assert releases(lab, ("app1", "app2", "app3", "app4")) == expected
    assert {name: count for name, count in changed(run).items() if count} == {
        name: changed(run)[name] for name in ("app4", "lb1")
    }
    assert_shared(lab)
    assert set(changed(well(fleet.run("scale.yml", add="app4"))).values()) == {0}
    fleet.version(2)
    well(fleet.run("deploy.yml"))


def test_a_host_removed_leaves_nothing_and_stays_out(lab: Lab, fleet: Fleet) -> None:
    """Behaviours 24 and 26, until it is added again; people's own files are kept aside."""
    host = lab.host("app2")
    host.run("echo orders >/srv/hello/shared/orders; echo LEVEL=3 >>/etc/hello/env.local")
    with traffic(lab, "remove app2", ONE):
        well(fleet.run("scale.yml", remove="app2", why="too many"))
    for look in ("ls /etc/systemd/system/hello*", "ls /srv/hello* /etc/hello*",
                 "ls /usr/local/lib/fuego-deploy", "getent passwd hello hello-async",
                 "getent group hello hello-async", "pgrep gunicorn", "pgrep uvicorn",
                 "systemctl list-units --all --plain --no-legend 'hello*' | grep ."):  # fmt: skip
        assert host.run(look).rc != 0, look
    kept = host.run("cat /var/lib/fuego-deploy/removed/hello-*/*/orders").stdout
    assert kept == "orders\n"
    run = well(fleet.run("site.yml"))
    assert set(changed(run).values()) == {0}
    assert "app2: removed by" in run.stdout
    assert "too many" in run.stdout
    refused = fleet.run("restore.yml", host="app2")
    assert refused.returncode != 0
    assert "let it in again first: scale.yml -e add=app2" in refused.stdout

    with traffic(lab, "add app2 again", ONE):
        well(fleet.run("scale.yml", add="app2"))
    assert_shared(lab)


def test_what_makes_no_sense_is_refused(fleet: Fleet) -> None:
    for variables, said in (
        ({}, "say -e add=HOST or -e remove=HOST"),
        ({"add": "app1", "remove": "app2"}, "say -e add=HOST or -e remove=HOST"),
        ({"add": "app9"}, "no app is on 'app9'"),
        ({"remove": "app9"}, "no pool here has a host of that name"),
    ):
        run = fleet.run("scale.yml", **variables)
        assert run.returncode != 0
        assert said in run.stdout


def test_drained_by_hand_it_stays_out_of_all_that_others_do(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 25, and a deploy reaches it all the same."""
    with traffic(lab, "drain app1", ONE):
        well(fleet.run("drain.yml", host="app1", why="new <kernel>; 'soon'"))
        drained = out_of_pools(lab, ONE)["lb1"]
        assert len(drained) == 2
        assert all("app1: drained by" in one for one in drained)
        assert all(one.endswith("new <kernel>; 'soon'") for one in drained)
        before = releases(lab, ("app1",))
        fleet.version(4)
        run = well(fleet.run("deploy.yml", app="hello"))
        assert "new <kernel>" in run.stdout
        assert out_of_pools(lab, ONE)["lb1"] == drained
        assert releases(lab, ("app1",))["hello"].isdisjoint(before["hello"])
        well(fleet.run("restore.yml", host="app1"))
    assert out_of_pools(lab, ONE) == {"lb1": []}
    assert_shared(lab)


def test_a_host_is_rebooted_through_the_pool(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 28: it comes back by itself and serves."""
    before = lab.host("app3").run("cut -d' ' -f22 /proc/1/stat").stdout
    with traffic(lab, "reboot app3", ONE):
        well(fleet.run("reboot.yml", host="app3"))
    assert lab.host("app3").run("cut -d' ' -f22 /proc/1/stat").stdout != before
    assert out_of_pools(lab, ONE) == {"lb1": []}
    assert_shared(lab)
    refused = fleet.run("reboot.yml", host="app9")
    assert refused.returncode != 0
    assert "the inventory has no 'app9'" in refused.stdout


def test_a_host_is_upgraded_through_the_pool(lab: Lab, fleet: Fleet) -> None:
    since = lab.host("app4").run("systemctl show --value -p ActiveEnterTimestamp hello").stdout
    lab.host("app4").run("touch /run/reboot-required")
    with traffic(lab, "upgrade app4", ONE):
        well(fleet.run("upgrade.yml", host="app4"))
    now = lab.host("app4").run("systemctl show --value -p ActiveEnterTimestamp hello").stdout
    assert now != since
    assert not lab.host("app4").file("/run/reboot-required").exists
    assert out_of_pools(lab, ONE) == {"lb1": []}
