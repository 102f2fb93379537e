"""WebSockets, on ASGI."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any, Literal

from .asgi import ASGIRequest, Message, Receive, Scope, Send, encoded
from .core import Core
from .errors import ClientDisconnectedError
from .headers import Pair, checked
from .modes import ON_LOOP
from .response import encode_json
from .routing import WEBSOCKET


class WebSocketClosedError(Exception):
    """The other side closed: `code` and `reason` are its words. A handler need not catch it."""

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}".strip())


class WebSocket(ASGIRequest):
    """Has all of the handshake's request (headers, query, cookies, client …) besides.

    `accept` comes first; before it, an HTTPError is the answer to the handshake. A handler that
    returns closes with 1000, one that fails with 1011.
    """

    phase: Literal["connecting", "open", "closed"] = "connecting"
    connected = False

    def __init__(self, scope: Scope, receive: Receive, send: Send, core: Core) -> None:
        super().__init__(scope, receive, core)
        self.method = WEBSOCKET
        self.send_message = send

    def expects_body(self) -> bool:
        return False

    @property
    def subprotocols(self) -> list[str]:
        """Those the client offers, in its order."""
        return list(self.scope.get("subprotocols", ()))

    async def accept(self, subprotocol: str | None = None, headers: Iterable[Pair] = ()) -> None:
        if self.phase != "connecting":
            raise RuntimeError("the WebSocket was accepted or closed before")
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ValueError(f"the client does not offer {subprotocol!r}: {self.subprotocols}")
        await self._connect()
        pairs = [checked(name, value) for name, value in headers]
        accepted = {"type": "websocket.accept", "subprotocol": subprotocol}
        await self._send({**accepted, "headers": encoded(pairs)})
        self.phase = "open"

    async def receive(self) -> str | bytes:
        """The next message, as text or bytes. Raises WebSocketClosedError at the end."""
        self._require_open()
        message = await self.receive_message()
        if message["type"] == "websocket.disconnect":
            self.phase = "closed"
            raise WebSocketClosedError(message.get("code") or 1005, message.get("reason") or "")
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes")
        return text if text is not None else data or b""

    async def receive_text(self) -> str:
        message = await self.receive()
        return message if isinstance(message, str) else await self._refuse(1003, "text")

    async def receive_bytes(self) -> bytes:
        message = await self.receive()
        return message if isinstance(message, bytes) else await self._refuse(1003, "bytes")

    async def receive_json(self) -> Any:
        """Anything else closes the WebSocket with 1007."""
        try:
            return json.loads(await self.receive())
        except (ValueError, RecursionError):
            return await self._refuse(1007, "JSON")

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Messages until the other side closes."""
        with suppress(WebSocketClosedError):
            while True:
                yield await self.receive()

    async def send(self, message: str | bytes) -> None:
        self._require_open()
        kind = "text" if isinstance(message, str) else "bytes"
        await self._send({"type": "websocket.send", kind: message})

    async def send_json(self, value: object) -> None:
        await self.send(encode_json(value))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Before `accept` it refuses the handshake, with 403."""
        if self.phase == "closed":
            return
        if not (code in (1000, *range(1001, 1004), *range(1007, 1015)) or 3000 <= code <= 4999):
            raise ValueError(f"{code} is not a close code that may be sent")
        await self._connect()
        self.phase = "closed"
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def _send(self, message: Message) -> None:
        try:
            await self.send_message(message)
        except OSError:
            self.phase = "closed"
            raise WebSocketClosedError(1006) from None

    async def _connect(self) -> None:
        if not self.connected:
            self.connected = True
            if (await self.receive_message())["type"] != "websocket.connect":
                self.phase = "closed"
                raise WebSocketClosedError(1006)

    def _require_open(self) -> None:
        if self.phase == "connecting":
            raise RuntimeError("await accept() first")
        if self.phase == "closed":
            raise WebSocketClosedError(1005)

    async def _refuse(self, code: int, wanted: str) -> Any:
        await self.close(code, f"expected {wanted}")
        raise WebSocketClosedError(code)


async def serve(core: Core, scope: Scope, receive: Receive, send: Send) -> None:
    """The handshake passes the same middleware as any request; a response that comes before
    `accept` refuses it."""
    socket = WebSocket(scope, receive, send, core)
    try:
        response = await core.respond(socket, ON_LOOP)
        if socket.phase == "open":
            await socket.close(1011 if response.status >= 500 else 1000)
        elif socket.phase == "connecting":
            await socket._connect()
            status = response.status if response.status >= 400 else 403
            if "websocket.http.response" not in scope.get("extensions", {}):
                await socket.close()
                return
            kind = "websocket.http.response"
            headers = encoded(response.wire_headers())
            await send({"type": f"{kind}.start", "status": status, "headers": headers})
            await send({"type": f"{kind}.body", "body": response.body})
    except (WebSocketClosedError, ClientDisconnectedError):
        return
    finally:
        if socket.tasks:
            await core.lifecycle.spawn(socket)
