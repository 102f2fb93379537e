"""What belongs to one protocol alone."""

import asyncio
import inspect
import io
import os
from typing import Any

import pytest

from fuego import Fuego, Request
from fuego.loop import LoopThread
from fuego.testing import assemble
from fuego.wsgi import Environ


def call_wsgi(app: Fuego, **changes: Any) -> tuple[str, bytes]:
    environ: Environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(b"abc"),
        **changes,
    }
    statuses = []

    def start_response(status: str, headers: object, exc_info: object = None, /) -> None:
        statuses.append(status)

    body = b"".join(app.wsgi(environ, start_response))
    return statuses[0], body


class Broken(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError("chunk without an end")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"CONTENT_LENGTH": "3"}, "200 OK"),
        ({"CONTENT_LENGTH": ""}, "200 OK"),
        ({"PATH_INFO": ""}, "200 OK"),
        ({"CONTENT_LENGTH": "4"}, "400 Bad Request"),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, "411 Length Required"),
        ({"CONTENT_LENGTH": "3", "wsgi.input": Broken()}, "400 Bad Request"),
    ],
)
def test_wsgi_bodies(app: Fuego, changes: dict[str, Any], status: str) -> None:
    app.post("/")(lambda request: request.body)
    assert call_wsgi(app, **changes)[0] == status


def test_a_header_with_underscores_is_not_the_length(app: Fuego) -> None:
    app.post("/")(lambda request: request.headers.get("content-length", "none"))
    assert call_wsgi(app, HTTP_CONTENT_LENGTH="9")[1] == b"none"


def test_servers_can_tell_the_two_apart(app: Fuego) -> None:
    assert inspect.iscoroutinefunction(app.asgi)
    assert not inspect.iscoroutinefunction(app.wsgi)
    assert list(inspect.signature(app.wsgi).parameters) == ["environ", "start_response"]
    assert list(inspect.signature(app.asgi).parameters) == ["scope", "receive", "send"]


def call_asgi(app: Fuego, scope: dict[str, Any], *incoming: dict[str, Any]) -> list[Any]:
    messages, sent = list(incoming), []

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def serve() -> None:
        await app.asgi(scope, receive, send)

    asyncio.run(serve())
    return sent


def test_a_get_may_have_a_body(app: Fuego) -> None:
    app.get("/")(lambda request: request.body)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"content-length", b"1")]}
    assert call_asgi(app, scope, {"type": "http.request", "body": b"a"})[1]["body"] == b"a"


def test_lifespan(app: Fuego) -> None:
    sent = call_asgi(
        app, {"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
    )
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


def test_an_unknown_scope_is_refused(app: Fuego) -> None:
    with pytest.raises(ValueError, match="'dream'"):
        call_asgi(app, {"type": "dream"})


@pytest.mark.parametrize(
    ("root", "path", "status"),
    [("/api", "/api/x", 200), ("/api", "/apix", 404), ("", "/x", 200), ("/api", "/x", 200)],
)
def test_root_path(app: Fuego, root: str, path: str, status: int) -> None:
    app.get("/x")(lambda request: request.root_path)
    scope = {"type": "http", "method": "GET", "path": path, "root_path": root, "headers": []}
    start, body = call_asgi(app, scope, {"type": "http.request"})
    assert start["status"] == status
    assert status == 404 or body["body"] == root.encode()


@pytest.mark.parametrize("place", ["app", "group", "middleware"])
def test_nobody_is_answered_who_left(app: Fuego, place: str) -> None:
    called: list[Request] = []

    def middleware(request: Request) -> Any:
        yield

    if place == "group":
        app.group(middleware=[middleware]).post("/")(called.append)
    else:
        app.post("/")(called.append)
    if place == "middleware":
        app.middleware(middleware)
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    sent = call_asgi(
        app,
        scope,
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.disconnect"},
    )
    assert sent == called == []


def test_a_handler_cannot_end_the_loop(app: Fuego, caplog: pytest.LogCaptureFixture) -> None:
    @app.post("/")
    async def end(request: Request) -> None:
        raise SystemExit(3)

    @app.get("/")
    async def fine(request: Request) -> str:
        return "fine"

    assert call_wsgi(app)[0] == "500 Internal Server Error"
    assert "an async handler raised SystemExit(3)" in caplog.text
    assert call_wsgi(app, REQUEST_METHOD="GET") == ("200 OK", b"fine")


def test_the_loop_starts_anew_in_a_forked_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    thread = LoopThread()
    first = thread.run(loop())
    assert thread.run(loop()) is first
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert thread.run(loop()) is not first


def test_context_variables_reach_async_handlers(app: Fuego) -> None:
    from contextvars import ContextVar

    variable = ContextVar("variable", default="unset")

    @app.post("/")
    async def handler(request: Request) -> str:
        return variable.get()

    variable.set("set")
    assert call_wsgi(app)[1] == b"set"


START = {"type": "http.response.start", "status": 200, "headers": []}
BODY = {"type": "http.response.body", "body": b""}


@pytest.mark.parametrize(
    "messages",
    [
        [START],
        [BODY, START],
        [START, START],
        [{**START, "headers": [("a", "b")]}, BODY],
        [{**START, "headers": [(b"A", b"b")]}, BODY],
        [START, {**BODY, "body": "text"}],
        [START, {**BODY, "more_body": True}],
        [START, BODY, BODY],
    ],
)
def test_the_test_client_refuses_what_asgi_does_not_allow(messages: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"not a|no end"):
        assemble(messages)
