"""What hosts and balancers said, put together: each state has its word, and nothing is hidden."""

from typing import Any

import pytest
from fleet.status import Row, Status, status
from told import EPOCH, WHEN, Fleet, app, member, unit


def told(fleet: Fleet) -> Status:
    return status(fleet.plan, fleet.hosts, fleet.pools, WHEN, 300)


def row(fleet: Fleet, name: str = "shop", host: str = "app1") -> Row:
    (found,) = [one for one in told(fleet).rows if (one.app, one.host) == (name, host)]
    return found


def test_a_fleet_that_is_well_has_nothing_to_look_at(fleet: Fleet) -> None:
    found = told(fleet)
    assert [(one.app, one.host) for one in found.rows] == [
        ("shop", "app1"), ("shop", "app2"), ("blog", "app1"), ("blog", "app2"),
    ]  # fmt: skip
    assert all(one.serves for one in found.rows)
    assert found.summary[0] == "shop: 2 of 2 hosts in the pool and healthy"
    assert (found.notes, found.out, found.holds, found.locks) == ([], [], [], [])
    assert {one.since for one in found.rows} == {WHEN}


@pytest.mark.parametrize(
    ("more", "word", "why"),
    [
        ({"release": ""}, "not deployed", ""),
        ({"units": {}}, "no service", "unit is missing"),
        ({"units": {}, "problem": "systemctl: boom"}, "no service", "boom"),
        ({"service": unit("failed", result="exit-code", restarts=9)}, "failed (exit-code)",
         "gave it up after 9 restarts; journalctl -u shop"),
        ({"service": unit("activating", restarts=4)}, "restarting", "4 times"),
        ({"service": unit("activating")}, "starting", ""),
        ({"service": unit("inactive")}, "stopped", "next request on its socket starts it"),
        ({"socket": unit("failed")}, "not listening", "shop.socket is failed"),
        ({"beside": {"shop_worker.service": unit("failed")}}, "worker failed",
         "shop_worker.service is failed; journalctl -u shop_worker says why"),
        ({"beside": {"shop_tidy.timer": unit("inactive")}}, "tidy inactive", "shop_tidy.timer is"),
        ({"beside": {"shop_tidy.service": unit("failed"), "shop_worker.service": unit("inactive")}},
         "tidy failed, worker inactive", "shop_worker.service is inactive; journalctl -u"),
        ({"answer": None, "problem": "activation 3 has never passed its health check"},
         "runs, not proved", "activation 3"),
        ({"answer": {"path": "/z", "status": 503, "problem": "", "healthy": False}},
         "unhealthy (503)", "GET /z answered 503"),
        ({"answer": {"path": "/z", "status": None, "problem": "no answer: timed\nout",
                     "healthy": False}}, "no answer", "GET /z: no answer: timed out"),
    ],
)  # fmt: skip
def test_words_for_an_app_that_is_not_well(
    fleet: Fleet, more: dict[str, Any], word: str, why: str
) -> None:
    said = app("shop")
    for kind in ("service", "socket"):
        if kind in more:
            said["units"][f"shop.{kind}"] = more[kind]
    said["units"] |= more.get("beside", {})
    own = ("service", "socket", "beside")
    said |= {key: value for key, value in more.items() if key not in own}
    fleet.hosts["app1"]["apps"]["shop"] = said
    found = row(fleet)
    assert (found.health.text, found.serves) == (word, False)
    assert why in found.health.why
    notes = [line for line in told(fleet).notes if line.startswith("shop on app1: ")]
    assert bool(notes) == bool(why)


def test_a_job_that_waits_for_its_time_is_well(fleet: Fleet) -> None:
    fleet.hosts["app1"]["apps"]["shop"]["units"] |= {
        "shop_tidy.timer": unit(), "shop_tidy.service": unit("inactive", enabled="static"),
    }  # fmt: skip
    assert row(fleet).serves


def test_who_cannot_be_reached_or_asked_is_shown_and_the_rest_goes_on(fleet: Fleet) -> None:
    fleet.hosts["app1"] = {"unreachable": True, "msg": "ssh: No route\nto host"}
    fleet.hosts["app2"] = {"msg": "No JSON.", "module_stderr": "tty\nsudo: no password\n"}
    fleet.pools["lb2"] = {"unreachable": True, "msg": "timed out"}
    found = told(fleet)
    assert {one.health.text for one in found.of("shop")} == {"unreachable", "cannot be asked"}
    assert {one.pool.text for one in found.rows} == {"in pool"}
    assert "app1: unreachable: ssh: No route to host" in found.notes
    assert "app2: cannot be asked: No JSON. sudo: no password" in found.notes
    assert "lb2: unreachable: timed out" in found.notes
    assert [one.state.text for one in found.balancers] == ["nginx runs", "unreachable"]


def test_a_host_that_is_a_balancer_as_well_is_asked_for_both(fleet: Fleet) -> None:
    fleet.plan["load_balancers"] = [{"name": "app1", "address": "10.0.0.1"}]
    fleet.pools = {"app1": fleet.pools["lb1"]}
    fleet.hosts["app1"] = {"msg": "broken"}
    assert told(fleet).notes == ["app1: cannot be asked: broken"]
    assert row(fleet).pool.text == "in pool"
    fleet.hosts["app1"] = fleet.pools["app1"] = {"unreachable": True, "msg": "off"}
    assert told(fleet).notes == ["app1: unreachable: off"]


def test_hosts_that_a_limit_left_out_are_not_asked(fleet: Fleet) -> None:
    del fleet.hosts["app1"], fleet.pools["lb1"], fleet.pools["lb2"]
    found = row(fleet)
    assert (found.health.text, found.pool.text, found.requests) == ("not asked", "unknown", None)
    assert told(fleet).notes == []


def test_a_drain_says_who_when_and_why_once_for_all_pools(fleet: Fleet) -> None:
    fleet.drain("app2")
    assert row(fleet, host="app2").pool.text == "drained"
    assert told(fleet).out == [
        f"app2 (shop, blog): drained by hand by alice@ctl at {WHEN}: new kernel"
    ]


def test_balancers_that_differ_are_named(fleet: Fleet) -> None:
    fleet.drain("app2", "lb2")
    assert row(fleet, host="app2").pool.text == "balancers differ"
    (line,) = told(fleet).out
    assert line.endswith("new kernel (on lb2 only: the balancers differ)")


def test_a_removed_host_and_one_that_was_never_admitted(fleet: Fleet) -> None:
    hand = {"state": "removed", "by": "bob@ctl", "when": WHEN, "why": "sold"}
    for said in fleet.pools.values():
        said["hosts"]["app2"] = hand
        said["pools"] = {"shop": [member("app1", 8000, "waiting")], "blog": []}
    found = told(fleet)
    assert row(fleet, host="app2").pool.text == "removed"
    assert row(fleet, host="app1").pool.text == "not admitted"
    assert row(fleet, "blog").pool.text == "not in pool"
    assert f"app2 (shop, blog): removed by bob@ctl at {WHEN}: sold" in found.out
    assert "app1 (shop): has not passed its health check" in found.out
    assert "app1 (blog): is in no pool" in found.out
    assert "blog: no host is in the pool of every balancer; restore a host" in found.notes


def test_a_host_that_only_the_pools_know_is_told(fleet: Fleet) -> None:
    fleet.pools["lb1"]["pools"]["shop"].append(member("app9", 8000))
    found = row(fleet, host="app9")
    assert (found.health.text, found.pool.text) == ("not in the inventory", "balancers differ")


def test_pools_that_cannot_be_read_are_a_note(fleet: Fleet) -> None:
    fleet.pools["lb2"] |= {"pools": {}, "problems": ["pools.json: no JSON;\n remove it"]}
    fleet.pools["lb1"]["nginx"] = {"active": "failed", "since": EPOCH}
    found = told(fleet)
    assert {one.pool.text for one in found.rows} == {"in pool"}
    assert found.notes == ["lb1: nginx is failed", "lb2: pools.json: no JSON; remove it"]


def test_requests_of_all_balancers_are_added_and_those_of_nobody_told(fleet: Fleet) -> None:
    one = {"requests": 3, "errors": 1, "slowest": 0.5}
    fleet.pools["lb1"]["requests"] = {"shop": {"10.0.0.1:8000": one, "shop": one}}
    two = {"requests": 4, "errors": 0, "slowest": 0.2}
    fleet.pools["lb2"] |= {
        "requests": {"shop": {"10.0.0.1:8000": two, "": two}, "gone": {"x": one}},
        "seconds": 41.3, "pools": {}, "problems": ["broken"],
    }  # fmt: skip
    found = row(fleet).requests
    assert found is not None
    assert (found.count, found.errors, found.slowest) == (7, 1, 0.5)
    other = row(fleet, host="app2").requests
    assert other is not None
    assert other.count == 0
    notes = told(fleet).notes
    assert "shop: 1 request ended with 5xx and no host of the pool answered" in notes
    assert "lb2: its log is so busy that the figures are of its last 41 s" in notes
    assert not any(line.startswith("gone") for line in notes)


def test_without_any_log_requests_are_unknown_and_not_none(fleet: Fleet) -> None:
    for said in fleet.pools.values():
        said["requests"] = None
    assert row(fleet).requests is None


def test_one_app_alone(fleet: Fleet) -> None:
    fleet.plan["by_host"] = {host: ["blog"] for host in fleet.hosts}
    assert told(fleet).apps == ["blog"]


def test_holds_locks_and_releases_that_differ(fleet: Fleet) -> None:
    hold = {"release": "aaaaaaaaaaaa", "by": "al@ctl", "since": WHEN}
    lock = {"run": "r7", "who": "bo@ctl", "purpose": "deploy", "since": WHEN}
    for host in fleet.hosts.values():
        host["apps"]["shop"] |= {"hold": hold}
        host["apps"]["blog"] |= {"lock": lock}
    fleet.hosts["app2"]["apps"]["blog"] |= {"release": "bbbbbbbbbbbb", "uncommitted": True}
    found = told(fleet)
    assert row(fleet).held
    assert found.holds == [f"shop: aaaaaaaaaaaa since {WHEN} by al@ctl, until the next deploy"]
    assert found.locks == [
        f"blog: locked by bo@ctl since {WHEN} for a deploy, run r7, on app1, app2"
    ]
    assert found.notes == [
        "blog: its hosts have 2 releases: aaaaaaaaaaaa on app1; bbbbbbbbbbbb on app2",
        "blog: a change has not come to its end on app2",
    ]
    fleet.plan["run"]["over"] = ["r7"]
    assert told(fleet).locks[0].endswith("that run has ended, the next one takes over")


def entry(run: str, time: str, action: str = "deploy", **more: str) -> dict[str, str]:
    return {"run": run, "time": time, "action": action, "app": "shop", "who": "al@ctl",
            "release": "aaaaaaaaaaaa.py313", **more}  # fmt: skip


def test_a_change_of_the_fleet_is_one_line(fleet: Fleet) -> None:
    fleet.hosts["app1"]["changes"] = [
        entry("r2", "T4", "undo", release="cccccccccccc"), entry("r2", "T2"), entry("r1", "T0"),
    ]  # fmt: skip
    fleet.hosts["app2"]["changes"] = [
        entry("r2", "T3", "deploy failed", reason="not healthy\x1b[31m"), entry("r1", "T1"),
    ]  # fmt: skip
    failed, well = told(fleet).changes
    assert (failed.when, failed.app, failed.who, failed.failed) == ("T4", "shop", "al@ctl", True)
    assert failed.what == (
        "deploy aaaaaaaaaaaa on app1; deploy failed aaaaaaaaaaaa on app2 (not healthy[31m); "
        "undo cccccccccccc on app1"
    )
    assert (well.when, well.what, well.failed) == ("T1", "deploy aaaaaaaaaaaa on app1, app2", False)


def test_no_more_than_ten_changes_and_no_odd_entry_stops_it(fleet: Fleet) -> None:
    fleet.hosts["app1"]["changes"] = [{"app": "shop"}, *(entry(f"r{n}", f"T{n}") for n in range(9))]
    fleet.hosts["app2"]["changes"] = [entry(f"s{n}", f"U{n}") for n in range(9)]
    found = told(fleet).changes
    assert len(found) == 10
    assert found[0].when == "U8"
