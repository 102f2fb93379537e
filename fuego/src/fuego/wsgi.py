"""The WSGI side (PEP 3333)."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from .core import Core
from .errors import HTTPError, phrase
from .headers import Headers
from .loop import LoopThread
from .request import Request
from .response import Response, as_response

Environ = dict[str, Any]


class StartResponse(Protocol):
    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> object: ...


WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]


class WSGIRequest(Request):
    __slots__ = ("environ",)

    protocol = "wsgi"

    def __init__(self, environ: Environ, core: Core) -> None:
        path = environ.get("PATH_INFO") or "/"
        if not path.isascii():
            path = decoded(path)
        super().__init__(environ["REQUEST_METHOD"], path, core.trusted)
        self.environ = environ

    def _read_headers(self) -> Headers:
        environ = self.environ
        pairs = [
            (key[5:].replace("_", "-"), value)
            for key, value in environ.items()
            if key.startswith("HTTP_") and key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")
        ]
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(key):
                pairs.append((key.replace("_", "-"), environ[key]))
        return Headers(pairs)

    def _query_string(self) -> str:
        query: str = self.environ.get("QUERY_STRING", "")
        return decoded(query)

    def _peer(self) -> str | None:
        return self.environ.get("REMOTE_ADDR") or None

    def _server_scheme(self) -> str:
        scheme: str = self.environ["wsgi.url_scheme"]
        return scheme


def decoded(value: str) -> str:
    """PEP 3333 hands bytes over as latin-1; what they mean is UTF-8."""
    return value.encode("latin-1").decode(errors="replace")


def adapt(core: Core) -> WSGIApp:
    loop = LoopThread()

    def respond(request: WSGIRequest) -> Response:
        try:
            match = core.find(request)
            request.body = read_body(core, request)
            result = match.endpoint.handler(request, **match.params)
            if match.endpoint.is_async:
                result = loop.run(result)
            return as_response(result)
        except Exception as error:
            return core.answer_for(request, error)

    def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter() if core.observers else 0.0
        request = WSGIRequest(environ, core)
        response = respond(request)
        if core.observers:
            core.observe(request, response, started)
        start_response(f"{response.status} {phrase(response.status)}", response.wire_headers())
        return () if request.method == "HEAD" else (response.body,)

    return wsgi


def read_body(core: Core, request: WSGIRequest) -> bytes:
    environ = request.environ
    if not environ.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" not in environ:
        return b""
    length = core.body_length(request.headers)
    try:
        if length is not None:
            body = environ["wsgi.input"].read(length)
            if len(body) < length:
                raise HTTPError(400, "the body is shorter than its Content-Length")
        elif environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read(core.max_body + 1)
            if len(body) > core.max_body:
                raise core.too_large()
        else:  # Without an end marked by the server, reading on would wait for ever.
            raise HTTPError(411)
    except OSError:  # gunicorn's errors for broken chunks are of this kind
        raise HTTPError(400, "the body could not be read") from None
    return bytes(body)
