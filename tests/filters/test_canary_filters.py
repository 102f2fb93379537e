"""Which canaries a run finds, begins and ends, and what they leave to the other hosts."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "filter"))

import canary as filters
from fuego_deploy import canary
from run import former_releases

APPS = {"shop": {"hosts": ["app1", "app2"], "canary": {"hosts": ["app1"], "weight": 10}}}
RUN = {"purpose": "deploy", "who": "alice@ctl", "since": "2026-11-21T10:00:00Z"}
ON: canary.Canary = {"state": "on", "release": "new", "hosts": ["app1"], "weight": 10,
                     "by": "alice@ctl", "when": "2026-11-21T10:00:00Z"}  # fmt: skip
OFF: canary.Canary = {**ON, "state": "off"}


def host(name: str, committed: str = "old", **staged: Any) -> dict[str, Any]:
    """Hostvars of a host on which activation 2 is staged and 1 in force."""
    what = {"pending": True, "changing": True, "activation": 2, "current": 1, "release": "new",
            "uncommitted": False, **staged}  # fmt: skip
    release = "new" if name == "app1" else "old"
    facts = {"committed": committed, "release": release, "previous": "", "uncommitted": False,
             "kept": ["new", "old"], "hold": None}  # fmt: skip
    return {"inventory_hostname": name, "app_staged": {"shop": what},
            "run_found": {"apps": {"shop": facts}}}  # fmt: skip


def begun(*hosts: dict[str, Any], ons: Any = (), **run: str) -> Any:
    return filters.canaries_begun(hosts, APPS, {**RUN, **run}, ons)


def test_a_canary_begins_where_something_new_meets_a_fleet() -> None:
    both = host("app1"), host("app2")
    assert begun(*both) == begun(*both, purpose="site") == {"shop": ON}
    assert begun(*both, purpose="promote") == begun(*both, ons=["shop"]) == {}
    same: dict[str, Any] = {"pending": True, "activation": 1}
    assert begun(host("app1", **same), host("app2")) == {}, "a service that is down"
    assert begun(host("app1", "", current=0), host("app2", "", current=0)) == {}, "a first deploy"
    half = host("app1", pending=False, activation=1, uncommitted=True)
    assert begun(half, host("app2")) == {"shop": ON}, "of an interrupted run"


def test_who_cannot_stay_as_it_is_keeps_a_canary_from_beginning() -> None:
    def said(**staged: Any) -> list[str]:
        hosts = [host("app1"), host("app2", **staged)]
        return filters.canary_obstacles(hosts, APPS, RUN, ())

    assert said() == []
    (missing,) = filters.canary_obstacles([host("app2")], APPS, RUN, ())
    assert missing.startswith("apps.shop.canary: none of app1 takes part in this run")
    assert filters.canary_obstacles([host("app2", "", current=0)], APPS, RUN, ()) == []
    assert filters.canary_obstacles([host("app2", activation=1)], APPS, RUN, ()) == []
    assert "app2 has no release yet that it could keep; add it first" in said(current=0)[0]
    assert "app2 has a release of a run that never came to its end" in said(uncommitted=True)[0]


def left(name: str, begun: Any, ons: Any, **staged: Any) -> tuple[bool, bool, bool]:
    found = filters.leave_to_canaries(host(name, **staged)["app_staged"], begun, ons, name)["shop"]
    return found["pending"], found["changing"], found["uncommitted"]


def test_others_wait_and_what_a_canary_has_is_not_halfway() -> None:
    assert left("app1", {"shop": ON}, {}) == (True, True, False)
    assert left("app2", {"shop": ON}, {}) == (False, False, False)
    assert left("app2", {"shop": ON}, {}, activation=1) == (True, True, False), "it is down"
    kept = {"pending": False, "uncommitted": True}
    assert left("app1", {}, {"shop": ON}, **kept) == (False, False, False)
    assert left("app1", {}, {}, **kept) == (False, True, True)


@pytest.mark.parametrize(
    ("purpose", "on", "said"),
    [
        ("deploy", True, "apps.shop: a canary of release new on app1 gets 10 % of the requests, by "
         "alice@ctl since 2026-11-21T10:00:00Z; end it: playbooks/canary.yml -e app=shop -e"),
        ("rollback", True, "apps.shop: a canary of release new"),
        ("promote", False, "apps.shop: no canary is on; begin one with playbooks/deploy.yml -e"),
        ("abort", False, "apps.shop: no canary is on"),
        ("site", True, ""), ("scale", True, ""), ("promote", True, ""), ("deploy", False, ""),
    ],
)  # fmt: skip
def test_what_does_not_go_with_a_canary_is_refused(purpose: str, on: bool, said: str) -> None:
    found = filters.canary_refusals({"shop": ON} if on else {}, ["shop"], purpose)
    assert len(found) == bool(said)
    assert all(one.startswith(said) for one in found)


def test_all_balancers_learn_what_began_and_what_ended() -> None:
    told: list[dict[str, Any]] = [{"canaries": {"shop": ON}}, {"canaries": {}}, {}]
    assert filters.canaries_on(told) == {"shop": ON}
    decided = filters.canaries_decided(told, {}, {**RUN, "purpose": "promote"}, APPS)
    assert canary.on(canary.merge(decided)) == {}
    other = filters.canaries_decided(told, {}, {**RUN, "purpose": "promote"}, {"blog": {}})
    assert canary.merge(other) == {"shop": ON}
    begins = filters.canaries_decided([{}], {"shop": ON}, RUN, APPS)
    assert canary.merge(begins) == {"shop": ON}
    assert canary.merge([{"shop": ON}, {"shop": OFF}]) == {"shop": OFF}


@pytest.mark.parametrize(
    ("wanted", "weight"),
    [({"hosts": ["app1"], "weight": 30}, 30), ({"hosts": ["app2"], "weight": 30}, 10), (None, 10)],
)
def test_another_weight_of_the_same_hosts_is_taken_over(wanted: Any, weight: int) -> None:
    later = {"purpose": "site", "who": "bob@ctl", "since": "2026-11-21T11:00:00Z"}
    apps = {"shop": {**APPS["shop"], "canary": wanted}}
    now = canary.merge(filters.canaries_decided([{"canaries": {"shop": ON}}], {}, later, apps))
    assert now["shop"]["weight"] == weight
    ended: canary.Canary = {**ON, "state": "off", "when": "2026-11-21T10:30:00Z"}
    assert canary.merge([now, {"shop": ended}]) == {"shop": ended}, "ended meanwhile"
    assert now["shop"]["release"] == "new"


def test_a_canary_is_committed_when_it_is_promoted() -> None:
    assert filters.canaries_here({}, {"shop": ON}, "app1", "site") == ["shop"]
    assert filters.canaries_here({"shop": ON}, {}, "app1", "deploy") == ["shop"]
    assert filters.canaries_here({}, {"shop": ON}, "app2", "site") == []
    assert filters.canaries_here({}, {"shop": ON}, "app1", "promote") == []


def test_the_first_host_is_one_where_the_app_changes() -> None:
    def first(**app1: Any) -> dict[str, str]:
        hosts = [host("app2"), host("app1", **app1)]
        return filters.first_pending([{**h, "run_changes": h["app_staged"]} for h in hosts], APPS)

    assert first() == {"shop": "app1"}
    assert first(pending=False) == {"shop": "app2"}


@pytest.mark.parametrize(
    ("purpose", "here", "release", "prefer"),
    [
        ("promote", "app1", "new", "newest"),
        ("promote", "app2", "new", "newest"),
        ("abort", "app1", "old", "committed"),
        ("abort", "app2", "old", "committed"),
        ("site", "app1", "new", "current"),
        ("site", "app2", "old", "current"),
        ("scale", "app9", "old", "current"),
    ],
)
def test_where_hosts_go_with_a_canary(purpose: str, here: str, release: str, prefer: str) -> None:
    found = former_releases([host("app1"), host("app2")], purpose, "", {"shop": ON}, here)
    assert (found["shop"]["release"], found["shop"]["prefer"]) == (release, prefer)


@pytest.mark.parametrize(
    ("members", "share", "weights"),
    [
        ({"app1": 1, "app2": 1, "app3": 1}, 10, {"app1": 2, "app2": 9, "app3": 9}),
        ({"app1": 3, "app2": 1}, 10, {"app1": 1, "app2": 9}),
        ({"app1": 1, "app2": 65535}, 50, {"app1": 1, "app2": 1}),
        ({"app1": 1, "app2": 60000, "app3": 59999}, 1, None),
        ({"app1": 1}, 10, {}),
        ({"app2": 1}, 10, {}),
    ],
)
def test_its_hosts_together_get_their_share(
    members: dict[str, int], share: int, weights: dict[str, int] | None
) -> None:
    pool = [{"name": name, "weight": weight} for name, weight in members.items()]
    pool.append({"name": "spare", "backup": True})
    found = canary.weights(pool, {**ON, "weight": share})
    if weights is not None:
        assert found == weights
    if found:
        assert max(found.values()) <= 65535
        assert found["app1"] / sum(found.values()) == pytest.approx(share / 100, rel=0.05)
    assert canary.weights(pool, {**OFF, "weight": share}) == canary.weights(pool, None) == {}
