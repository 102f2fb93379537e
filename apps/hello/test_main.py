"""Hello over both protocols. Run with fuego importable (PYTHONPATH=fuego/src)."""

import hashlib
import importlib.util
import json
import os
import socket
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Literal

import pytest
from fuego.testing import RefusedSocketError, TestClient


@pytest.fixture(scope="module")
def main() -> ModuleType:
    """By its path: every app here has a module named main."""
    spec = importlib.util.spec_from_file_location("hello", Path(__file__).with_name("main.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module).update(TICK=0.0, PAUSE=0.0)
    return module


@pytest.fixture(params=["wsgi", "asgi"])
def client(main: ModuleType, request: pytest.FixtureRequest) -> TestClient:
    protocol: Literal["wsgi", "asgi"] = request.param
    return TestClient(main.app, protocol)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whoami(client: TestClient, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_RELEASE", "r-1")
    headers = {
        "X-Request-ID": "id-1",
        "X-Load-Balancer": "lb1",
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
    }
    body = b"abc" if method == "POST" else b""
    got = client.request(method, "/whoami", headers=headers, body=body)
    assert (got.status, got.headers["Cache-Control"]) == (200, "no-store")
    seen = got.json()
    assert seen.pop("server")
    assert seen.pop("fuego")
    assert seen.pop("python")
    assert seen == {
        "app": "hello",
        "host": socket.gethostname(),
        "protocol": client.protocol,
        "release": "r-1",
        "pid": os.getpid(),
        "request_id": "id-1",
        "method": method,
        "received": len(body),
        "client": "203.0.113.9",
        "scheme": "https",
        "load_balancer": "lb1",
        "forwarded_for": "203.0.113.9",
        "forwarded_proto": "https",
        "forwarded_host": None,
        "forwarded_port": None,
    }


def test_release_is_null_outside_a_deployment(client: TestClient) -> None:
    assert client.get("/whoami").json()["release"] is None


@pytest.mark.parametrize(
    ("modules", "server"),
    [
        (["gunicorn.arbiter"], "gunicorn"),
        (["gunicorn.arbiter", "uvicorn.server"], "gunicorn"),
        (["uvicorn.server"], "uvicorn"),
        (["fuego.development"], "fuego"),
        ([], "program"),
    ],
)
def test_server_is_what_runs_the_process(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch, modules: list[str], server: str
) -> None:
    process = SimpleNamespace(modules=dict.fromkeys(modules), argv=["/bin/program"])
    monkeypatch.setattr(main, "sys", process)
    assert main.server() == server


def test_page_shows_the_path(client: TestClient) -> None:
    page = client.get("/", headers={"X-Load-Balancer": "<lb&1>", "X-Request-ID": "id-2"})
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for shown in ("&lt;lb&amp;1&gt;", "id-2", socket.gethostname(), str(os.getpid())):
        assert shown in page.text
    assert client.protocol.upper() in page.text
    assert "<lb" not in page.text
    assert "straight to the host" in client.get("/").text


def test_page_opens_live_parts_under_asgi_alone(client: TestClient) -> None:
    assert ("/static/live.js" in client.get("/").text) == (client.protocol == "asgi")


def test_page_has_nothing_that_its_policy_forbids(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")
    for inline in ("<style", "style=", "<script>", "onclick", "data:"):
        assert inline not in page.text


def test_healthz(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("style.css", "text/css"), ("icon.svg", "image/svg+xml"), ("live.js", "text/javascript")],
)
def test_static_files(client: TestClient, name: str, kind: str) -> None:
    got = client.get(f"/static/{name}?r-1")
    assert (got.status, got.headers["Content-Type"].partition(";")[0]) == (200, kind)
    assert got.body == Path(__file__).with_name("static").joinpath(name).read_bytes()
    known = {"If-None-Match": got.headers["ETag"]}
    assert client.get(f"/static/{name}", headers=known).status == 304


@pytest.mark.parametrize("path", ["../main.py", "%2e%2e/main.py", "none", ""])
def test_static_ends_at_its_folder(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{path}").status == 404


@pytest.mark.parametrize(
    ("last", "first"), [(None, 1), ("41", 42), ("-1", 1), ("x", 1), ("9" * 99, 1)]
)
def test_events_go_on_where_the_client_was(
    client: TestClient, last: str | None, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_RELEASE", "r-1")
    headers = {} if last is None else {"Last-Event-ID": last}
    got = client.get("/events?count=2", headers=headers)
    assert (got.status, got.headers["Content-Type"]) == (200, "text/event-stream")
    assert got.headers["Cache-Control"] == "no-store"
    retry, *events = got.text.strip().split("\n\n")
    assert retry == "retry: 1000"
    for number, event in enumerate(events, first):
        name, data = event.split("\n")
        assert name == f"id: {number}"
        seen = json.loads(data.removeprefix("data: "))
        where = {"host": socket.gethostname(), "release": "r-1", "pid": os.getpid()}
        assert seen == {**where, "count": number}
    assert len(events) == 2


@pytest.mark.parametrize(("query", "count"), [("", 10), ("?count=0", 0), ("?count=1e300", 25)])
def test_events_end(client: TestClient, query: str, count: int) -> None:
    assert client.get(f"/events{query}").text.count("data: ") == count


def test_websocket_greets_then_echoes(main: ModuleType) -> None:
    client = TestClient(main.app, "asgi")
    with client.websocket("/ws", headers={"X-Request-ID": "id-4"}) as peer:
        greeting = peer.receive_json()
        assert (greeting["host"], greeting["pid"]) == (socket.gethostname(), os.getpid())
        assert (greeting["protocol"], greeting["request_id"]) == ("asgi", "id-4")
        for message in ("h\u00e9", "", b"\0\xff"):
            peer.send(message)
            assert peer.receive() == message
    with pytest.raises(RefusedSocketError), client.websocket("/events"):
        pass


def test_websocket_is_426_to_others(client: TestClient) -> None:
    got = client.get("/ws")
    assert (got.status, got.headers["Upgrade"]) == (426, "websocket")


HTML = {"Accept": "text/html,*/*;q=0.8"}
HOSTILE = "<b>&'x.txt"


def test_form_is_on_the_page_and_by_itself(client: TestClient) -> None:
    for path in ("/", "/form"):
        got = client.get(path)
        assert got.status == 200
        assert 'action="/form" method="post" enctype="multipart/form-data"' in got.text


@pytest.mark.parametrize("size", [0, 3, 2 * 1024 * 1024])
def test_form_tells_what_arrived(client: TestClient, size: int) -> None:
    content = os.urandom(size)
    files = {"file": (HOSTILE, content, "text/html")}
    got = client.post("/form", form={"text": "<i>"}, files=files)
    digest = hashlib.sha256(content).hexdigest()
    received = {"name": HOSTILE, "size": size, "sha256": digest}
    assert got.json() == {"text": "<i>", "files": [received]}
    page = client.post("/form", form={"text": "<i>"}, files=files, headers=HTML)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for shown in ("&lt;i&gt;", "&lt;b&gt;&amp;&#x27;x.txt", f"{size} bytes", digest):
        assert shown in page.text
    assert "<i>" not in page.text
    assert "<b>" not in page.text


def test_form_without_a_file(client: TestClient) -> None:
    untouched = {"file": ("", b"", "application/octet-stream")}
    assert client.post("/form", files=untouched).json() == {"text": "", "files": []}
    assert client.post("/form", form={"text": "a b"}).json() == {"text": "a b", "files": []}
    page = client.post("/form", form={"text": "$host"}, headers=HTML)
    assert "<dd>$host</dd>" in page.text


def test_form_has_limits(main: ModuleType, client: TestClient) -> None:
    large = {"file": ("x", bytes(main.MAX_FORM), "text/plain")}
    assert client.post("/form", files=large).status == 413
    long = {"text": "x" * (1024 * 1024 + 1)}
    assert client.post("/form", form=long, files={"file": ("x", b"", "x/x")}).status == 413


def test_what_is_no_form_is_refused(client: TestClient) -> None:
    for kind in ("text/plain", "multipart/form-data", "multipart/form-data; boundary=x"):
        assert client.post("/form", headers={"Content-Type": kind}, body=b"x").status == 400


def test_slow_takes_its_time(client: TestClient) -> None:
    got = client.get("/slow?seconds=0.01").json()
    assert (got["seconds"], got["host"]) == (0.01, socket.gethostname())


@pytest.mark.parametrize("path", ["/slow?seconds=", "/events?count="])
@pytest.mark.parametrize("value", ["x", "nan", "-1", "-inf", ""])
def test_numbers_are_checked(client: TestClient, path: str, value: str) -> None:
    assert client.get(path + value).status == 400


def test_slow_is_bounded(
    main: ModuleType, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "LONGEST", 0.01)
    assert client.get("/slow?seconds=inf").json()["seconds"] == 0.01


def test_stream_comes_in_chunks(client: TestClient) -> None:
    got = client.get("/stream")
    assert "Content-Length" not in got.headers
    assert [chunk.split()[0] for chunk in got.chunks] == [b"%d" % n for n in range(1, 11)]
    assert len(client.get("/stream", chunks=3).chunks) == 3


def test_each_request_is_one_line_of_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    got = client.get("/none\u00e9", headers={"X-Request-ID": "id-3"})
    assert got.headers["X-Request-ID"] == "id-3"
    [line] = caplog.messages
    seen = json.loads(line)
    assert seen.pop("ms") >= 0
    assert (seen["request_id"], seen["method"], seen["status"]) == ("id-3", "GET", 404)
    assert seen["path"].startswith("/none")
