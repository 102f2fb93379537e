"""Draining and restoring on a real nginx, with requests on their way."""

import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pool_member
import pytest
from balancer import Balancer
from fuego_deploy import nginx, pool
from loopback import Running, app
from modules import Result, call
from nginx_tree import Tree

Run = Callable[..., Result]


@pytest.fixture
def apps() -> Iterator[dict[str, Running]]:
    """Two hosts, which here are two ports."""
    with app() as one, app() as two:
        yield {"app1": one, "app2": two}


@pytest.fixture
def front(tree: Tree, apps: dict[str, Running]) -> Balancer:
    return Balancer(tree, apps)


def runner(front: Balancer, capsys: pytest.CaptureFixture[str]) -> Run:
    """The module on that balancer."""

    def run(member: str, state: str, check: bool = False, **options: Any) -> Result:
        given = {"member": member, "state": state, "by": "alice@ctl", "why": "a test", "run": "r1",
                 "timeout": 5, **front.where, **options}  # fmt: skip
        return call(pool_member.main, capsys, check, **given)

    return run


@pytest.fixture
def run(front: Balancer, capsys: pytest.CaptureFixture[str]) -> Run:
    return runner(front, capsys)


def test_a_drained_host_gets_no_request_and_a_restored_one_is_proved(
    front: Balancer, run: Run
) -> None:
    assert front.serving() == {"app1", "app2"}
    drained = run("app1", "drained")
    assert (drained["changed"], drained["reloaded"], drained["open"]) == (True, True, {})
    assert (drained["apps"], drained["unknown"], drained["kept"]) == (["shop"], [], [])
    assert front.serving() == {"app2"}
    assert front.out()[0].startswith("app1: drained by alice@ctl at ")
    asked = len(front.apps["app1"].seen)
    restored = run("app1", "restored")
    assert (restored["changed"], restored["proved"]) == (True, ["shop"])
    assert len(front.apps["app1"].seen) >= asked + 2
    assert front.serving() == {"app1", "app2"}
    assert front.out() == []


def test_a_second_call_changes_and_reloads_nothing(front: Balancer, run: Run) -> None:
    for state in ("restored", "drained"):
        run("app1", state)
        workers = front.tree.workers()
        again = run("app1", state)
        assert (again["changed"], again["reloaded"], again["diff"]) == (False, False, [])
        assert front.tree.workers() == workers


def test_an_idle_host_is_drained_at_once(front: Balancer, run: Run) -> None:
    """The connections that nginx keeps to it for 60 s are none to wait for."""
    front.serving()
    result = run("app1", "drained", timeout=20)
    assert result["open"] == {}
    assert result["seconds"] < 10


def in_flight(front: Balancer) -> tuple[threading.Thread, list[tuple[int, str]], str]:
    """A request that one of the hosts is busy with: its thread, its answer, and that host."""
    answers: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: answers.append(front.ask("/slow")))
    thread.start()
    while True:
        for name, running in front.apps.items():
            if running.slow.wait(0.01):
                return thread, answers, name


def test_a_drain_waits_for_the_request_in_flight(front: Balancer, run: Run) -> None:
    thread, answers, busy = in_flight(front)
    timer = threading.Timer(0.8, front.apps[busy].go.set)
    timer.start()
    result = run(busy, "drained")
    assert (result["open"], front.apps[busy].go.is_set()) == ({}, True)
    assert result["seconds"] >= 0.6
    thread.join()
    assert answers == [(200, str(front.apps[busy].port))]


def test_the_time_of_a_drain_counts_from_when_the_run_began_it(front: Balancer, run: Run) -> None:
    thread, _, busy = in_flight(front)
    assert run(busy, "drained", timeout=0.2, run="r1")["open"] == {"shop": 1}
    state = pool.read(front.state_file)
    state.drained["shop"][busy]["when"] = "2026-11-21T10:00:00Z"
    pool.write(front.state_file, state)
    again = run(busy, "drained", timeout=20, run="r1")
    assert again["open"] == {"shop": 1}
    assert again["seconds"] < 10
    front.apps[busy].go.set()
    thread.join()


def test_a_drain_tells_what_is_still_open_at_the_deadline(front: Balancer, run: Run) -> None:
    thread, answers, busy = in_flight(front)
    result = run(busy, "drained", timeout=0.3)
    assert result["open"] == {"shop": 1}
    again = run(busy, "drained", timeout=0.3)
    assert (again["changed"], again["open"]) == (False, {"shop": 1})
    front.apps[busy].go.set()
    thread.join()
    assert answers[0][0] == 200
    assert run(busy, "drained")["open"] == {}


def test_no_request_is_lost_while_hosts_come_and_go(front: Balancer, run: Run) -> None:
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            statuses[front.ask()[0]] += 1

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    try:
        for _ in range(3):
            for name in front.apps:
                assert run(name, "drained")["open"] == {}
                assert run(name, "restored")["proved"] == ["shop"]
    finally:
        over.set()
        for thread in clients:
            thread.join()
    assert set(statuses) == {200}


def test_the_last_host_is_refused_or_kept(front: Balancer, run: Run) -> None:
    run("app1", "drained")
    before = front.state_file.read_text()
    for state in ("drained", "removed"):
        refused = run("app2", state)
        assert "shop: app2 is the last that serves it here" in refused["msg"]
        assert "app1: drained by alice@ctl" in refused["msg"]
        for hand in (False, True):
            kept = run("app2", state, last="keep", hand=hand)
            assert (kept["kept"], kept["changed"]) == (["shop"], False)
    assert front.state_file.read_text() == before
    assert front.serving() == {"app2"}


def test_what_is_unknown_is_told_and_nothing_changes(front: Balancer, run: Run) -> None:
    for state in ("drained", "restored", "removed"):
        result = run("app9", state, apps=["shop", "new"])
        assert (result["unknown"], result["changed"]) == (["shop", "new"], False)
        assert run("app9", state)["apps"] == []
    assert run("app1", "drained", apps=["shop", "new"])["unknown"] == ["new"]


def test_by_hand_what_is_unknown_is_refused_by_name(front: Balancer, run: Run) -> None:
    for state in ("drained", "restored", "removed"):
        assert "no pool here has a host of that name" in run("app9", state, hand=True)["msg"]


def test_removed_by_hand_it_is_let_in_only_by_adding_it(front: Balancer, run: Run) -> None:
    assert run("app1", "removed", hand=True, why="too many")["changed"]
    assert front.serving() == {"app2"}
    assert not run("app1", "removed", hand=True)["changed"]
    for state in ("drained", "restored"):
        assert "removed by alice@ctl" in run("app1", state, hand=True)["msg"]


def test_a_balancer_without_nginx_or_pools_has_nothing_to_drain(front: Balancer, run: Run) -> None:
    for other in ({"executable": "no-nginx"}, {"state_file": "/no/such/file"}):
        for state in ("drained", "restored", "removed"):
            result = run("app1", state, apps=["shop"], **other)
            assert (result["unknown"], result["changed"]) == (["shop"], False)


def test_a_drain_by_hand_outlives_a_deploy(front: Balancer, run: Run) -> None:
    assert run("app1", "drained", hand=True, why="new kernel")["changed"]
    assert not run("app1", "drained", hand=True)["changed"]
    assert run("app1", "drained")["reloaded"] is False
    restored = run("app1", "restored")
    assert [line.rpartition(": ")[2] for line in restored["held_out"]] == ["new kernel"]
    assert (restored["proved"], front.serving()) == ([], {"app2"})
    assert run("app1", "restored", hand=True)["proved"] == ["shop"]
    assert front.serving() == {"app1", "app2"}
    assert "leave apps out" in run("app1", "drained", hand=True, apps=["shop"])["msg"]


def test_a_host_that_is_not_healthy_stays_drained(front: Balancer, run: Run) -> None:
    run("app1", "drained")
    before = front.state_file.read_text(), front.file.read_text()
    result = run("app1", "restored", port=1, timeout=0.3)
    assert "shop: app1 at 127.0.0.1:1: GET /healthz: no answer" in result["msg"]
    assert (front.state_file.read_text(), front.file.read_text()) == before


def test_a_host_is_restored_where_it_moved(front: Balancer, run: Run) -> None:
    run("app1", "drained")
    with app() as moved:
        assert run("app1", "restored", port=moved.port)["proved"] == ["shop"]
        assert f":{moved.port} " in front.file.read_text()
        front.apps["app1"] = moved
        assert front.serving() == {"app1", "app2"}
        run("app1", "drained")


def test_a_host_that_is_not_reached_through_the_balancer_is_drained_again(
    front: Balancer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the log tells that it is always another one that answers."""
    run("app1", "drained")
    before = front.state_file.read_text(), front.file.read_text()
    with monkeypatch.context() as patched:
        patched.setattr("fuego_deploy.proof.logged_as", lambda _: {"10.9.9.9:1"})
        result = run("app1", "restored", timeout=0.3)
    assert "shop: app1 at 127.0.0.1:" in result["msg"]
    assert "requests for /healthz through this balancer (the last was answered 200" in result["msg"]
    assert "Put back: shop: app1: drained by alice@ctl" in result["msg"]
    assert (front.state_file.read_text(), front.file.read_text()) == before
    assert front.serving() == {"app2"}


def test_a_removed_host_is_gone(front: Balancer, run: Run) -> None:
    assert run("app1", "removed")["changed"]
    assert front.serving() == {"app2"}
    assert "app1" not in front.state_file.read_text() + front.file.read_text()
    again = run("app1", "removed")
    assert (again["changed"], again["apps"]) == (False, [])


def test_a_check_tells_the_same_and_does_nothing(front: Balancer, run: Run) -> None:
    for state in ("drained", "restored", "removed"):
        before = front.state_file.read_text(), front.file.read_text()
        told = run("app1", state, check=True)
        assert (front.state_file.read_text(), front.file.read_text()) == before
        done = run("app1", state)
        for key in ("changed", "reloaded", "apps", "unknown", "kept", "held_out"):
            assert told[key] == done[key], (state, key)
        assert [d["after_header"] for d in told["diff"]] == [
            d["after_header"] for d in done["diff"]
        ]


def test_what_nginx_refuses_changes_nothing(front: Balancer, run: Run) -> None:
    (front.tree.path / "conf.d").mkdir(exist_ok=True)
    (front.tree.path / "conf.d" / "own.conf").write_text("nonsense;\n")
    before = front.state_file.read_text(), front.file.read_text()
    assert "nonsense" in run("app1", "drained")["msg"]
    assert (front.state_file.read_text(), front.file.read_text()) == before


def test_a_reload_that_does_not_take_changes_nothing(
    front: Balancer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise nginx.RefusedError("no room")

    before = front.state_file.read_text(), front.file.read_text()
    with monkeypatch.context() as patched:
        patched.setattr(nginx, "reload", refuse)
        assert "no room" in run("app1", "drained")["msg"]
    assert (front.state_file.read_text(), front.file.read_text()) == before


PLACES = [path for path in sys.path if "plugins" in path]
# The module in a process of its own, which ends at the step of that name.
KILL = """
import os, sys, json
sys.path[:0] = json.loads(sys.argv[2])
import fuego_deploy
sys.modules["ansible.module_utils.fuego_deploy"] = fuego_deploy
from ansible.module_utils.testing import patch_module_args
from fuego_deploy import nginx
import pool_member
step = sys.argv[1]
if step == "unlink":
    known = nginx.reload
    def reload(*given):
        known(*given)
        os._exit(9)
    nginx.reload = reload
elif step:
    setattr(nginx, step, lambda *given: os._exit(9))
with patch_module_args(json.loads(sys.stdin.read())):
    pool_member.main()
"""


@pytest.mark.parametrize("step", ["install", "replace", "reload", "unlink"])
def test_whatever_it_is_killed_at_the_next_call_mends_it(
    front: Balancer, run: Run, step: str
) -> None:
    """Before the state is in the files, before nginx is told, and before it is known to be."""
    given = {"member": "app1", "state": "drained", "run": "r1", "timeout": 5, **front.where}
    killed = subprocess.run(
        [sys.executable, "-c", KILL, step, json.dumps(PLACES)],
        input=json.dumps(given), text=True, check=False,
    )  # fmt: skip
    assert killed.returncode == 9
    told = run("app9", "drained", check=True)
    assert told["changed"]
    mended = run("app9", "drained")
    assert (mended["changed"], mended["reloaded"]) == (True, True)
    assert front.serving() == {"app2"}
    assert not run("app9", "drained")["changed"]
    assert run("app1", "restored")["changed"]
    assert front.serving() == {"app1", "app2"}


def test_a_drain_decides_under_the_lock(front: Balancer) -> None:
    """Two hosts of one batch: the second waits for the first, and then is the last."""
    given = {"member": "app1", "state": "drained", "run": "r1", "last": "keep", **front.where}
    with nginx.lock(front.tree.path):
        child = subprocess.Popen(
            [sys.executable, "-c", KILL, "", json.dumps(PLACES)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdin is not None
        child.stdin.write(json.dumps(given))
        child.stdin.close()
        waiting = re.compile(rf"-> FLOCK .* {child.pid} ")
        while not waiting.search(Path("/proc/locks").read_text()):
            assert child.poll() is None
            time.sleep(0.02)
        state = pool.read(front.state_file)
        state.drained = {"shop": {"app2": {"run": "r1", "by": "", "when": "now", "why": ""}}}
        pool.write(front.state_file, state)
    assert child.stdout is not None
    with child.stdout:
        assert json.loads(child.stdout.read())["kept"] == ["shop"]
    child.wait(20)
    assert front.serving() == {"app1"}


def test_by_hand_a_host_leaves_all_its_pools_or_none(front: Balancer, run: Run) -> None:
    state = pool.read(front.state_file)
    state.pools["blog"] = state.pools["shop"]
    state.admitted["blog"] = {"app1": state.admitted["shop"]["app1"]}
    pool.write(front.state_file, state)
    assert run("app1", "drained", hand=True, last="keep")["kept"] == ["blog"]
    assert pool.read(front.state_file).serving("shop") == ["app1", "app2"]
    assert run("app1", "drained", last="keep")["kept"] == ["blog"]
    assert pool.read(front.state_file).serving("shop") == ["app2"]


def test_a_balancer_that_does_not_run_is_not_waited_for(front: Balancer, run: Run) -> None:
    front.tree.stop()
    drained = run("app1", "drained")
    assert (drained["changed"], drained["reloaded"]) == (True, False)
    restored = run("app1", "restored")
    assert (restored["changed"], restored["proved"]) == (True, [])


@pytest.mark.parametrize(
    "options",
    [
        {"sticky": "ip_hash"},
        {"sticky": "cookie"},
        {"app1": {"weight": 1}, "app2": {"weight": 99}},
        {"app1": {"weight": 1}, "app2": {"weight": 99}, "sticky": "ip_hash"},
        {"app1": {"max_conns": 1}, "app2": {"max_conns": 1}},
        {"app2": {"backup": True}},
    ],
    ids=str,
)
def test_a_host_is_proved_however_the_pool_shares_out(
    tree: Tree, apps: dict[str, Running], options: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Clients of one address, and few requests to a host, do not hide it from its own proof."""
    front = Balancer(tree, apps, **options)
    run = runner(front, capsys)
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            statuses[front.ask()[0]] += 1
            time.sleep(0.01)

    thread = threading.Thread(target=client)
    thread.start()
    try:
        for name in apps:
            if not options.get(name, {}).get("backup"):
                assert run(name, "drained")["open"] == {}
                asked = len(apps[name].seen)
                assert run(name, "restored", timeout=10)["proved"] == ["shop"]
                assert len(apps[name].seen) >= asked + 2
    finally:
        over.set()
        thread.join()
    assert set(statuses) == {200}


def test_a_backup_is_restored_unproved_while_others_serve(
    tree: Tree, apps: dict[str, Running], capsys: pytest.CaptureFixture[str]
) -> None:
    front = Balancer(tree, apps, app2={"backup": True})
    run = runner(front, capsys)
    run("app2", "drained")
    restored = run("app2", "restored")
    assert (restored["changed"], restored["proved"]) == (True, [])
    assert front.serving() == {"app1"}
    run("app1", "drained")
    assert front.serving() == {"app2"}


def test_a_canary_gets_its_share_from_its_first_request_on(front: Balancer, run: Run) -> None:
    """Behaviour 16: the weights come with the host, and end with the canary."""
    canary = {"state": "on", "release": "abc", "hosts": ["app1"], "weight": 10, "by": "alice@ctl",
              "when": "2026-11-21T10:00:00Z"}  # fmt: skip
    run("app1", "drained")
    assert run("app1", "restored", canary=canary)["proved"] == ["shop"]
    assert " weight=9 " in front.file.read_text()
    answers = Counter(front.who() for _ in range(1000))
    assert 80 <= answers["app1"] <= 120, answers
    for _ in range(2):
        run("app2", "drained")
        assert run("app2", "restored")["changed"]
        assert " weight=9 " in front.file.read_text()
    run("app1", "drained")
    run("app1", "restored", canary=canary | {"state": "off"})
    assert "weight" not in front.file.read_text()
    answers = Counter(front.who() for _ in range(100))
    assert 45 <= answers["app1"] <= 55, answers
