"""Streams and server-sent events."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fuego import Event, EventStream, Fuego, Request, StreamResponse
from fuego.testing import TestClient

closed: list[str] = []


@pytest.fixture(autouse=True)
def _clear() -> None:
    closed.clear()


def numbers(count: int) -> Iterator[str | bytes]:
    try:
        for number in range(count):
            yield f"{number}" if number % 2 else b"%d" % number
    finally:
        closed.append("sync")


async def async_numbers(count: int) -> AsyncIterator[str | bytes]:
    try:
        for number in numbers(count):
            await asyncio.sleep(0)
            yield number
    finally:
        closed.append("async")


class Counting:
    """An async iterable that is no generator: nothing to close."""

    def __init__(self) -> None:
        self.left = 3

    def __aiter__(self) -> "Counting":
        return self

    async def __anext__(self) -> str:
        self.left -= 1
        if self.left < 0:
            raise StopAsyncIteration
        return "x"


@pytest.fixture
def app() -> Fuego:
    app = Fuego()
    app.get("/sync/{n:int}")(lambda request, n: StreamResponse(numbers(n)))
    app.get("/list")(lambda request: StreamResponse(["a", b"", "b"]))
    app.get("/counting")(lambda request: StreamResponse(Counting()))

    @app.get("/async/{n:int}")
    async def async_stream(request: Request, n: int) -> StreamResponse:
        return StreamResponse(async_numbers(n))

    return app


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_streams(client: TestClient, kind: str) -> None:
    response = client.get(f"/{kind}/5")
    assert (response.chunks, "content-length" in response.headers) == (
        [b"0", b"1", b"2", b"3", b"4"],
        False,
    )
    assert kind in closed
    assert client.head(f"/{kind}/5").body == b""


def test_streams_of_any_iterable(client: TestClient) -> None:
    assert client.get("/list").body == b"ab"
    assert client.get("/counting").body == b"xxx"
    assert client.head("/counting").body == b""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_client_that_leaves_ends_the_stream(client: TestClient, kind: str) -> None:
    response = client.get(f"/{kind}/1000000000", chunks=3)
    assert len(response.chunks) >= 3
    assert kind in closed


def test_a_stream_that_fails_is_logged_and_ends_the_connection(
    app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    def chunks() -> Iterator[str]:
        yield "a"
        raise RuntimeError("midway")

    app.get("/broken")(lambda request: StreamResponse(chunks()))
    with pytest.raises(RuntimeError, match="midway"):
        client.get("/broken", headers={"X-Request-ID": "id-1"})
    assert "request id-1: GET '/broken' failed" in caplog.text


def test_a_connection_that_is_gone_is_no_error(
    app: Fuego, caplog: pytest.LogCaptureFixture
) -> None:
    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("gone")

    async def receive() -> Any:
        await asyncio.sleep(60)

    scope = {"type": "http", "method": "GET", "path": "/sync/9", "headers": []}
    asyncio.run(app.asgi(scope, receive, send))
    assert caplog.text == ""
    assert closed == ["sync"]


def test_the_body_may_be_read_while_the_response_streams(app: Fuego, client: TestClient) -> None:
    @app.post("/echo", stream=True)
    async def echo(request: Request) -> StreamResponse:
        return StreamResponse(request.stream())

    assert client.post("/echo", body=b"abcd").body == b"abcd"


def test_events(app: Fuego, client: TestClient) -> None:
    def events() -> Iterator[Event | str | dict[str, Any]]:
        yield "a\r\nb"
        yield {"n": 1}
        yield Event("c", event="news", id="7", retry=5)

    app.get("/events")(lambda request: EventStream(events(), retry=1000))
    response = client.get("/events")
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    assert response.text == (
        "retry: 1000\n\n"
        "data: a\ndata: b\n\n"
        'data: {"n":1}\n\n'
        "event: news\nid: 7\nretry: 5\ndata: c\n\n"
    )
    assert (
        EventStream([], headers={"Cache-Control": "private"}).headers["cache-control"] == "private"
    )


@pytest.mark.parametrize("event", [Event(id="a\nb"), Event(event="a\rb"), Event(id="\0")])
def test_events_of_one_line(event: Event) -> None:
    with pytest.raises(ValueError, match="is one line"):
        event.encode()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_keep_alive(app: Fuego, client: TestClient, kind: str) -> None:
    def slow() -> Iterator[str]:
        try:
            yield "first"
            time.sleep(0.3)
            yield "last"
        finally:
            closed.append("slow")

    async def async_slow() -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.sleep(0.3)
            yield "last"
        finally:
            closed.append("slow")

    source = slow if kind == "sync" else async_slow
    app.get("/events")(lambda request: EventStream(source(), keep_alive=0.05))
    text = client.get("/events").text
    assert text.startswith("data: first\n\n: keep-alive\n\n")
    assert text.endswith("data: last\n\n")
    # One who leaves while nothing happens is noticed, and the source closed.
    assert len(client.get("/events", chunks=2).chunks) >= 2
    assert closed == ["slow", "slow"]


def test_events_end_with_the_server(app: Fuego, client: TestClient) -> None:
    async def events() -> AsyncIterator[str]:
        try:
            yield "first"
            app._core.lifecycle.begin_stop()
            app._core.lifecycle.begin_stop()
            await asyncio.sleep(60)
        finally:
            closed.append("events")

    app.get("/events")(lambda request: EventStream(events()))
    assert client.get("/events").text == "data: first\n\n"
    assert closed == ["events"]
    assert client.get("/events").text == ""
