"""How both balancers share requests out: by weight, and to one host for each client."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from conftest import Lab
from hello import SITES, Fleet, traffic

BALANCERS = ("lb1", "lb2")
HOSTS = {"app1", "app2", "app3"}


@pytest.fixture(scope="module")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(lab, tmp_path_factory.mktemp("fleet"))


def who(lab: Lab, balancer: str = "lb1", **headers: str) -> str:
    """The host that answers."""
    answer = lab.request(SITES["hello"], "/whoami", balancer=balancer, headers=headers)
    assert answer.status == 200
    return str(answer.json()["host"])


def test_one_in_ten_is_one_in_ten_on_each_balancer(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 16: 10 % is 10 +- 2 % of 1,000 requests, and they end with the weights."""
    fleet.write(fleet.main, weights={"app1": 2, "app2": 9, "app3": 9})
    run = fleet.run("deploy.yml")
    assert run.returncode == 0, run.stdout
    for balancer in BALANCERS:
        answers = Counter(who(lab, balancer) for _ in range(1000))
        print(f"{balancer}: {dict(answers)}")
        assert 80 <= answers["app1"] <= 120, answers
    fleet.write(fleet.main)
    with traffic(lab, "weights end"):
        assert fleet.run("site.yml").returncode == 0
    answers = Counter(who(lab) for _ in range(300))
    assert min(answers.values()) >= 90, answers


def test_a_client_stays_on_its_host_through_both_balancers(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 17: and moves while that is drained, and loses nothing in a deploy."""
    fleet.write(fleet.main, sticky="cookie")
    assert fleet.run("site.yml").returncode == 0
    given = lab.request(SITES["hello"], "/whoami").headers["set-cookie"]
    assert re.fullmatch("lb_client=[0-9a-f]{32}; Path=/; HttpOnly; SameSite=Lax", given)
    clients = [f"lb_client={number}" for number in range(30)]
    homes = {client: who(lab, Cookie=client) for client in clients}
    assert set(homes.values()) == HOSTS
    for client, home in homes.items():
        assert {who(lab, balancer, Cookie=client) for balancer in BALANCERS} == {home}

    assert fleet.run("drain.yml", host="app2").returncode == 0
    for client, home in homes.items():
        moved = {who(lab, balancer, Cookie=client) for balancer in BALANCERS}
        assert len(moved) == 1
        assert moved == {home} if home != "app2" else moved < HOSTS - {"app2"}
    assert fleet.run("restore.yml", host="app2").returncode == 0
    assert {client: who(lab, Cookie=client) for client in clients} == homes

    fleet.version(2)
    fleet.write(fleet.main, sticky="cookie")
    with traffic(lab, "deploy to sticky clients"):
        run = fleet.run("deploy.yml", app="hello")
    assert run.returncode == 0, run.stdout
    assert {client: who(lab, Cookie=client) for client in clients} == homes


def test_hosts_are_proved_where_all_clients_have_one_address(lab: Lab, fleet: Fleet) -> None:
    """Under ip_hash a client goes to one host, and so would the proof of the others."""
    fleet.version(3)
    fleet.write(fleet.main, sticky="ip_hash")
    assert fleet.run("site.yml").returncode == 0
    assert len({who(lab) for _ in range(20)}) == 1
    fleet.version(4)
    fleet.write(fleet.main, sticky="ip_hash")
    with traffic(lab, "deploy with ip_hash"):
        run = fleet.run("deploy.yml", app="hello")
    assert run.returncode == 0, run.stdout
    fleet.write(fleet.main)
    assert fleet.run("site.yml").returncode == 0
    assert {who(lab) for _ in range(20)} == HOSTS
