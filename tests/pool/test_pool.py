"""The state of the pools and the lines that nginx reads: no server, no nginx."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from fuego_deploy import pool, pool_changes
from fuego_deploy.layout import DeployError
from fuego_deploy.pool import Drain, Hand, State

NOW = "2026-11-21T10:00:00Z"
OPTIONS = {"max_fails": 3, "fail_timeout": "2s"}


def drain(run: str = "r1", why: str = "a release") -> Drain:
    return {"run": run, "by": "alice@ctl", "when": NOW, "why": why}


def hand(state: Any = "drained", when: str = NOW) -> Hand:
    return {"state": state, "by": "bob@ctl", "when": when, "why": "new kernel"}


def site(name: str = "shop", *members: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """A site of app1 and app2 unless it says otherwise."""
    found = members or tuple(
        {"name": f"app{n}", "address": f"10.0.0.{n}", "port": 8000} for n in (1, 2)
    )
    return {"name": name, "domains": [f"{name}.example.com"], "port": 8000,
            "members": list(found), "health": {"path": "/healthz"}, **keys}  # fmt: skip


def state(*sites: dict[str, Any], options: dict[str, Any] = OPTIONS) -> State:
    """A balancer that has admitted every member."""
    found = State(pools=pool.wanted(list(sites or (site(),)), options, 80))
    for app, known in found.pools.items():
        found.admitted[app] = {
            m["name"]: {"address": pool.where(m), "since": NOW} for m in known["members"]
        }
    return found


def lines(found: State, app: str = "shop") -> list[str]:
    header, *rest = pool.render(found)[f"pools/{app}.conf"].splitlines()
    assert header.startswith("# Managed by fuego-deploy")
    return rest


def test_a_member_that_serves_is_a_plain_line() -> None:
    assert lines(state())[0] == "server 10.0.0.1:8000 max_fails=3 fail_timeout=2s;  # app1"


def test_members_keep_their_order_and_get_brackets_where_needed() -> None:
    addresses = ("10.0.0.9", "2001:db8::1", "app3.example.com")
    members = [{"name": f"app{n}", "address": a} for n, a in enumerate(addresses)]
    assert [line.split()[1] for line in lines(state(site("shop", *members, port=8123)))] == [
        "10.0.0.9:8123", "[2001:db8::1]:8123", "app3.example.com:8123",
    ]  # fmt: skip


def test_a_members_own_port_and_options_stand_in_its_line() -> None:
    member = {"name": "app1", "address": "10.0.0.1", "port": 9000, "weight": 2, "max_conns": 50,
              "backup": True}  # fmt: skip
    (line,) = lines(state(site("shop", member, options={"max_fails": 1})))
    assert line.split(";")[0] == (
        "server 10.0.0.1:9000 weight=2 max_conns=50 max_fails=1 fail_timeout=2s backup"
    )


def test_options_that_are_not_set_are_not_rendered() -> None:
    assert lines(state(options={}))[0] == "server 10.0.0.1:8000;  # app1"


def test_an_empty_pool_is_a_pool_of_nobody() -> None:
    found = state(site("shop", members=[]))
    assert lines(found) == ["server 127.0.0.1:9 down;  # nobody"]


def test_who_is_out_is_down_and_the_line_says_why() -> None:
    found = state()
    del found.admitted["shop"]["app1"]
    found.drained["shop"] = {"app2": drain()}
    first, second = lines(found)
    assert first.endswith(" down;  # app1: has not passed its health check")
    assert second.endswith(f" down;  # app2: drained by alice@ctl at {NOW}: a release")
    found.hosts["app2"] = hand()
    assert lines(found)[1].endswith(f" down;  # app2: drained by bob@ctl at {NOW}: new kernel")
    found.hosts["app2"] = hand("restored")
    assert lines(found)[1] == second


def test_an_admission_is_for_one_address() -> None:
    found = pool_changes.moved(state(), "app1", ["shop"], None, 8001)
    assert "10.0.0.1:8001" in lines(found)[0]
    assert " down;" in lines(found)[0]


@pytest.mark.parametrize(
    "why", ["x\nserver 1.2.3.4;", "x\r\x00\x1b[31m", "\u202eback\u2028wards", "y" * 10_000, "a;}b"]
)
def test_what_people_write_stays_a_comment(why: str) -> None:
    found = state()
    found.drained["shop"] = {"app1": drain(why=why)}
    text = lines(found)[0]
    assert len(lines(found)) == 2
    assert text.isprintable()
    assert len(text) < 300
    assert text.index("#") < text.index("drained")


def test_words_stay_apart_where_lines_were() -> None:
    assert pool.one_line(" new\n\tkernel ") == "new kernel"


@pytest.mark.parametrize("address", ["", "10.0.0.1; server x", "a b", "10.0.0.1\n"])
def test_an_address_that_is_none_is_refused_by_name(address: str) -> None:
    with pytest.raises(DeployError, match=r"shop: app1: .* is not an address"):
        pool.wanted([site("shop", {"name": "app1", "address": address})], {}, 80)


def test_the_state_is_kept_whole(tmp_path: Path) -> None:
    path = tmp_path / "lib" / "pools.json"
    assert pool.read(path) == State()
    found = state()
    found.drained["shop"], found.hosts["app2"] = {"app1": drain()}, hand()
    pool.write(path, found)
    assert pool.read(path) == found
    assert json.loads(path.read_text())["version"] == 2
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "content",
    ['{"shop": {"app1": {"address": "a:1", "since": "then"}}}', '{"version": 1}', "{}"],
)
def test_a_state_of_another_shape_is_an_empty_one(tmp_path: Path, content: str) -> None:
    (tmp_path / "pools.json").write_text(content)
    assert pool.read(tmp_path / "pools.json") == State()


@pytest.mark.parametrize("content", ["", "[]", '{"version": 2', '{"version": 2}', '{"version": 2,'
    ' "pools": 1, "admitted": {}, "drained": {}, "hosts": {}}'])  # fmt: skip
def test_a_broken_state_is_refused_with_the_mend(tmp_path: Path, content: str) -> None:
    (tmp_path / "pools.json").write_text(content)
    with pytest.raises(DeployError, match=r"pools\.json: .*remove the file and run site\.yml"):
        pool.read(tmp_path / "pools.json")


def test_the_newest_decision_by_hand_wins() -> None:
    old, new = hand("drained", "2026-11-21T10:00:00Z"), hand("restored", "2026-11-21T10:00:01Z")
    assert pool_changes.merge([{"app1": old}, {"app1": new}, {}]) == {"app1": new}
    assert pool_changes.merge([{"app1": new}, {"app1": old, "app2": old}]) == {
        "app1": new,
        "app2": old,
    }


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_decisions_of_one_second_the_drain_wins(order: int) -> None:
    both: list[dict[str, Hand]] = [{"app1": hand("restored")}, {"app1": hand()}]
    assert pool_changes.merge(both[::order])["app1"]["state"] == "drained"


def renew(
    found: State,
    verdicts: pool_changes.Verdicts,
    *sites: dict[str, Any],
    over: pool_changes.Drains | None = None,
) -> State:
    pools = pool.wanted(list(sites or (site(),)), OPTIONS, 80)
    return pool_changes.renew(found, pools, verdicts, over or {}, NOW)


def doubted(found: State, over: pool_changes.Drains) -> list[str]:
    return [m["name"] for _, m in pool_changes.in_doubt(found, found.pools, over)]


def test_only_who_is_not_known_is_in_doubt() -> None:
    found = state()
    over = {"shop": {"app2": drain("r1")}}
    assert doubted(found, over) == []
    del found.admitted["shop"]["app1"]
    found.drained["shop"] = {"app2": drain("r1")}
    assert doubted(found, over) == ["app1", "app2"]
    assert doubted(found, {}) == doubted(found, {"shop": {"app2": drain("r3")}}) == ["app1"]
    found.hosts |= {"app1": hand(), "app2": hand()}
    assert doubted(found, over) == []


def test_what_an_interrupted_run_left_is_restored_where_it_is_healthy() -> None:
    found = state()
    found.drained["shop"] = {"app1": drain("r1"), "app2": drain("r2")}
    sick: pool_changes.Verdicts = {("shop", "app1", "10.0.0.1:8000"): "no answer"}
    over = {"shop": {"app1": drain("r1")}}
    assert renew(found, sick, over=over).drained == found.drained
    well: pool_changes.Verdicts = {
        ("shop", "app1", "10.0.0.1:8000"): None,
        ("shop", "app2", "10.0.0.2:8000"): None,
    }
    assert renew(found, well, over=over).drained == {"shop": {"app2": drain("r2")}}


def test_who_was_drained_since_then_stays_so() -> None:
    found = state()
    found.drained["shop"] = {"app1": drain("r3")}
    well: pool_changes.Verdicts = {("shop", "app1", "10.0.0.1:8000"): None}
    assert renew(found, well, over={"shop": {"app1": drain("r1")}}).drained == found.drained


def test_who_left_the_inventory_leaves_the_state() -> None:
    found = state(site("shop"), site("old"))
    found.drained = {"old": {"app1": drain()}, "shop": {"app2": drain()}}
    found.hosts["app2"] = hand()
    after = renew(found, {}, site("shop", {"name": "app1", "address": "10.0.0.1", "port": 8000}))
    assert set(after.pools) == set(after.admitted) == {"shop"}
    assert set(after.admitted["shop"]) == {"app1"}
    assert after.drained == {}
    assert after.hosts == {}
    assert after.left == {"app1": {"old": NOW}, "app2": {"old": NOW, "shop": NOW}}


def test_a_second_run_changes_nothing() -> None:
    found = state()
    found.drained["shop"], found.hosts["app2"] = {"app1": drain("r2")}, hand()
    before = copy.deepcopy(found)
    assert renew(found, {}) == before == found


def test_a_pool_that_is_served_keeps_somebody() -> None:
    before = state()
    before.hosts["app2"] = hand()
    after = renew(before, {}, site("shop", {"name": "app2", "address": "10.0.0.2", "port": 8000}))
    with pytest.raises(DeployError, match=r"shop: app1 would leave .*app2: drained by bob@ctl"):
        pool_changes.check_somebody_serves(before, after)
    pool_changes.check_somebody_serves(State(), after)
    pool_changes.check_somebody_serves(before, renew(before, {}, site("shop", members=[])))


def test_draining_is_noted_once_for_a_run() -> None:
    found = state(site("shop"), site("blog"))
    once = pool_changes.drained(found, "app1", ["shop"], drain("r1"), hand=False)
    assert once.serving("shop") == ["app2"]
    assert once.serving("blog") == ["app1", "app2"]
    later = drain("r1", why="again")
    assert pool_changes.drained(once, "app1", ["shop"], later, hand=False) == once
    other = drain("r2")
    taken = pool_changes.drained(once, "app1", ["shop"], other, hand=False)
    assert taken.drained["shop"]["app1"] == other


def test_draining_by_hand_is_for_every_pool() -> None:
    found = state(site("shop"), site("blog"))
    once = pool_changes.drained(found, "app1", ["shop", "blog"], drain("", "kernel"), hand=True)
    assert (once.serving("shop"), once.serving("blog")) == (["app2"], ["app2"])
    assert once.hosts["app1"] == {"state": "drained", "by": "alice@ctl", "when": NOW,
                                  "why": "kernel"}  # fmt: skip
    assert pool_changes.drained(once, "app1", ["shop"], drain("", "x"), hand=True) == once


def test_a_run_does_not_restore_what_a_person_took_out() -> None:
    found = pool_changes.drained(state(), "app1", ["shop"], drain(), hand=False)
    found.hosts["app1"] = hand()
    after = pool_changes.restored(found, "app1", ["shop"], drain(), hand=False)
    assert after.drained == {}
    assert after.held_out() == [f"shop: app1: drained by bob@ctl at {NOW}: new kernel"]
    assert after.serving("shop") == ["app2"]
    back = pool_changes.restored(found, "app1", ["shop"], drain("", "done"), hand=True)
    assert back.serving("shop") == ["app1", "app2"]
    assert back.hosts["app1"]["state"] == "restored"


def test_a_member_that_is_held_out_is_not_admitted_where_it_moved() -> None:
    found = state()
    found.hosts["app1"] = hand()
    there = pool_changes.moved(found, "app1", ["shop"], "10.9.9.9", 9000)
    after = pool_changes.restored(there, "app1", ["shop"], drain(), hand=False)
    assert after.admitted["shop"]["app1"]["address"] == "10.0.0.1:8000"


def test_who_is_removed_leaves_no_trace() -> None:
    found = state(site("shop"), site("blog"))
    found.drained["shop"], found.hosts["app1"] = {"app1": drain()}, hand()
    once = pool_changes.removed(found, "app1", ["shop"], drain(), hand=False)
    assert once.apps_of("app1") == ["blog"]
    assert once.hosts == found.hosts
    last = pool_changes.removed(once, "app1", ["blog"], drain(), hand=False)
    assert '"app1"' not in json.dumps(pool.as_json(last))


def test_who_is_removed_by_hand_stays_out_until_the_inventory_forgets_it() -> None:
    once = pool_changes.removed(state(), "app1", ["shop"], drain(why="scaled down"), hand=True)
    assert once.removals()[0].startswith(f"app1: removed by alice@ctl at {NOW}: scaled down; it")
    again = renew(once, {}, site("shop"))
    assert (again.serving("shop"), again.hosts) == (["app2"], once.hosts)
    others = [m for m in site()["members"] if m["name"] != "app1"]
    gone = renew(again, {}, site("shop", *others))
    assert (gone.hosts, gone.left) == ({}, {})
    with pytest.raises(DeployError, match=r"no pool here has a host of that name; they have app2"):
        pool_changes.refuse_unknown(gone, "app1")
    with pytest.raises(DeployError, match=r"let it in again first: scale.yml -e add=app1"):
        pool_changes.refuse_unknown(again, "app1")


def test_who_only_lost_its_line_is_told_of_until_it_is_back_or_forgotten() -> None:
    others = [m for m in site()["members"] if m["name"] != "app1"]
    gone = renew(state(), {}, site("shop", *others))
    assert gone.orphans()[0].startswith(f"app1: the inventory stopped naming shop there at {NOW}")
    assert "scale.yml -e remove=app1" in gone.orphans()[0]
    assert renew(gone, {}, site("shop", *others)).left == gone.left
    assert renew(gone, {}, site("shop")).left == {}
    assert pool_changes.removed(gone, "app1", [], drain(), hand=True).left == {}


def test_an_app_that_nobody_names_any_more_is_told_of_on_each_host() -> None:
    gone = renew(state(site("shop"), site("old")), {}, site("shop"))
    assert gone.left == {name: {"old": NOW} for name in ("app1", "app2")}
    assert all(line.endswith("remove.yml -e app=old") for line in gone.orphans())
    assert pool_changes.without_left(gone, "old").left == {}
    assert pool_changes.without_left(gone, "old", "app1").left == {"app2": {"old": NOW}}


def test_an_app_that_is_on_one_host_less_is_told_of_there() -> None:
    others = [m for m in site()["members"] if m["name"] != "app1"]
    gone = renew(state(site("shop"), site("blog")), {}, site("shop", *others), site("blog"))
    (line,) = gone.orphans()
    assert line.endswith("remove.yml -e app=shop -e host=app1")


def test_the_last_one_is_refused_and_the_others_are_named() -> None:
    found = state()
    assert pool_changes.last_of(found, "app1", ["shop"]) == []
    pool_changes.refuse_last(found, "app1", ["shop"])
    found.hosts["app2"] = hand()
    assert pool_changes.last_of(found, "app1", ["shop"]) == ["shop"]
    with pytest.raises(DeployError, match=r"app1 is the last .* app2: drained by bob@ctl"):
        pool_changes.refuse_last(found, "app1", ["shop"])
    assert pool_changes.last_of(found, "app2", ["shop"]) == []


def test_putting_back_undoes_only_its_own_change() -> None:
    before = pool_changes.drained(state(), "app1", ["shop"], drain("r1"), hand=False)
    before.hosts["app1"] = hand("restored", "2026-11-20T10:00:00Z")
    there = pool_changes.moved(before, "app1", ["shop"], None, 9000)
    after = pool_changes.restored(there, "app1", ["shop"], drain("r1"), hand=False)
    assert after.serving("shop") == ["app1", "app2"]
    assert pool_changes.put_back(after, before, after, "app1", ["shop"]) == before
    since = copy.deepcopy(after)
    since.hosts["app1"], since.drained["shop"] = hand(), {"app1": drain("r9")}
    back = pool_changes.put_back(since, before, after, "app1", ["shop"])
    assert (back.hosts, back.drained) == (since.hosts, since.drained)


def test_of_the_apps_asked_for_the_unknown_are_told() -> None:
    found = state(site("shop"), site("blog"))
    assert pool_changes.split(found, "app1", None) == (["shop", "blog"], [])
    assert pool_changes.split(found, "app1", ["blog", "new", "blog"]) == (["blog"], ["new"])
    assert pool_changes.split(found, "app9", None) == ([], [])
