"""How a real nginx shares requests out: by weight, to backups, and to one host for each client."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pool_member
import pytest
from balancer import Balancer
from loopback import Running, app
from modules import Result, call
from nginx_tree import Tree

Run = Callable[[str, str], Result]
CLIENTS = range(1, 31)


@pytest.fixture
def apps() -> Iterator[dict[str, Running]]:
    """Three hosts, which here are three ports."""
    with ExitStack() as stack:
        yield {f"app{n}": stack.enter_context(app()) for n in (1, 2, 3)}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[[Balancer], Run]:
    """pool_member on a balancer: `run(front)("app1", "drained")`."""

    def on(front: Balancer) -> Run:
        def run(member: str, state: str) -> Result:
            given: Any = {"member": member, "state": state, "timeout": 10, **front.where}
            done = call(pool_member.main, capsys, **given)
            assert not done.get("failed"), done
            return done

        return run

    return on


def test_one_in_ten_is_one_in_ten(tree: Tree, apps: dict[str, Running]) -> None:
    """Behaviour 16: 10 % is 10 +- 2 % of 1,000 requests."""
    weights = {"app1": {"weight": 2}, "app2": {"weight": 9}, "app3": {"weight": 9}}
    front = Balancer(tree, apps, "", **weights)
    answers = Counter(front.who() for _ in range(1000))
    assert 80 <= answers["app1"] <= 120, answers
    assert 400 <= answers["app2"] <= 500, answers


def test_a_backup_waits_for_the_last_of_the_others(
    tree: Tree, apps: dict[str, Running], run: Callable[[Balancer], Run]
) -> None:
    front = Balancer(tree, apps, app3={"backup": True})
    assert front.serving() == {"app1", "app2"}
    run(front)("app1", "drained")
    assert front.serving() == {"app2"}
    run(front)("app2", "drained")
    assert front.serving() == {"app3"}
    run(front)("app1", "restored")
    assert front.serving() == {"app1"}


def test_a_host_that_is_busy_enough_gets_no_more(tree: Tree, apps: dict[str, Running]) -> None:
    front = Balancer(tree, apps, "", **{name: {"max_conns": 1} for name in apps})
    slow = [threading.Thread(target=front.ask, args=("/slow",)) for _ in apps]
    for thread in slow[:2]:
        thread.start()
    while sum(running.slow.wait(0.01) for running in apps.values()) < 2:
        pass
    (idle,) = [name for name, running in apps.items() if not running.slow.is_set()]
    assert {front.who() for _ in range(20)} == {idle}
    slow[2].start()
    assert apps[idle].slow.wait(10)
    assert front.ask()[0] == 502
    for running in apps.values():
        running.go.set()
    for thread in slow:
        thread.join()


def cookie(front: Balancer) -> str:
    """What a client without a cookie is given."""
    return front.get()[0].headers["Set-Cookie"].partition(";")[0]


def test_a_client_is_known_by_its_cookie_from_the_first_answer(
    tree: Tree, apps: dict[str, Running]
) -> None:
    front = Balancer(tree, apps, sticky="cookie")
    seen = set()
    for _ in range(40):
        response, port = front.get()
        given = response.headers["Set-Cookie"]
        assert re.fullmatch("lb_client=[0-9a-f]{32}; Path=/; HttpOnly; SameSite=Lax", given)
        again, same = front.get(Cookie=given.partition(";")[0])
        assert same == port
        assert again.headers["Set-Cookie"] is None
        seen.add(port)
    assert len(seen) == 3


def test_the_cookie_is_secure_where_the_client_came_by_https(
    tree: Tree, apps: dict[str, Running]
) -> None:
    """With the scheme that nginx has for TLS, which no certificate is at hand for here."""
    snippet = "snippets/sticky.conf"
    front = Balancer(tree, apps, sticky="cookie")
    text = (tree.path / snippet).read_text()
    assert "Secure" not in front.get()[0].headers["Set-Cookie"]
    tree.stop()
    (tree.path / snippet).write_text(text.replace("map $scheme ", "map https "))
    tree.start()
    assert front.get()[0].headers["Set-Cookie"].endswith("; SameSite=Lax; Secure")


def asking(client: int, sticky: str) -> dict[str, str]:
    """What tells a client from the others."""
    if sticky == "cookie":
        return {"Cookie": f"lb_client={client}"}
    return {"client": f"127.{37 * client % 256}.{101 * client % 256}.1"}


def homes(front: Balancer, sticky: str) -> dict[int, str]:
    """Client → the host that answers all of its requests."""
    found = {}
    for client in CLIENTS:
        answers = {front.who(**asking(client, sticky)) for _ in range(5)}
        assert len(answers) == 1, (client, answers)
        found[client] = answers.pop()
    return found


@pytest.mark.parametrize("sticky", ["cookie", "ip_hash"])
def test_one_client_one_host_for_as_long_as_it_serves(
    tree: Tree, apps: dict[str, Running], run: Callable[[Balancer], Run], sticky: str
) -> None:
    """Behaviour 17; and those who have to move come back, the others never move."""
    front = Balancer(tree, apps, sticky=sticky)
    before = homes(front, sticky)
    assert set(before.values()) == set(apps)
    run(front)("app2", "drained")
    moved = homes(front, sticky)
    assert set(moved.values()) == {"app1", "app3"}
    assert {c: h for c, h in moved.items() if before[c] != "app2"} == {
        c: h for c, h in before.items() if h != "app2"
    }
    run(front)("app2", "restored")
    assert homes(front, sticky) == before


@pytest.mark.parametrize("sticky", ["cookie", "ip_hash"])
def test_every_balancer_finds_the_same_host_for_a_client(
    tree: Tree, apps: dict[str, Running], tmp_path: Path, sticky: str
) -> None:
    (tmp_path / "second").mkdir()
    second = Tree(tmp_path / "second", tree.program, tree.path / "mime.types")
    weights: dict[str, Any] = {"app1": {"weight": 3}}
    try:
        fronts = [Balancer(one, apps, sticky, **weights) for one in (tree, second)]
        assert homes(fronts[0], sticky) == homes(fronts[1], sticky)
        known = cookie(fronts[0]) if sticky == "cookie" else ""
        assert fronts[0].who(Cookie=known) == fronts[1].who(Cookie=known)
    finally:
        second.stop()


@pytest.mark.parametrize("sticky", ["cookie", "ip_hash"])
def test_clients_of_a_host_that_dies_are_answered_by_another(
    tree: Tree, apps: dict[str, Running], sticky: str
) -> None:
    with app() as doomed:
        front = Balancer(tree, {**apps, "app4": doomed}, sticky)
        before = homes(front, sticky)
        assert "app4" in before.values()
    after = homes(front, sticky)
    assert "app4" not in after.values()
    assert all(after[client] == home for client, home in before.items() if home != "app4")


@pytest.mark.parametrize("sticky", ["cookie", "ip_hash"])
def test_no_request_of_a_client_is_lost_while_its_host_comes_and_goes(
    tree: Tree, apps: dict[str, Running], run: Callable[[Balancer], Run], sticky: str
) -> None:
    front = Balancer(tree, apps, sticky)
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def client(number: int) -> None:
        while not over.is_set():
            response, _ = front.get(**asking(number, sticky))
            statuses[response.status] += 1

    clients = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in clients:
        thread.start()
    try:
        for name in apps:
            assert run(front)(name, "drained")["open"] == {}
            assert run(front)(name, "restored")["proved"] == ["shop"]
    finally:
        over.set()
        for thread in clients:
            thread.join()
    assert set(statuses) == {200}
    assert statuses[200] > 100
