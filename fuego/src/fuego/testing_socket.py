"""The test client's end of a WebSocket."""

import asyncio
import json
from concurrent.futures import Future
from typing import Any

from .asgi import ASGIApp, Message, Scope
from .loop import SHARED
from .websocket import WebSocketClosedError


class RefusedSocketError(Exception):
    """The handshake was answered with `status` instead of being accepted."""

    def __init__(self, status: int, body: bytes = b"") -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status} {body!r}")


class ClosedSocketError(WebSocketClosedError):
    """The app closed, with `code` and `reason`."""


class TestSocket:
    """Messages in the order the app sent them; waits at most `timeout` seconds for one."""

    __test__ = False

    def __init__(self, app: ASGIApp, scope: Scope, timeout: float = 5.0) -> None:
        self._app = app
        self._scope = scope
        self._timeout = timeout
        self._incoming: asyncio.Queue[Message] = asyncio.Queue()
        self._outgoing: asyncio.Queue[Message] = asyncio.Queue()
        self._served: Future[None]
        self.subprotocol: str | None = None

    def __enter__(self) -> "TestSocket":
        self._put({"type": "websocket.connect"})
        serving = self._app(self._scope, self._incoming.get, self._outgoing.put)
        self._served = asyncio.run_coroutine_threadsafe(serving, SHARED.loop())
        message = self._take()
        if message["type"] == "websocket.accept":
            self.subprotocol = message.get("subprotocol")
            return self
        self._served.result(self._timeout)
        if message["type"] == "websocket.http.response.start":
            raise RefusedSocketError(message["status"], self._take()["body"])
        raise RefusedSocketError(403)

    def __exit__(self, *_: object) -> None:
        self.close()
        self._served.result(self._timeout)

    def send(self, message: str | bytes) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        self._put({"type": "websocket.receive", kind: message})

    def send_json(self, value: object) -> None:
        self.send(json.dumps(value))

    def receive(self) -> str | bytes:
        """Raises ClosedSocketError where the app closed."""
        message = self._take()
        if message["type"] == "websocket.close":
            raise ClosedSocketError(message["code"], message["reason"])
        found: str | bytes = message["text"] if "text" in message else message["bytes"]
        return found

    def receive_json(self) -> Any:
        return json.loads(self.receive())

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._put({"type": "websocket.disconnect", "code": code, "reason": reason})

    def _put(self, message: Message) -> None:
        SHARED.run(self._incoming.put(message))

    def _take(self) -> Message:
        return SHARED.run(asyncio.wait_for(self._outgoing.get(), self._timeout))
