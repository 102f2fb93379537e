"""The ASGI side (specification 3.0: http and lifespan)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .core import Core
from .errors import ClientDisconnectedError
from .headers import Headers
from .request import Request
from .response import Response, as_response
from .routing import Handler

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class ASGIRequest(Request):
    __slots__ = ("scope",)

    protocol = "asgi"

    def __init__(self, scope: Scope, core: Core) -> None:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
        super().__init__(scope["method"], path or "/", core.trusted)
        self.scope = scope

    def _read_headers(self) -> Headers:
        return Headers(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self.scope["headers"]
        )

    def _query_string(self) -> str:
        query: bytes = self.scope.get("query_string", b"")
        return query.decode(errors="replace")

    def _peer(self) -> str | None:
        client = self.scope.get("client")
        return client[0] or None if client else None

    def _server_scheme(self) -> str:
        scheme: str = self.scope.get("scheme", "http")
        return scheme


def adapt(core: Core) -> ASGIApp:
    async def respond(request: ASGIRequest, receive: Receive) -> Response:
        try:
            match = core.find(request)
            request.body = await read_body(core, request, receive)
            endpoint = match.endpoint
            if endpoint.is_async:
                result = await endpoint.handler(request, **match.params)
            else:
                result = await asyncio.to_thread(call, endpoint.handler, request, match.params)
            return as_response(result)
        except ClientDisconnectedError:
            raise
        except Exception as error:
            return core.answer_for(request, error)

    async def http(scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter() if core.observers else 0.0
        request = ASGIRequest(scope, core)
        try:
            response = await respond(request, receive)
        except ClientDisconnectedError:
            return
        if core.observers:
            core.observe(request, response, started)
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [
                    (name.encode("latin-1"), value.encode("latin-1"))
                    for name, value in response.wire_headers()
                ],
            }
        )
        body = b"" if request.method == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})

    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            raise ValueError(f"ASGI scope {scope['type']!r} is not one of http, lifespan")

    return asgi


async def lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def read_body(core: Core, request: ASGIRequest, receive: Receive) -> bytes:
    core.body_length(request.headers)  # refuses what is too large before it is read
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > core.max_body:
            raise core.too_large()
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def call(handler: Handler, request: Request, params: dict[str, object]) -> object:
    """A StopIteration cannot leave a thread through a future: its awaiter would wait for ever."""
    try:
        return handler(request, **params)
    except StopIteration as error:
        raise RuntimeError("the handler raised StopIteration") from error
