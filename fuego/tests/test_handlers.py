"""What handlers take and return."""

import asyncio
import threading
from typing import Any

import pytest

from fuego import (
    Fuego,
    HTMLResponse,
    HTTPError,
    JSONResponse,
    Request,
    Response,
    TextResponse,
    __version__,
)
from fuego.testing import TestClient


@pytest.mark.parametrize(
    ("result", "status", "content_type", "body"),
    [
        ({"a": 1}, 200, "application/json", b'{"a":1}'),
        ([1, "\ud800"], 200, "application/json", b'[1,"\\ud800"]'),
        ("<p>é", 200, "text/html; charset=utf-8", "<p>é".encode()),
        ("\ud800", 200, "text/html; charset=utf-8", b"?"),
        (b"\x00", 200, "application/octet-stream", b"\x00"),
        (None, 204, None, b""),
        (TextResponse("hi", 201), 201, "text/plain; charset=utf-8", b"hi"),
        (HTMLResponse("<p>"), 200, "text/html; charset=utf-8", b"<p>"),
        (JSONResponse("x", 599), 599, "application/json", b'"x"'),
        (Response("x", headers={"Content-Type": "text/x"}), 200, "text/x", b"x"),
        (Response(status=304, headers=[("ETag", '"1"')]), 304, None, b""),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_results(
    app: Fuego,
    client: TestClient,
    kind: str,
    result: object,
    status: int,
    content_type: str | None,
    body: bytes,
) -> None:
    def sync_handler(request: Request) -> Any:
        return result

    async def async_handler(request: Request) -> Any:
        await asyncio.sleep(0)
        return result

    app.get("/")(sync_handler if kind == "sync" else async_handler)
    response = client.get("/")
    assert (response.status, response.headers.get("Content-Type")) == (status, content_type)
    assert response.body == body
    length = None if status in (204, 304) else str(len(body))
    assert response.headers.get("content-length") == length


def test_repeated_response_headers(app: Fuego, client: TestClient) -> None:
    @app.get("/")
    def handler(request: Request) -> Response:
        return Response(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])

    assert client.get("/").headers.getlist("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Response(headers={"X": "a\r\nSet-Cookie: b"}), "header X"),
        (lambda: Response(headers={"X": "→"}), "header X"),
        (lambda: Response(headers={"X Y": "a"}), "'X Y' is not a header name"),
        (lambda: Response(headers={"Content-Length": "3"}), "follows from the body"),
        (lambda: Response(status=100), "100 is not the status"),
        (lambda: JSONResponse(float("nan")), "not JSON compliant"),
    ],
)
def test_responses_that_cannot_be_sent(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_async_handlers_share_one_loop(app: Fuego, client: TestClient) -> None:
    """What they keep (connections, locks) must work in the next request too."""
    seen: list[tuple[asyncio.AbstractEventLoop, threading.Thread]] = []

    @app.get("/")
    async def handler(request: Request) -> None:
        seen.append((asyncio.get_running_loop(), threading.current_thread()))

    client.get("/")
    client.get("/")
    if client.protocol == "wsgi":
        assert seen[0] == seen[1]
        assert seen[0][1].name == "fuego-loop"


def test_sync_handlers_leave_the_loop_free(app: Fuego) -> None:
    entered, go = threading.Event(), threading.Event()

    @app.get("/slow")
    def slow(request: Request) -> str:
        entered.set()
        return "ok" if go.wait(5) else "blocked"

    @app.get("/go")
    async def free(request: Request) -> None:
        await asyncio.to_thread(entered.wait, 5)
        go.set()

    sent: list[Any] = []

    async def main() -> None:
        async def one(path: str) -> None:
            async def receive() -> dict[str, Any]:
                return {"type": "http.request"}

            async def send(message: Any) -> None:
                sent.append(message.get("body"))

            scope = {"type": "http", "method": "GET", "path": path, "headers": []}
            await app.asgi(scope, receive, send)

        await asyncio.gather(one("/slow"), one("/go"))

    asyncio.run(main())
    assert b"ok" in sent


def test_http_error(app: Fuego, client: TestClient) -> None:
    @app.get("/{code:int}")
    def handler(request: Request, code: int) -> None:
        raise HTTPError(code, headers={"Retry-After": "3"})

    @app.get("/detail")
    async def detail(request: Request) -> None:
        raise HTTPError(403, "members only")

    response = client.get("/503")
    assert response.json() == {"status": 503, "error": "Service Unavailable"}
    assert response.headers["retry-after"] == "3"
    assert client.get("/detail").json()["error"] == "members only"
    assert client.get("/499").json()["error"] == "Unknown"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("secret"),
        StopIteration("secret"),
        HTTPError(999, "secret"),
        HTTPError(400, "secret", {"X": "a\nb"}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_500_tells_the_log_everything_and_the_client_nothing(
    app: Fuego,
    client: TestClient,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    kind: str,
) -> None:
    def sync_handler(request: Request) -> None:
        raise error

    async def async_handler(request: Request) -> None:
        raise error

    app.get("/")(sync_handler if kind == "sync" else async_handler)
    response = client.get("/", headers={"X-Request-ID": "id-1"})
    assert response.json() == {"status": 500, "error": "Internal Server Error"}
    assert "request id-1: GET '/' failed" in caplog.text
    assert "Traceback" in caplog.text
    assert "secret" in caplog.text


def test_a_wrong_result_is_named_in_the_log(
    app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/")
    def handler(request: Request) -> Any:
        return 7

    assert client.get("/").status == 500
    assert "a handler returned int; return a Response" in caplog.text


def test_observers_see_every_request(
    app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    @app.get("/")
    def handler(request: Request) -> str:
        return ""

    @app.observe
    def broken(request: Request, response: Response, seconds: float) -> None:
        raise RuntimeError("the observer's own fault")

    @app.observe
    def observer(request: Request, response: Response, seconds: float) -> None:
        seen.append((request.id, request.path, response.status, 0 <= seconds < 5))

    assert client.get("/", headers={"X-Request-ID": "a"}).status == 200
    assert client.get("/none", headers={"X-Request-ID": "b"}).status == 404
    assert seen == [("a", "/", 200, True), ("b", "/none", 404, True)]
    assert "the observer's own fault" in caplog.text


def test_version() -> None:
    import tomllib
    from pathlib import Path

    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
    assert project["project"]["version"] == __version__
