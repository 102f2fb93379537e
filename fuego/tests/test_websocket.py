import asyncio
import logging
from typing import Any

import pytest

from fuego import Fuego, HTTPError, Request, WebSocket, WebSocketClosedError
from fuego.middleware import trusted_hosts
from fuego.testing import ClosedSocketError, RefusedSocketError, TestClient


@pytest.fixture
def client(app: Fuego) -> TestClient:
    return TestClient(app, "asgi")


def test_messages_of_each_kind(app: Fuego, client: TestClient) -> None:
    @app.websocket("/ws/{name}")
    async def handler(socket: WebSocket, name: str) -> None:
        await socket.accept(socket.subprotocols[0], headers=[("X-A", "b")])
        await socket.send(f"{name} {socket.query['q']} {socket.headers['x-h']}")
        await socket.send(await socket.receive_text())
        await socket.send(await socket.receive_bytes())
        await socket.send_json(await socket.receive_json())
        async for message in socket:
            await socket.send(message)
        assert socket.phase == "closed"

    with client.websocket("/ws/n?q=1", headers={"X-H": "h"}, subprotocols=["p"]) as socket:
        assert socket.subprotocol == "p"
        assert socket.receive() == "n 1 h"
        socket.send("text")
        assert socket.receive() == "text"
        socket.send(b"bytes")
        assert socket.receive() == b"bytes"
        socket.send_json({"a": 1})
        assert socket.receive_json() == {"a": 1}
        socket.send("é")
        assert socket.receive() == "é"


def test_plain_http_is_told_to_upgrade(app: Fuego) -> None:
    async def handler(socket: WebSocket) -> None: ...

    app.websocket("/ws")(handler)
    app.websocket("/both")(handler)
    app.post("/both")(lambda request: "posted")
    for client in (TestClient(app, "wsgi"), TestClient(app, "asgi")):
        response = client.get("/ws")
        assert (response.status, response.headers["upgrade"]) == (426, "websocket")
        assert client.post("/both").text == "posted"
        assert client.get("/both").headers["allow"] == "OPTIONS, POST"
        assert client.request("WEBSOCKET", "/ws").status == 426


def test_what_cannot_be_a_websocket(app: Fuego) -> None:
    with pytest.raises(ValueError, match="must be async"):
        app.websocket("/ws")(lambda socket: None)  # type: ignore[type-var]

    async def handler(socket: WebSocket, id: int) -> None: ...

    with pytest.raises(ValueError, match="missing a required argument: 'id'"):
        app.websocket("/ws")(handler)


@pytest.mark.parametrize(
    ("action", "status"),
    [
        (lambda socket: socket.close(), 403),
        (lambda socket: asyncio.sleep(0), 403),
        (lambda socket: refuse(401), 401),
        (lambda socket: refuse(302), 403),
        (lambda socket: socket.send("early"), 500),
        (lambda socket: socket.receive(), 500),
        (lambda socket: socket.accept("unknown"), 500),
    ],
)
def test_refusals(
    app: Fuego, client: TestClient, action: Any, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    @app.websocket("/ws")
    async def handler(socket: WebSocket) -> None:
        await action(socket)

    with pytest.raises(RefusedSocketError) as refused, client.websocket("/ws"):
        pass
    assert refused.value.status == status
    with pytest.raises(RefusedSocketError, match="404"), client.websocket("/none"):
        pass


async def refuse(status: int) -> None:
    raise HTTPError(status)


def test_middleware_guards_the_handshake(app: Fuego, client: TestClient) -> None:
    @app.websocket("/ws")
    async def handler(socket: WebSocket) -> None:
        await socket.accept()

    app.middleware(trusted_hosts(["example.com"]))
    with pytest.raises(RefusedSocketError, match="400"), client.websocket("/ws"):
        pass
    secure = TestClient(app, "asgi", scheme="https")
    opened = secure.websocket("/ws", headers=[("Host", "example.com")])
    with opened as socket, pytest.raises(ClosedSocketError, match="1000"):
        socket.receive()


@pytest.mark.parametrize(
    ("action", "sent", "code"),
    [
        (lambda socket: socket.close(4000, "bye"), None, 4000),
        (lambda socket: socket.receive_text(), b"bytes", 1003),
        (lambda socket: socket.receive_bytes(), "text", 1003),
        (lambda socket: socket.receive_json(), "{", 1007),
        (lambda socket: socket.receive_json(), b"\xff", 1007),
        (lambda socket: socket.accept(), None, 1011),
        (lambda socket: socket.close(1005), None, 1011),
        (lambda socket: fail(), None, 1011),
        (lambda socket: twice(socket), None, 1000),
    ],
)
def test_close_codes(
    app: Fuego,
    client: TestClient,
    action: Any,
    sent: str | bytes | None,
    code: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @app.websocket("/ws")
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await action(socket)

    with client.websocket("/ws") as socket:
        if sent is not None:
            socket.send(sent)
        with pytest.raises(ClosedSocketError) as closed:
            socket.receive()
    assert closed.value.code == code
    assert (code == 1011) == ("Traceback" in caplog.text)


async def fail() -> None:
    raise RuntimeError("broken")


async def twice(socket: WebSocket) -> None:
    await socket.close()
    await socket.close()
    await socket.send("too late")


def test_the_words_of_the_other_side(app: Fuego, client: TestClient) -> None:
    seen: list[Any] = []

    @app.websocket("/ws")
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        socket.background(seen.append, "after")
        try:
            await socket.receive()
        except WebSocketClosedError as closed:
            seen.extend([closed.code, closed.reason, str(closed)])
            raise

    with client, client.websocket("/ws") as socket:
        socket.close(4001, "enough")
    assert seen[:3] == [4001, "enough", "4001 enough"]
    assert seen[3:] == ["after"]


def serve(app: Fuego, *incoming: Any, fail_on: str = "", **scope: Any) -> list[Any]:
    messages, sent = list(incoming), []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == fail_on:
            raise OSError("gone")
        sent.append(message)

    full = {"type": "websocket", "path": "/ws", "headers": [], **scope}
    asyncio.run(app.asgi(full, receive, send))
    return [message["type"] for message in sent]


def test_odd_servers_and_clients(app: Fuego, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)

    @app.websocket("/ws")
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send("a")
        assert await socket.receive() == b""
        await socket.receive()

    connect: dict[str, Any] = {"type": "websocket.connect"}
    gone: dict[str, Any] = {"type": "websocket.disconnect"}
    assert serve(app, connect, path="/none") == ["websocket.close"]
    assert serve(app, gone) == []
    assert serve(app, gone, path="/none") == []
    assert serve(app, connect, fail_on="websocket.send") == ["websocket.accept"]
    assert serve(app, connect, {"type": "websocket.receive"}, gone) == [
        "websocket.accept",
        "websocket.send",
    ]
    assert caplog.text == ""


def test_refused_without_a_response(app: Fuego) -> None:
    client = TestClient(app, "asgi")

    @app.websocket("/ws")
    async def handler(socket: WebSocket) -> None:
        await socket.close()

    socket = client.websocket("/ws")
    with pytest.raises(RefusedSocketError) as refused, socket:
        pass
    assert (refused.value.status, refused.value.body) == (403, b"")


def test_the_request_of_a_handshake_is_one(app: Fuego) -> None:
    assert issubclass(WebSocket, Request)
