"""Middleware: its forms, and the ready ones."""

import asyncio
import gzip as gzip_module
import json
import logging
import threading
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from fuego import Fuego, HTTPError, Request, Response, StreamResponse, TextResponse, WebSocket
from fuego.middleware import (
    access_log,
    cors,
    gzip,
    request_id,
    security_headers,
    trusted_hosts,
)
from fuego.modes import drive
from fuego.testing import TestClient


def sync_level(request: Request, call_next: Any) -> Any:
    response = call_next(request)
    response.headers.add("x-level", "sync")
    return response


async def async_level(request: Request, call_next: Any) -> Any:
    await asyncio.sleep(0)
    response = await call_next(request)
    response.headers.add("x-level", "async")
    return response


def step_level(request: Request) -> Any:
    response = yield
    response.headers.add("x-level", "steps")


LEVELS: dict[str, Any] = {"sync": sync_level, "async": async_level, "steps": step_level}


@pytest.mark.parametrize("handler_kind", ["sync", "async"])
@pytest.mark.parametrize(
    "kinds",
    [
        ("sync",),
        ("async",),
        ("steps",),
        ("sync", "async", "steps", "sync", "async"),
        ("async", "sync", "async", "sync", "steps"),
    ],
)
def test_levels_nest_in_any_order(
    app: Fuego, client: TestClient, kinds: tuple[str, ...], handler_kind: str
) -> None:
    def sync_handler(request: Request) -> dict[str, Any]:
        return {"body": request.text, "here": threading.current_thread().name}

    async def async_handler(request: Request) -> dict[str, Any]:
        await asyncio.sleep(0)
        return sync_handler(request)

    app.post("/")(sync_handler if handler_kind == "sync" else async_handler)
    for kind in kinds:
        app.middleware(LEVELS[kind])
    response = client.post("/", body=b"body")
    assert response.json()["body"] == "body"
    assert (response.json()["here"] == "fuego-loop") == (handler_kind == "async")
    assert response.headers.getlist("x-level") == list(kinds)
    assert client.get("/none").headers.getlist("x-level") == list(kinds)


@pytest.mark.parametrize("handler_kind", ["sync", "async"])
def test_a_streamed_body_behind_any_level(
    app: Fuego, client: TestClient, handler_kind: str
) -> None:
    def sync_handler(request: Request) -> bytes:
        return b"".join(request.stream())

    async def async_handler(request: Request) -> bytes:
        return b"".join([chunk async for chunk in request.stream()])

    app.post("/", stream=True)(sync_handler if handler_kind == "sync" else async_handler)
    app.post("/small", stream=True, max_body=3)(
        sync_handler if handler_kind == "sync" else async_handler
    )
    assert client.post("/", body=b"body").body == b"body"
    assert client.post("/").body == b""
    assert client.post("/small", body=b"body").status == 413
    assert (
        client.post("/small", body=b"b" * 9, headers={"transfer-encoding": "chunked"}).status == 413
    )
    for level in (async_level, sync_level, async_level):
        app.middleware(level)
        assert client.post("/", body=b"body").body == b"body"


@pytest.mark.parametrize(
    ("middleware", "status", "text"),
    [
        (lambda request, call_next: "short", 200, "short"),
        (lambda request, call_next: [][1], 500, None),
        (lambda request, call_next: 7, 500, None),
    ],
)
def test_a_level_may_answer_or_fail(
    app: Fuego,
    client: TestClient,
    middleware: Any,
    status: int,
    text: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app.middleware(middleware)
    response = client.get("/")
    assert response.status == status
    assert text is None or response.text == text


def test_steps_may_answer_or_replace_and_yield_once(
    app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.middleware
    def steps(request: Request) -> Any:
        if request.path == "/short":
            return "short"
        if request.path == "/refuse":
            raise HTTPError(401)
        response = yield
        if request.path == "/twice":
            yield
        return TextResponse(f"was {response.status}")

    assert client.get("/short").text == "short"
    assert client.get("/refuse").status == 401
    assert client.get("/none").text == "was 404"
    assert client.get("/twice").status == 500
    assert "yields more than once" in caplog.text


def test_drive_refuses_to_wait() -> None:
    async def wait() -> None:
        future: Any = asyncio.Future(loop=asyncio.new_event_loop())
        loops.append(future.get_loop())
        await future

    loops: list[Any] = []
    with pytest.raises(RuntimeError, match="without a loop"):
        drive(wait())
    loops[0].close()


def test_request_id(app: Fuego, client: TestClient) -> None:
    app.middleware(request_id())
    assert client.get("/", headers={"X-Request-ID": "a"}).headers["x-request-id"] == "a"
    assert len(client.get("/").headers["x-request-id"]) == 32


def test_access_log(app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fuego.access")
    app.middleware(access_log())
    client.get("/caf%C3%A9?a=1", headers={"X-Request-ID": "a"})
    line = json.loads(caplog.messages[-1])
    assert line.pop("ms") >= 0
    assert line.pop("bytes") > 0
    assert line == {
        "request_id": "a",
        "client": "127.0.0.1",
        "method": "GET",
        "path": "/café",
        "status": 404,
    }


def test_access_log_where_logging_is_not_set_up(
    app: Fuego, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("fuego.test.access")
    logger.propagate = False
    app.middleware(access_log(logger))
    TestClient(app).get("/none")
    assert json.loads(capsys.readouterr().err)["status"] == 404


PREFLIGHT = {"Origin": "https://a", "Access-Control-Request-Method": "PUT"}


def test_cors(app: Fuego, client: TestClient) -> None:
    app.get("/")(lambda request: "")
    app.middleware(cors(["https://a"], credentials=True, expose=["X-A"], headers=["X-B"]))
    known = client.get("/", headers={"Origin": "https://a"}).headers
    assert known["access-control-allow-origin"] == "https://a"
    assert known["access-control-allow-credentials"] == "true"
    assert (known["access-control-expose-headers"], known["vary"]) == ("X-A", "Origin")
    other = client.get("/", headers={"Origin": "https://b"})
    assert (other.status, other.headers["vary"]) == (200, "Origin")
    assert "access-control-allow-origin" not in other.headers
    preflight = client.options("/", headers=PREFLIGHT)
    assert preflight.status == 204
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert preflight.headers["access-control-allow-headers"] == "X-B"
    refused = client.options("/", headers={**PREFLIGHT, "Origin": "https://b"})
    assert "access-control-allow-methods" not in refused.headers
    assert client.options("/").headers["allow"] == "GET, HEAD, OPTIONS"


def test_cors_in_a_group(app: Fuego, client: TestClient) -> None:
    api = app.group("/api", middleware=[cors(["https://a"])])
    api.put("/items/{id:int}")(lambda request, id: "")
    app.put("/own")(lambda request: "")
    preflight = client.options("/api/items/7", headers=PREFLIGHT)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://a"
    assert client.options("/api/items/7").headers["allow"] == "OPTIONS, PUT"
    refused = client.get("/api/items/7", headers=PREFLIGHT)
    assert (refused.status, refused.headers["allow"]) == (405, "OPTIONS, PUT")
    assert refused.headers["access-control-allow-origin"] == "https://a"
    for path in ("/own", "/api/none"):
        response = client.options(path, headers=PREFLIGHT)
        assert "access-control-allow-origin" not in response.headers


def test_a_group_sees_every_method_of_its_paths(app: Fuego, client: TestClient) -> None:
    """Where a path has routes of several groups, it is the group of the best route's first."""

    def named(name: str) -> Any:
        def middleware(request: Request) -> Any:
            response = yield
            response.headers.add("x-group", name)

        return middleware

    async def socket(socket: WebSocket) -> None: ...

    outer = app.group(middleware=[named("outer")])
    inner = outer.group("/a", middleware=[named("inner")])
    inner.get("/{name}")(lambda request, name: "")
    inner.websocket("/socket/x")(socket)
    outer.post("/a/{name}")(lambda request, name: "")
    app.put("/a/b")(lambda request: "")

    def groups(method: str, path: str) -> tuple[int, list[str]]:
        response = client.request(method, path)
        return response.status, response.headers.getlist("x-group")

    assert groups("GET", "/a/b") == (200, ["inner", "outer"])
    assert groups("POST", "/a/b") == (200, ["outer"])
    assert groups("DELETE", "/a/c") == (405, ["inner", "outer"])
    assert groups("OPTIONS", "/a/c") == (204, ["inner", "outer"])
    assert groups("DELETE", "/a/b") == (405, [])
    assert groups("GET", "/a/socket/x") == (426, ["inner", "outer"])
    assert groups("GET", "/a/") == (404, [])


def test_cors_for_anybody(app: Fuego, client: TestClient) -> None:
    app.middleware(cors("*"))
    headers = client.get("/", headers={"Origin": "https://b"}).headers
    assert headers["access-control-allow-origin"] == "*"
    assert "origin" not in headers["vary"].lower()
    assert "access-control-allow-origin" not in client.get("/").headers
    with pytest.raises(ValueError, match="name the origins"):
        cors("*", credentials=True)


def test_gzip(app: Fuego, client: TestClient) -> None:
    app.middleware(gzip(minimum=10))
    long = "long enough " * 9
    results: dict[str, Callable[[], Response | str]] = {
        "text": lambda: Response(long, 200, {"Content-Type": "text/plain", "ETag": '"1"'}),
        "weak": lambda: Response(long, 200, {"Content-Type": "image/svg+xml", "ETag": 'W/"1"'}),
        "short": lambda: "short",
        "image": lambda: Response(long, headers={"Content-Type": "image/png"}),
        "encoded": lambda: Response(long, headers={"Content-Encoding": "br"}),
        "stream": lambda: StreamResponse([long], headers={"Content-Type": "text/plain"}),
    }
    app.get("/{kind}")(lambda request, kind: results[kind]())
    accept = {"Accept-Encoding": "br, gzip;q=0.5"}
    response = client.get("/text", headers=accept)
    assert gzip_module.decompress(response.body).decode() == long
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["content-length"] == str(len(response.body))
    assert (response.headers["etag"], response.headers["vary"]) == ('W/"1"', "Accept-Encoding")
    assert client.get("/weak", headers=accept).headers["etag"] == 'W/"1"'
    for kind in ("short", "image", "stream"):
        assert "content-encoding" not in client.get(f"/{kind}", headers=accept).headers
    assert client.get("/encoded", headers=accept).headers["content-encoding"] == "br"
    for value in ("", "gzip;q=0", "br", "gzip;q=x", "gzip;q=7"):
        assert client.get("/text", headers={"Accept-Encoding": value}).text == long


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("example.com", 200),
        ("EXAMPLE.com:8080", 200),
        ("a.b.example.org", 200),
        ("example.org", 400),
        ("evil.com", 400),
        ("example.com.evil.com", 400),
        ("[::1]:80", 200),
        ("", 400),
    ],
)
def test_trusted_hosts(app: Fuego, client: TestClient, host: str, status: int) -> None:
    app.get("/")(lambda request: "")
    app.middleware(trusted_hosts(["example.com", "*.example.org", "[::1]"]))
    assert client.get("/", headers={"Host": host}).status == status


def test_trusted_hosts_without_a_wildcard(app: Fuego, client: TestClient) -> None:
    app.middleware(trusted_hosts(["example.com"]))
    assert client.get("/").status == 400


def test_security_headers(app: Fuego, client: TestClient) -> None:
    app.get("/")(lambda request: Response("", headers={"X-Frame-Options": "SAMEORIGIN"}))
    app.middleware(security_headers(hsts=60))
    headers = client.get("/").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert "strict-transport-security" not in headers
    secure = TestClient(app, client.protocol, scheme="https").get("/").headers
    assert secure["strict-transport-security"] == "max-age=60"


class Forbidden(HTMLParser):
    """What a browser does not take from a page under `default-src 'self'`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "style" or (tag == "script" and "src" not in given):
            self.found.append(tag)
        self.found += [name for name in given if name == "style" or name.startswith("on")]
        addresses = [given.get(name) or "" for name in ("src", "href")]
        self.found += [address for address in addresses if ":" in address or "//" in address]


def forbidden(page: str) -> list[str]:
    parser = Forbidden()
    parser.feed(page)
    return parser.found


def test_our_own_pages_keep_to_the_policy(app: Fuego, client: TestClient) -> None:
    app.middleware(security_headers())
    app.get("/broken")(lambda request: [][1])
    for debug in (False, True):
        app._core.debug = debug
        for path in ("/none", "/broken"):
            response = client.get(path, headers={"Accept": "text/html"})
            assert "unsafe" not in response.headers["content-security-policy"]
            assert "<h1>" in response.text
            assert forbidden(response.text) == []
    assert forbidden("<style></style><p style='' onclick=''><script></script>") == [
        *("style", "style", "onclick", "script")
    ]
    assert forbidden("<img src='data:x'><a href='//x'><script src='/x'></script>") == [
        *("data:x", "//x")
    ]


def test_a_level_may_be_an_iterator_of_its_own(app: Fuego, client: TestClient) -> None:
    """A stream passes the levels, and they see it before it begins."""
    begun = []

    def chunks() -> Iterator[str]:
        begun.append(True)
        yield "a"
        yield "b"

    @app.get("/")
    def handler(request: Request) -> Response:
        return StreamResponse(chunks())

    @app.middleware
    def middleware(request: Request) -> Any:
        response = yield
        response.headers["x-begun"] = str(len(begun))

    response = client.get("/")
    assert (response.headers["x-begun"], response.chunks) == ("0", [b"a", b"b"])
