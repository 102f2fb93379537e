"""The ASGI side (specification 3.0: http, websocket and lifespan)."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, MutableMapping
from contextlib import aclosing
from typing import Any

from .body import Collector, Content, announced_length, too_large
from .core import Core
from .errors import ClientDisconnectedError
from .headers import Pair
from .modes import ON_LOOP
from .request import Request
from .response import HTMLResponse, JSONResponse, Response, TextResponse
from .stream import StreamResponse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})  # unless a header says otherwise

# The fields most responses have, encoded once.
_ENCODED = {
    ("content-type", kind.content_type): (b"content-type", kind.content_type.encode())
    for kind in (Response, TextResponse, HTMLResponse, JSONResponse)
}


class ASGIRequest(Request):
    protocol = "asgi"
    reads_async = True
    body_ended = False

    def __init__(self, scope: Scope, receive: Receive, core: Core) -> None:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
        self.method: str = scope.get("method", "")
        self.path = path or "/"
        self.scope = scope
        self.receive_message = receive
        self.core = core

    def _read_headers(self) -> list[Pair]:
        return [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self.scope["headers"]
        ]

    @property
    def query_string(self) -> str:
        query: bytes = self.scope.get("query_string", b"")
        return query.decode(errors="replace")

    @property
    def raw_path(self) -> str:
        from urllib.parse import quote

        raw: bytes | None = self.scope.get("raw_path")
        if raw:
            return raw.decode("latin-1").partition("?")[0]
        return quote(self.scope["path"])

    @property
    def root_path(self) -> str:
        """Where a server or an app mounted this one."""
        return str(self.scope.get("root_path", ""))

    def _peer(self) -> str | None:
        client = self.scope.get("client")
        return client[0] or None if client else None

    def _server_scheme(self) -> str:
        return str(self.scope.get("scheme", "http"))

    def expects_body(self) -> bool:
        headers = self.scope["headers"]
        if len(headers) > self.core.max_headers:
            _ = self.headers  # which refuses them
        if self.method not in BODILESS:
            return True
        for name, _ in headers:  # noqa: SIM110 - any() takes three times as long
            if name == b"content-length" or name == b"transfer-encoding":
                return True
        return False

    async def read(self, limit: int) -> Content:
        collector = Collector()
        try:
            async for chunk in self._chunks(limit):
                collector.add(chunk)
        except BaseException:
            collector.discard()
            raise
        return collector.content()

    async def _chunks(self, limit: int) -> AsyncIterator[bytes]:
        announced_length(self.headers, limit)  # refuses what is too large before it is read
        size = 0
        while not self.body_ended:
            message = await self.receive_message()
            if message["type"] == "http.disconnect":
                raise ClientDisconnectedError
            chunk: bytes = message.get("body", b"")
            self.body_ended = not message.get("more_body", False)
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            if chunk:
                yield chunk


def encoded(pairs: list[Pair]) -> list[tuple[bytes, bytes]]:
    return [
        _ENCODED.get(pair) or (pair[0].encode("latin-1"), pair[1].encode("latin-1"))
        for pair in pairs
    ]


def adapt(core: Core) -> ASGIApp:
    async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _other(core, scope, receive, send)
            return
        request = ASGIRequest(scope, receive, core)
        try:
            response = await core.respond(request, ON_LOOP)
        except ClientDisconnectedError:
            return
        if isinstance(response, StreamResponse):
            await _send_stream(request, response, send)
        else:
            body, status = response.body, response.status
            headers = encoded(response._pairs)
            if status != 204 and status != 304:
                headers.append((b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            if request.method == "HEAD":
                body = b""
            await send({"type": "http.response.body", "body": body})
        if request.unfinished:
            if request.tasks:
                await core.lifecycle.spawn(request)
            else:
                request.release()

    return asgi


async def _send_stream(request: ASGIRequest, response: StreamResponse, send: Send) -> None:
    """Ends early where the client leaves: the source of the chunks is closed then."""
    import asyncio

    headers = encoded(response.wire_headers())
    await send({"type": "http.response.start", "status": response.status, "headers": headers})

    async def pump() -> None:
        if request.method != "HEAD":
            async with aclosing(response.on_loop()) as chunks:
                async for chunk in chunks:
                    if chunk:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def watch() -> None:
        while (await request.receive_message())["type"] != "http.disconnect":
            pass

    pumping = asyncio.ensure_future(pump())
    tasks = {pumping}
    # Where the handler streams the request's body, what comes in belongs to it.
    if request.body_ended or not request.streams_body:
        tasks.add(asyncio.ensure_future(watch()))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await response.close(ON_LOOP)
    error = None if pumping.cancelled() else pumping.exception()
    if error is not None and not isinstance(error, OSError | ClientDisconnectedError):
        request.core.log_error(request, error)
        raise error  # the server must end the connection: the client cannot tell otherwise


async def _other(core: Core, scope: Scope, receive: Receive, send: Send) -> None:
    kind = scope["type"]
    if kind == "websocket":
        from . import websocket

        await websocket.serve(core, scope, receive, send)
    elif kind == "lifespan":
        await _lifespan(core, receive, send)
    else:
        raise ValueError(f"ASGI scope {kind!r} is not one of http, websocket, lifespan")


async def _lifespan(core: Core, receive: Receive, send: Send) -> None:
    steps = {"startup": core.lifecycle.start, "shutdown": core.lifecycle.stop}
    while True:
        name = (await receive())["type"].removeprefix("lifespan.")
        try:
            await steps[name](ON_LOOP)
        except Exception as error:
            await send({"type": f"lifespan.{name}.failed", "message": repr(error)})
            raise
        await send({"type": f"lifespan.{name}.complete"})
        if name == "shutdown":
            return
