"""Other apps below a prefix: WSGI and ASGI, each over both protocols."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from typing import Any
from urllib.parse import unquote

from .asgi import ASGIApp, ASGIRequest, Message, Scope, encoded
from .body import Content, chunks_of
from .headers import Headers, Pair
from .modes import IN_THREAD, ON_LOOP, drive
from .registry import Registry
from .request import Request
from .response import Response
from .routing import WEBSOCKET, is_async
from .stream import StreamResponse, close
from .websocket import WebSocket
from .wsgi import Environ, WSGIApp, WSGIRequest

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def mount(registry: Registry, prefix: str, app: Any) -> None:
    from .app import Fuego

    if not callable(getattr(app, "asgi", app)):
        raise TypeError(f"{app!r} is not a Fuego, an ASGI app or a WSGI app")
    prefix = prefix.rstrip("/")
    root = registry._prefix + prefix
    if isinstance(app, Fuego):  # which starts and stops with ours, and never by itself
        ours, theirs = registry._core.lifecycle, app._core.lifecycle
        ours.startup_hooks.append(partial(theirs.start, ON_LOOP))
        ours.shutdown_hooks.append(partial(theirs.stop, ON_LOOP))
        app = app.asgi
    handlers: dict[tuple[str, ...], Callable[..., Any]] = {METHODS: _wsgi_handler(app, root)}
    if is_async(app):
        handlers = {METHODS: _asgi_handler(app, root), (WEBSOCKET,): _socket_handler(app, root)}
    for path in (prefix, f"{prefix}/", f"{prefix}/{{rest:path}}"):
        for methods, handler in handlers.items():
            if path:
                registry._add(path, methods, handler, f"mount {root}", forms=False)


def _wsgi_handler(app: WSGIApp, root: str) -> Callable[..., Any]:
    def call(request: Request, rest: str = "") -> Response:
        answer = wsgi_answer(app, _environ(request, root))
        status, headers = next(answer)
        return _response(int(status[:3]), headers, answer)

    return call


def wsgi_answer(app: WSGIApp, environ: Environ) -> Generator[Any, None, None]:
    """The status with the headers, then the body. A generator, as which many an app is written,
    calls start_response with its first chunk."""
    started: list[tuple[str, list[Pair]]] = []
    begun: list[bytes] = []

    def start_response(status: str, headers: list[Pair], exc_info: Any = None) -> Any:
        started[:] = [(status, headers)]
        return begun.append

    chunks = app(environ, start_response)
    try:
        iterator = iter(chunks)
        while not started:
            chunk = next(iterator, None)
            if chunk is None:
                raise RuntimeError("the mounted app did not call start_response")
            begun.append(chunk)
        yield started[0]
        yield from begun
        yield from iterator
    finally:
        drive(close(chunks, IN_THREAD))


def _asgi_handler(app: ASGIApp, root: str) -> Callable[..., Any]:
    async def call(request: Request, rest: str = "") -> Response:
        answer = _asgi_answer(app, _scope(request, root), _messages_of(request.content))
        start = await anext(answer)
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
        ]
        return _response(start["status"], headers, answer)

    return call


async def _asgi_answer(app: ASGIApp, scope: Scope, body: Iterator[Message]) -> AsyncIterator[Any]:
    """The first message, then the body."""
    messages: asyncio.Queue[Message] = asyncio.Queue(maxsize=1)
    gone = asyncio.Event()

    async def receive() -> Message:
        message = next(body, None)
        if message is not None:
            return message
        await gone.wait()
        return {"type": "http.disconnect"}

    async def following() -> Message | None:
        """None once the app has ended without another message."""
        getting = asyncio.ensure_future(messages.get())
        await asyncio.wait({getting, task}, return_when=asyncio.FIRST_COMPLETED)
        if not getting.done() and messages.empty():
            getting.cancel()
            await task  # its exception is ours
            return None
        return await getting

    task = asyncio.ensure_future(app(scope, receive, messages.put))
    try:
        start = await following()
        if start is None:
            raise RuntimeError("the mounted app sent no response")
        yield start
        while (message := await following()) is not None:
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return
    finally:
        gone.set()
        await asyncio.wait({task}, timeout=1)
        task.cancel()


def _socket_handler(app: ASGIApp, root: str) -> Callable[..., Any]:
    async def call(socket: WebSocket, rest: str = "") -> None:
        socket.phase = "closed"  # the mounted app speaks for itself from here on
        await app(_shifted(socket.scope, root), socket.receive_message, socket.send_message)

    return call


def _response(status: int, headers: list[Pair], chunks: Any) -> Response:
    """Its length, which the app announced, is sent as it is."""
    own = [pair for pair in headers if pair[0].lower() != "content-length"]
    response = StreamResponse(chunks, status, own)
    for length in [value for name, value in headers if name.lower() == "content-length"]:
        response._length = int(length)
    return response


def _environ(request: Request, root: str) -> Environ:
    """The server's own, moved below the root, or one made of a scope."""
    if isinstance(request, WSGIRequest):
        environ = dict(request.environ)
    else:
        assert isinstance(request, ASGIRequest)
        environ = environ_of(request.scope, request.headers)
    content = request.content
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    environ["CONTENT_LENGTH"] = str(source.seek(0, io.SEEK_END))
    source.seek(0)
    environ["wsgi.input"] = source
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["SCRIPT_NAME"] += _latin1(root)
    environ["PATH_INFO"] = _latin1(request.path[len(root) :])
    return environ


def environ_of(scope: Scope, headers: Headers) -> Environ:
    """As a WSGI server would have it; `PATH_INFO` and the body are left out."""
    server = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": _latin1(scope.get("root_path", "")),
        "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope.get('http_version', '1.1')}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        plain = key in ("CONTENT_TYPE", "CONTENT_LENGTH")
        environ[key if plain else f"HTTP_{key}"] = value
    return environ


def _latin1(text: str) -> str:
    return text.encode().decode("latin-1")


def _scope(request: Request, root: str) -> Scope:
    if isinstance(request, ASGIRequest):
        return _shifted(request.scope, root)
    target = f"{request.raw_path}?{request.query_string}"
    scope = scope_of("http", target, request.headers.pairs(), request._peer() or "")
    scope.update(method=request.method, path=request.path, scheme=request._server_scheme())
    return _shifted(scope, root)


def scope_of(kind: str, target: str, headers: list[Pair], peer: str) -> Scope:
    """As an ASGI server would have it; the method and the scheme are left out."""
    path, _, query = target.partition("?")
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode(),
        "root_path": "",
        "headers": encoded([(name.lower(), value) for name, value in headers]),
        "client": (peer, 0) if peer else None,
        "server": None,
    }


def _shifted(scope: Scope, root: str) -> Scope:
    """`path` stays whole: the specification wants `root_path` at its beginning."""
    before = scope.get("root_path", "")
    path = scope["path"]
    if before and not path.startswith(f"{before}/"):
        path = before + path
    return {**scope, "root_path": before + root, "path": path}


def _messages_of(content: Content) -> Iterator[Message]:
    small = isinstance(content, bytes)
    for chunk in chunks_of(content):
        yield {"type": "http.request", "body": chunk, "more_body": not small}
    if not small:
        yield {"type": "http.request", "body": b"", "more_body": False}
