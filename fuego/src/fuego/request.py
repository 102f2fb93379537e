"""The request as a handler sees it, whichever protocol brought it."""

import json
import math
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast
from urllib.parse import parse_qsl

from . import cookies
from .body import Content
from .errors import HTTPError, MissingExtraError
from .headers import Headers, Pair
from .loop import SHARED, run_on
from .modes import in_pool
from .multidict import MultiDict
from .stream import as_sync

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from .app import Fuego
    from .core import Core
    from .forms import Form

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MAX_FIELDS = 1000  # of a query

Chunks = Iterator[bytes] | AsyncIterator[bytes]
Task = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Request:
    """What costs something (headers, query, client) is worked out when it is first asked for.

    A handler or middleware may hang what it likes on `state`.
    """

    protocol: ClassVar[Literal["wsgi", "asgi"]]
    reads_async: ClassVar[bool]

    method: str
    path: str
    core: "Core"
    content: Content = b""
    unfinished = False  # something is left to do once the response has been sent
    tasks: "list[Task] | None" = None
    limit: int | None = None  # of the body, where the route has one of its own
    streams_body = False
    loop: "AbstractEventLoop | None" = None  # of the server, where the handler is in a thread
    _headers: Headers | None = None
    _query: MultiDict | None = None
    _cookies: dict[str, str] | None = None
    _id: str | None = None
    _form: "Form | None" = None
    _form_error: Exception | None = None
    _state: dict[str, Any] | None = None

    # What each protocol does in its own way.
    _read_headers: Callable[[], list[Pair]]
    _peer: Callable[[], str | None]
    """The address the server names: of the connection, or as the server rewrote it."""
    _server_scheme: Callable[[], str]
    expects_body: Callable[[], bool]
    read: Callable[[int], Any]
    """The body; a coroutine where `reads_async`."""
    _chunks: Callable[[int], Chunks]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.path!r}>"

    @property
    def app(self) -> "Fuego":
        return self.core.app

    @property
    def state(self) -> dict[str, Any]:
        if self._state is None:
            self._state = {}
        return self._state

    @property
    def session(self) -> dict[str, Any]:
        """What the session middleware keeps for this client; signed, not secret."""
        if "session" not in self.state:
            raise RuntimeError("sessions need app.middleware(sessions(secret=...))")
        return cast("dict[str, Any]", self.state["session"])

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            pairs = self._read_headers()
            if len(pairs) > self.core.max_headers:
                raise HTTPError(400, f"the request has more than {self.core.max_headers} headers")
            if sum(len(name) + len(value) for name, value in pairs) > self.core.max_header_bytes:
                raise HTTPError(400, f"headers exceed {self.core.max_header_bytes} bytes")
            self._headers = Headers(pairs)
        return self._headers

    @property
    def raw_path(self) -> str:
        """As the client sent it, percent-encoded, where the server tells; else encoded anew."""
        raise NotImplementedError

    @property
    def query_string(self) -> str:
        raise NotImplementedError

    @property
    def query(self) -> MultiDict:
        if self._query is None:
            try:
                text = self.query_string
                pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
            except ValueError:
                raise HTTPError(400, "the query string has too many fields") from None
            self._query = MultiDict(pairs)
        return self._query

    @property
    def cookies(self) -> dict[str, str]:
        if self._cookies is None:
            self._cookies = cookies.parse(self.headers.get("cookie", ""))
        return self._cookies

    @property
    def client(self) -> str | None:
        """The client's address; None where the server knows none (a UNIX socket)."""
        return self.core.trusted.client(self._peer(), self.headers)

    @property
    def scheme(self) -> str:
        """`http` or `https`, as the client spoke it to the outermost trusted proxy."""
        return self.core.trusted.scheme(self._peer(), self.headers, self._server_scheme())

    @property
    def id(self) -> str:
        """X-Request-ID where it is fit for a log, else one of our own."""
        if self._id is None:
            try:
                given = self.headers.get("x-request-id", "")
            except HTTPError:  # too many headers; this one must not fail on the way to the log
                given = ""
            self._id = given if _ID.fullmatch(given) else os.urandom(16).hex()
        return self._id

    @property
    def body(self) -> bytes:
        if isinstance(self.content, bytes):
            return self.content
        self.content.seek(0)
        return self.content.read()

    def stream(self) -> "BodyStream":
        """The body in chunks as they arrive, for `for` or `async for`. The route must be
        registered with `stream=True`, else the body has been read already."""
        limit = self.core.max_body if self.limit is None else self.limit
        return BodyStream(self._chunks(limit), self.loop)

    @property
    def text(self) -> str:
        try:
            return self.body.decode()
        except UnicodeDecodeError:
            raise HTTPError(400, "the body is not UTF-8") from None

    def json(self) -> Any:
        """The body as JSON. Anything else is the client's error: 400."""
        try:
            return json.loads(self.body, parse_constant=_refuse, parse_float=_finite)
        except (ValueError, RecursionError):
            raise HTTPError(400, "the body is not valid JSON") from None

    def form(self) -> "Form":
        """The fields and files of a form. Files need the extra `forms`."""
        if self._form is None:
            from .forms import parse

            if self._form_error is not None:
                raise self._form_error
            self._form = parse(self)
            self.unfinished = True
        return self._form

    def parse_ahead(self) -> None:
        """The form of a large body, in a thread: an async handler would hold up its loop. An error
        is for the handler, if it asks for the form."""
        if self.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            try:
                self.form()
            except (HTTPError, MissingExtraError) as error:
                self._form_error = error

    def url_for(self, name: str, /, **values: Any) -> str:
        return self.core.app.url_for(name, **values)

    def background(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Calls a function, sync or async, once the response has been sent. A shutdown waits
        for it."""
        if self.tasks is None:
            self.tasks, self.unfinished = [], True
        self.tasks.append((function, args, kwargs))

    def release(self) -> None:
        """Gives back the files behind a large body and its uploads."""
        if not isinstance(self.content, bytes):
            self.content.close()
        if self._form is not None:
            self._form.close()


class BodyStream:
    """Chunks that come one way or the other, for handlers of either kind."""

    def __init__(self, chunks: Chunks, loop: "AbstractEventLoop | None") -> None:
        self._chunks = chunks
        self._loop = loop

    def __iter__(self) -> Iterator[bytes]:
        return as_sync(self._chunks, lambda step: run_on(self._loop or SHARED.loop(), step))

    def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._chunks
        return chunks if isinstance(chunks, AsyncIterator) else _in_threads(chunks)


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (chunk := await in_pool(lambda: next(chunks, None))) is not None:
        yield chunk


def _refuse(constant: str) -> float:
    """Python reads NaN and Infinity; JSON does not have them."""
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
