"""How an app's requests are shared out: what members are handed, and what is refused."""

import pytest
from fleet.canary import check_ending
from fleet.hosts import Inventory
from fleets import Plain, Planner, entry


def members(planned: Planner, **keys: object) -> Plain:
    """Host → the options of its member beside name, address and port."""
    fleet, errors = planned({"shop": entry(**keys)})
    assert errors == []
    return {
        member["name"]: {k: v for k, v in member.items() if k not in ("name", "address", "port")}
        for member in fleet["sites"][0]["members"]
    }


def test_members_say_only_what_the_app_says(planned: Planner) -> None:
    assert members(planned) == {"app1": {}, "app2": {}}
    assert members(planned, weights={"app2": 3}, max_conns=20) == {
        "app1": {"max_conns": 20},
        "app2": {"max_conns": 20, "weight": 3},
    }


@pytest.mark.parametrize("backup", ["spare", "app2", ["app2"], []])
def test_backups_are_hosts_or_a_group(
    planned: Planner, inventory: Inventory, backup: object
) -> None:
    inventory.groups["spare"] = ["app2"]
    found = members(planned, backup=backup)
    assert found == {"app1": {}, "app2": {"backup": True} if backup else {}}


@pytest.mark.parametrize("sticky", ["cookie", "ip_hash"])
def test_sticky_is_of_the_site(planned: Planner, sticky: str) -> None:
    apps = {"shop": entry(sticky=sticky), "blog": entry(domains=["b.example"], port=8001)}
    fleet, errors = planned(apps)
    assert errors == []
    assert [site["sticky"] for site in fleet["sites"]] == [sticky, ""]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"weights": {"ap1": 2}},
            "apps.shop.weights.ap1: 'ap1' is no host of 'shop' (did you mean 'app1'?); its hosts "
            "are app1, app2",
        ),
        (
            {"weights": {"app1": 0}},
            "apps.shop.weights.app1: 0 is not a weight; use a whole number from 1 to 65535, and "
            "to keep a host out of the pool drain it (playbooks/drain.yml)",
        ),
        ({"weights": {"app1": 65536}}, "apps.shop.weights.app1: 65536 is not a weight"),
        ({"weights": {"app1": "3"}}, "apps.shop.weights.app1: '3' is not a weight"),
        ({"weights": {"app1": True}}, "apps.shop.weights.app1: True is not a weight"),
        (
            {"weights": [3]},
            "apps.shop.weights: [3] is not a dictionary",
        ),
        (
            {"weights": {"app1": 500}},
            "apps.shop.weights: app2 would get one request in 501, too few to prove that it "
            "serves; keep every host above one in 500",
        ),
        (
            {"weights": {"app1": 400, "app2": 400}, "sticky": "cookie"},
            "apps.shop.weights: they add up to 800, and with sticky 600 is the most; divide",
        ),
        ({"max_conns": 0}, "apps.shop.max_conns: 0 is below 1, the least there is; leave it out"),
        (
            {"backup": "app3"},
            "apps.shop.backup: the inventory has no group or host 'app3' (did you mean 'app",
        ),
        ({"backup": "lb1"}, "apps.shop.backup: 'lb1' is no host of 'shop'"),
        (
            {"backup": "app_servers"},
            "apps.shop.backup: every host of 'shop' is one; leave out those that serve as a rule",
        ),
        (
            {"backup": "app2", "sticky": "ip_hash"},
            "apps.shop.backup: nginx has no backups where clients stay on a host; leave out "
            "backup, or sticky: ip_hash",
        ),
        (
            {"canary": {"hosts": "app1", "weight": 100}},
            "apps.shop.canary.weight: 100 is not a percentage to try; use 1 to 99",
        ),
        (
            {"canary": {"hosts": "app_servers", "weight": 10}},
            "apps.shop.canary.hosts: no host of 'shop' would keep the release that serves; leave",
        ),
        (
            {"canary": {"hosts": ["lb1"], "weight": 10}},
            "apps.shop.canary.hosts: 'lb1' is no host of 'shop'",
        ),
        (
            {"canary": {"hosts": "ap1", "weight": 10}},
            "apps.shop.canary.hosts: the inventory has no group or host 'ap1' (did you mean 'app",
        ),
        ({"canary": {"hosts": "app1"}}, "apps.shop.canary.weight: is missing; it says: How many"),
        ({"canary": {"weight": 10}}, "apps.shop.canary.hosts: is missing; it says: The hosts that"),
        (
            {"sticky": "cokie"},
            "apps.shop.sticky: 'cokie' is not one of cookie, ip_hash (did you mean 'cookie'?)",
        ),
    ],
    ids=lambda given: str(given)[:40],
)
def test_refused_with_the_mend(planned: Planner, keys: Plain, message: str) -> None:
    _, errors = planned({"shop": entry(**keys)})
    assert len(errors) == 1, errors
    assert errors[0].startswith(message)


def test_heavy_weights_that_hosts_share_are_fine(planned: Planner) -> None:
    assert members(planned, weights={"app1": 65535, "app2": 65535})["app1"] == {"weight": 65535}
    assert members(planned, weights={"app1": 499})["app1"] == {"weight": 499}
    alone = members(planned, weights={"app1": 900}, backup="app2")
    assert alone == {"app1": {"weight": 900}, "app2": {"backup": True}}


def test_a_canary_is_of_some_hosts(planned: Planner) -> None:
    fleet, errors = planned({"shop": entry(canary={"hosts": "app2", "weight": 10})})
    assert errors == []
    assert fleet["apps"]["shop"]["canary"] == {"hosts": ["app2"], "weight": 10}


def test_a_backup_is_no_canary(planned: Planner) -> None:
    keys = {"canary": {"hosts": "app2", "weight": 10}, "backup": "app2"}
    (error,) = planned({"shop": entry(**keys)})[1]
    assert error.startswith("apps.shop.canary.hosts: app2 is a backup, which gets no requests")


def test_how_a_canary_is_to_end() -> None:
    assert check_ending(None) == check_ending("abort") == []
    (wrong,) = check_ending("promot")
    assert wrong.startswith(
        "state: 'promot' is neither promote nor abort (did you mean 'promote'?)"
    )
