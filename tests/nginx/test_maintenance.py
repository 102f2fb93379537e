"""A site in maintenance on a real nginx: what clients get, and what goes on regardless."""

import html
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pool_member
import pytest
import site_maintenance
from balancer import Balancer
from fuego_deploy import nginx, pool
from loopback import Running, app
from modules import Result, call
from nginx_tree import Tree

Run = Callable[..., Result]
WHEN = "2026-11-21T10:00:00Z"


@pytest.fixture
def apps() -> Iterator[dict[str, Running]]:
    with app() as one, app() as two:
        yield {"app1": one, "app2": two}


@pytest.fixture
def front(tree: Tree, apps: dict[str, Running]) -> Balancer:
    return Balancer(tree, apps)


def where(front: Balancer) -> dict[str, str]:
    return {key: value for key, value in front.where.items() if key != "access_log"}


@pytest.fixture
def turn(front: Balancer, capsys: pytest.CaptureFixture[str]) -> Run:
    """`turn("on", message="Back at 14:00")`"""

    def turn(state: str, check: bool = False, **options: Any) -> Result:
        given = {"app": "shop", "state": state, "by": "alice@ctl", "since": WHEN, **where(front)}
        return call(site_maintenance.main, capsys, check, **{**given, **options})

    return turn


def test_clients_get_a_page_and_the_health_path_an_answer(
    front: Balancer, turn: Run, apps: dict[str, Running]
) -> None:
    """Behaviour 15."""
    result = turn("on", message="Back at 14:00", retry_after=900)
    assert (result["changed"], result["reloaded"]) == (True, True)
    response, body = front.get("/teapot")
    assert (response.status, response.headers["Retry-After"]) == (503, "900")
    assert response.headers["Content-Type"] == "text/html"
    assert response.headers["Cache-Control"] == "no-store"
    assert "<p>Back at 14:00</p>" in body
    assert str(response.headers["X-Request-ID"]) in body
    assert front.serving() == {"app1", "app2"}, "the health path"
    assert (
        "# Managed by fuego-deploy: edits are lost. Maintenance of shop, on by alice@ctl"
        in (front.tree.path / "maintenance/shop.conf").read_text()
    )
    log = (front.tree.home / "log/access.log").read_text().splitlines()[0]
    assert (json.loads(log)["app"], json.loads(log)["status"]) == ("shop", 503)
    assert turn("off")["reloaded"]
    assert front.ask("/teapot")[0] == 418


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("application/problem+json, */*;q=0.1", "application/json"),
        ("text/html,application/xhtml+xml,application/json;q=0.9", "text/html"),
        ("*/*", "text/html"),
        ("", "text/html"),
    ],
)
def test_json_for_those_who_accept_it_and_no_page(
    front: Balancer, turn: Run, accept: str, kind: str
) -> None:
    turn("on", message="soon")
    response, body = front.get("/teapot", Accept=accept)
    assert (response.status, response.headers["Content-Type"]) == (503, kind)
    assert response.headers["Retry-After"] == "300"
    if kind == "application/json":
        assert json.loads(body) == {"error": "maintenance", "message": "soon"}


@pytest.mark.parametrize(
    "message",
    [
        'Bob\'s "shop" \\ is } closed; { <b>now</b> & $request_uri ${host} 100 %',
        "first line\nsecond line",
        "'; return 200; #",
        "\\' \\\\ \\u0041 \\n",
        "zurück um 14:00 — 😀" + "😀" * 280,
        "'\"$\\<&" * 50,
    ],
    ids=["signs", "lines", "injection", "backslashes", "wide", "longest"],
)
def test_a_message_arrives_as_it_was_written(front: Balancer, turn: Run, message: str) -> None:
    assert turn("on", message=message)["changed"]
    _, page = front.get("/")
    shown = re.findall("<h1>.*?</h1><p>(.*?)</p>", page)[0]
    assert html.unescape(shown.replace("<br>", "\n")) == message
    assert "<b>" not in shown
    assert json.loads(front.get("/", Accept="application/json")[1])["message"] == message


def test_what_is_invisible_in_a_message_is_left_out(front: Balancer, turn: Run) -> None:
    turn("on", message="  a\r\n\tb\u202ec \x1b[31m\n")
    assert json.loads(front.get("/", Accept="application/json")[1])["message"] == "a\nbc [31m"


def test_a_second_time_changes_nothing_and_keeps_who_did_it(front: Balancer, turn: Run) -> None:
    assert not turn("off")["changed"]
    turn("on", message="soon")
    again = turn("on", message="soon", by="bob@ctl", since="2026-11-22T00:00:00Z")
    assert (again["changed"], again["reloaded"], again["diff"]) == (False, False, [])
    assert pool.read(front.state_file).maintenance["shop"]["by"] == "alice@ctl"
    assert turn("on", message="later")["changed"]
    assert turn("off")["changed"]
    assert not turn("off")["changed"]


def test_a_check_tells_the_same_and_does_nothing(front: Balancer, turn: Run) -> None:
    told = turn("on", check=True)
    assert front.ask("/teapot")[0] == 418
    done = turn("on")
    assert (told["changed"], told["reloaded"]) == (done["changed"], done["reloaded"])
    assert [d["after_header"] for d in told["diff"]] == [d["after_header"] for d in done["diff"]]


def test_it_outlives_a_restart_and_a_deploy(
    front: Balancer, turn: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    turn("on")
    front.tree.stop()
    front.tree.start()
    assert front.ask("/teapot")[0] == 503
    for state in ("drained", "restored"):
        given: Any = {"member": "app1", "state": state, "timeout": 10, **front.where}
        assert call(pool_member.main, capsys, **given)["changed"]
        assert front.ask("/teapot")[0] == 503
    assert front.serving() == {"app1", "app2"}


def test_what_is_under_way_is_finished(front: Balancer, turn: Run) -> None:
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(front.ask("/slow")[0]))
    thread.start()
    while not any(running.slow.wait(0.01) for running in front.apps.values()):
        pass
    turn("on")
    assert front.ask("/slow")[0] == 503
    for running in front.apps.values():
        running.go.set()
    thread.join()
    assert answers == [200]


def test_no_request_is_lost_while_it_goes_on_and_off(front: Balancer, turn: Run) -> None:
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def client() -> None:
        while not over.is_set():
            statuses[front.ask("/teapot")[0]] += 1

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    try:
        for _ in range(5):
            turn("on")
            turn("off")
    finally:
        over.set()
        for thread in clients:
            thread.join()
    assert set(statuses) == {418, 503}


def test_drop_ins_of_the_site_are_behind_it(front: Balancer, turn: Run) -> None:
    folder = front.tree.path / "sites/shop.d"
    folder.mkdir()
    (folder / "own.conf").write_text(
        "location /own { return 200 own; }\nerror_page 503 /own;\nadd_header X-Own yes;\n"
    )
    turn("on", message="soon")
    response, body = front.get("/own")
    assert (response.status, "soon" in body) == (503, True)
    turn("off")
    assert front.ask("/own") == (200, "own")


@pytest.mark.parametrize(
    ("path", "asked", "other"),
    [
        ("/up?full=1", "/up?full=1", "/up/"),
        ("/a.b", "/a.b", "/aXb"),
        ("/x%20y", "/x%20y", "/x"),
        ("/a$uri\"b{'\\", "/a$uri\"b{'\\", "/a"),
        ("/", "/", "/x"),
    ],
)
def test_only_the_health_path_itself_is_answered(
    front: Balancer, turn: Run, path: str, asked: str, other: str
) -> None:
    state = pool.read(front.state_file)
    state.pools["shop"]["health"]["path"] = path
    pool.write(front.state_file, state)
    turn("on")
    assert front.ask(asked)[0] == 500, "the app's own, which knows no such path"
    assert front.ask(other)[0] == 503


def test_what_is_unknown_is_refused(front: Balancer, turn: Run) -> None:
    assert "blog: this balancer has no such site" in turn("on", app="blog")["msg"]
    assert "serves nothing yet; run site.yml" in turn("on", state_file="/no/such/file")["msg"]
    assert "serves nothing yet; run site.yml" in turn("on", executable="no-nginx")["msg"]


def test_what_nginx_does_not_take_changes_nothing(
    front: Balancer, turn: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise nginx.RefusedError("no room")

    before = front.state_file.read_text()
    with monkeypatch.context() as patched:
        patched.setattr(nginx, "reload", refuse)
        assert "no room" in turn("on")["msg"]
    assert front.state_file.read_text() == before
    assert front.ask("/teapot")[0] == 418
