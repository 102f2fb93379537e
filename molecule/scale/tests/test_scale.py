"""A pool that grows and shrinks under traffic: hosts added, removed, drained, rebooted, upgraded; a
second balancer; an app taken away. Nothing is lost, and what is removed leaves nothing behind.

The tests follow one another: each begins with the fleet that the one before it left.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from conftest import INVENTORY, Lab
from hello import SITES, Fleet, out_of_pools, releases, traffic

ONE = ("lb1",)
"""The balancers, until a test adds the second."""


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


def answering(lab: Lab, site: str, balancer: str = "lb1", requests: int = 40) -> Counter[str]:
    """Host → how many of the requests through the balancer it answered."""
    return Counter(
        lab.request(site, "/whoami", balancer=balancer).json()["host"] for _ in range(requests)
    )


def assert_shared(lab: Lab) -> None:
    """Each of the four hosts answers a quarter of the requests to both apps."""
    for site in SITES.values():
        found = answering(lab, site)
        assert set(found) == {"app1", "app2", "app3", "app4"}, found
        assert max(found.values()) - min(found.values()) <= 4, found


def test_a_host_added_gets_the_releases_of_the_fleet(lab: Lab, fleet: Fleet, line: Path) -> None:
    """Also one that a rollback holds and that the controller no longer has as its source."""
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


def test_a_second_balancer_knows_all_before_it_serves(
    lab: Lab, fleet: Fleet, tmp_path: Path
) -> None:
    """Behaviour 27."""
    well(fleet.run("drain.yml", host="app1", why="old disk"))
    fleet.inventories = (*fleet.inventories, write(tmp_path, "load_balancers", "lb2"))
    with traffic(lab, "add lb2", ONE):  # whom the apps believe, so they are restarted as well
        well(fleet.run("site.yml"))
    drained = out_of_pools(lab)
    assert len(drained["lb2"]) == 2
    assert drained["lb1"] == drained["lb2"]
    assert set(answering(lab, SITES["hello"], "lb2")) == {"app2", "app3", "app4"}
    with traffic(lab, "restore app1 on both"):
        well(fleet.run("restore.yml", host="app1"))
    assert out_of_pools(lab) == {"lb1": [], "lb2": []}


def test_a_host_whose_line_goes_is_told_of_until_it_is_removed(lab: Lab, fleet: Fleet) -> None:
    fleet.inventories = tuple(one for one in fleet.inventories if one.stem != "app4")
    with traffic(lab, "app4 loses its line"):
        run = well(fleet.run("site.yml"))
    assert "app4: the inventory stopped naming hello there" in run.stdout
    assert "app4" not in answering(lab, SITES["hello"])
    well(fleet.run("scale.yml", remove="app4"))
    assert "app4" not in well(fleet.run("site.yml")).stdout.partition("PLAY RECAP")[0].replace(
        "ok: [app4]", ""
    )
    assert lab.host("app4").run("ls /srv/hello /srv/hello-async").rc != 0


def test_an_app_removed_leaves_the_other_and_the_balancers(lab: Lab, fleet: Fleet) -> None:
    """Behaviours 7 and 26."""
    well(fleet.run("remove.yml", app="hello-async"))
    for name in ("app1", "app2", "app3"):
        host = lab.host(name)
        for look in ("ls /etc/systemd/system/hello-async*", "ls /srv/hello-async",
                     "ls /etc/hello-async", "getent passwd hello-async"):  # fmt: skip
            assert host.run(look).rc != 0, f"{name}: {look}"
        assert host.service("hello").is_running
    for name in ("lb1", "lb2"):
        assert lab.host(name).run("grep -rl hello-async /etc/nginx /var/lib/fuego-deploy").rc != 0
        assert lab.request("hello-async.localhost", "/whoami", balancer=name).status == 404
        assert lab.request("hello.localhost", "/whoami", balancer=name).status == 200
    refused = fleet.run("remove.yml", app="helo")
    assert refused.returncode != 0
    assert "neither the inventory nor a host has an app 'helo'" in refused.stdout
    apps = json.loads(fleet.file.read_text())["apps"]
    fleet.file.write_text(json.dumps({"apps": {"hello": apps["hello"]}}))
    assert set(changed(well(fleet.run("site.yml"))).values()) == {0}
