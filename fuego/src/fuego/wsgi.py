"""The WSGI side (PEP 3333)."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .body import CHUNK, Collector, Content, announced_length, too_large
from .core import Core
from .errors import PHRASES, HTTPError, phrase
from .loop import SHARED
from .modes import IN_THREAD, drive
from .request import Request
from .response import Response
from .stream import StreamResponse

Environ = dict[str, Any]
StartResponse = Callable[..., Any]  # (status, headers, exc_info=None)
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

STATUS_LINES = {status: f"{status} {text}" for status, text in PHRASES.items()}
USUAL_KEYS = 100  # of an environ, besides the headers; counted exactly only above that


class WSGIRequest(Request):
    protocol = "wsgi"
    reads_async = False

    def __init__(self, environ: Environ, core: Core) -> None:
        path = environ.get("PATH_INFO") or "/"
        self.method: str = environ["REQUEST_METHOD"]
        self.path = path if path.isascii() else decoded(path)
        self.environ = environ
        self.core = core

    def _read_headers(self) -> list[tuple[str, str]]:
        environ = self.environ
        pairs = [
            (key[5:].replace("_", "-"), value)
            for key, value in environ.items()
            if key.startswith("HTTP_") and key not in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")
        ]
        for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            if environ.get(key):
                pairs.append((key.replace("_", "-"), environ[key]))
        return pairs

    @property
    def query_string(self) -> str:
        return decoded(self.environ.get("QUERY_STRING", ""))

    @property
    def raw_path(self) -> str:
        from urllib.parse import quote

        for key in ("RAW_URI", "REQUEST_URI"):
            target: str = self.environ.get(key, "")
            if target.startswith("/"):
                return target.partition("?")[0]
        return quote(self.root_path + self.path)

    @property
    def root_path(self) -> str:
        """Where a server or an app mounted this one."""
        return decoded(self.environ.get("SCRIPT_NAME", ""))

    def _peer(self) -> str | None:
        return self.environ.get("REMOTE_ADDR") or None

    def _server_scheme(self) -> str:
        return str(self.environ["wsgi.url_scheme"])

    def expects_body(self) -> bool:
        environ = self.environ
        if len(environ) > self.core.max_headers + USUAL_KEYS:
            _ = self.headers  # which counts them
        return bool(environ.get("CONTENT_LENGTH")) or "HTTP_TRANSFER_ENCODING" in environ

    def read(self, limit: int) -> Content:
        collector = Collector()
        try:
            for chunk in self._chunks(limit):
                collector.add(chunk)
        except BaseException:
            collector.discard()
            raise
        return collector.content()

    def _chunks(self, limit: int) -> Iterator[bytes]:
        source = self.environ["wsgi.input"]
        length = announced_length(self.headers, limit)
        if length is None and "HTTP_TRANSFER_ENCODING" not in self.environ:
            return
        # Without an end marked by the server, reading on would wait for ever.
        if length is None and not self.environ.get("wsgi.input_terminated"):
            raise HTTPError(411)
        left, size = length, 0
        while left is None or left > 0:
            try:
                chunk = source.read(CHUNK if left is None else min(CHUNK, left))
            except OSError:  # gunicorn's errors for broken chunks are of this kind
                raise HTTPError(400, "the body could not be read") from None
            if not chunk:
                break
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            left = None if left is None else left - len(chunk)
            yield bytes(chunk)
        if left:
            raise HTTPError(400, "the body is shorter than its Content-Length")


def decoded(value: str) -> str:
    """PEP 3333 hands bytes over as latin-1; what they mean is UTF-8."""
    return value.encode("latin-1").decode(errors="replace")


class Sending:
    """A body that does what is left to do once the server has sent it."""

    def __init__(self, request: Request, response: Response) -> None:
        self._request = request
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        if self._request.method == "HEAD":
            return
        if not isinstance(self._response, StreamResponse):
            yield self._response.body
            return
        try:
            yield from self._response.in_thread(SHARED.run)
        except Exception as error:
            self._request.core.log_error(self._request, error)
            raise  # the server must end the connection: the client cannot tell otherwise

    def close(self) -> None:
        if isinstance(self._response, StreamResponse):
            drive(self._response.close(IN_THREAD))
        if self._request.tasks:
            SHARED.run(self._request.core.lifecycle.spawn(self._request))
        else:
            self._request.release()


def adapt(core: Core) -> WSGIApp:
    lifecycle = core.lifecycle
    lines = STATUS_LINES

    def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if not lifecycle.started:
            lifecycle.start_in_thread()
        request = WSGIRequest(environ, core)
        response = drive(core.respond(request, IN_THREAD))
        status = response.status
        line = lines.get(status) or f"{status} {phrase(status)}"
        start_response(line, response.wire_headers())
        if response.streams or request.unfinished:
            return Sending(request, response)
        return () if request.method == "HEAD" else (response.body,)

    return wsgi
