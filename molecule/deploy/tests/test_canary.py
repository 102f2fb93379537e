"""A release on one host first, with a tenth of the requests, and then everywhere or nowhere.

The tests of the scenario follow one another, also from file to file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from conftest import Lab
from hello import SITES, Fleet, assert_whole, releases, serving, traffic

HOSTS = ("app1", "app2", "app3")
CANARY = {"hosts": "app1", "weight": 10}


@pytest.fixture(scope="module", autouse=True)
def canary(fleet: Fleet) -> Iterator[None]:
    """hello has a canary, and hello-async never changes; the tests after these begin without."""
    source = fleet.apps["hello"]["source"]["path"]
    fleet.apps["hello-async"]["source"]["path"] = "apps/hello"
    fleet.apps["hello"]["canary"] = CANARY
    yield
    del fleet.apps["hello"]["canary"]
    fleet.apps["hello-async"]["source"]["path"] = source
    fleet.version()


def on_host(lab: Lab, host: str) -> str:
    """The release of hello that is in force there."""
    return str(serving(lab, host, "hello")["release"].partition(".")[0])


def share(lab: Lab, balancer: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for _ in range(1000):
        found[lab.request(SITES["hello"], "/whoami", balancer=balancer).json()["host"]] += 1
    print(f"{balancer}: {dict(found)}")
    return found


def weighing(lab: Lab, weight: int) -> list[str]:
    """The hosts of hello that have that weight, on both balancers."""
    pools = [
        lab.host(name).file("/etc/nginx/pools/hello.conf").content_string for name in ("lb1", "lb2")
    ]
    found = [
        sorted(re.findall(rf"^server .* weight={weight}\b.*# (\w+)", pool, re.M)) for pool in pools
    ]
    assert found[0] == found[1], pools
    return found[0]


def test_a_canary_gets_a_tenth_and_waits_to_be_promoted(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 16."""
    before = releases(lab, HOSTS)
    lab.host("app1").run("rm --force /srv/hello/shared/migrated")
    fleet.version()
    migrate = ["echo $DEPLOY_RELEASE >>../../../shared/migrated"]
    fleet.write(fleet.main, hooks={"migrate": migrate})
    with traffic(lab, "a canary begins"):
        run = fleet.run("deploy.yml", app="hello")
    assert run.returncode == 0, run.stdout
    assert "hello: a canary of release" in run.stdout
    new = on_host(lab, "app1")
    assert {on_host(lab, "app2"), on_host(lab, "app3")} == before["hello"] != {new}
    for balancer in ("lb1", "lb2"):
        assert 80 <= share(lab, balancer)["app1"] <= 120

    assert weighing(lab, 9) == ["app2", "app3"]

    fleet.apps["hello"]["canary"] = {**CANARY, "weight": 25}
    fleet.write(fleet.main, hooks={"migrate": migrate})
    with traffic(lab, "a canary gets more"):
        site = fleet.run("site.yml")
    assert site.returncode == 0, site.stdout
    assert "hello: a canary of release" in site.stdout
    assert on_host(lab, "app1") == new
    assert (weighing(lab, 2), weighing(lab, 3)) == (["app1"], ["app2", "app3"])

    refused = fleet.run("deploy.yml", app="hello")
    assert refused.returncode != 0
    assert f"apps.hello: a canary of release {new} on app1 gets 25 %" in refused.stdout
    assert "state=promote, or state=abort" in refused.stdout
    assert on_host(lab, "app1") == new

    with traffic(lab, "a canary is promoted"):
        run = fleet.run("canary.yml", app="hello", state="promote")
    assert run.returncode == 0, run.stdout
    assert_whole(lab, HOSTS, {**before, "hello": {new}})
    assert lab.host("app1").run("cat /srv/hello/shared/migrated").stdout == f"{new}\n"
    assert "weight" not in lab.host("lb1").file("/etc/nginx/pools/hello.conf").content_string
    fleet.apps["hello"]["canary"] = CANARY


def test_a_canary_that_does_not_start_never_begins(lab: Lab, fleet: Fleet) -> None:
    before = releases(lab, HOSTS)
    fleet.broken("gunicorn", "raise RuntimeError('no nest here')")
    with traffic(lab, "a canary that does not start"):
        run = fleet.run("deploy.yml", app="hello")
    assert run.returncode != 0
    assert "no nest here" in run.stdout
    assert_whole(lab, HOSTS, before)
    assert "weight" not in lab.host("lb2").file("/etc/nginx/pools/hello.conf").content_string


def test_a_promotion_that_fails_leaves_the_canary_to_be_aborted(lab: Lab, fleet: Fleet) -> None:
    fleets = releases(lab, HOSTS)
    before = fleets["hello"]
    fleet.broken("gunicorn", "raise RuntimeError('not on this host')", host="app3")
    run = fleet.run("deploy.yml", app="hello")
    assert run.returncode == 0, run.stdout
    new = on_host(lab, "app1")
    with traffic(lab, "a promotion that fails on the last host"):
        run = fleet.run("canary.yml", app="hello", state="promote")
    assert run.returncode != 0
    assert "not on this host" in run.stdout
    assert on_host(lab, "app1") == new
    assert {on_host(lab, "app2"), on_host(lab, "app3")} == before
    assert weighing(lab, 9) == ["app2", "app3"]
    with traffic(lab, "a canary is aborted"):
        run = fleet.run("canary.yml", app="hello", state="abort")
    assert run.returncode == 0, run.stdout
    assert_whole(lab, HOSTS, fleets)
