"""A client for tests: the same request over either protocol, without a server."""

import asyncio
import io
import json as json_module
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partialmethod
from itertools import islice
from typing import Any, Literal
from urllib.parse import unquote_to_bytes, urlencode
from wsgiref.validate import validator

from . import cookies as cookies_module
from .app import Fuego
from .asgi import Message, Scope
from .headers import HeaderInput, Headers, Pair
from .loop import SHARED
from .modes import ON_LOOP
from .mount import environ_of, scope_of, wsgi_answer
from .testing_form import File, multipart
from .testing_socket import ClosedSocketError, RefusedSocketError, TestSocket
from .wsgi import Environ, StartResponse

__all__ = ["ClosedSocketError", "RefusedSocketError", "TestClient", "TestResponse", "TestSocket"]


@dataclass(frozen=True, slots=True)
class TestResponse:
    """`chunks` is the body in the parts in which it was sent."""

    __test__ = False

    status: int
    headers: Headers
    chunks: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json_module.loads(self.body)


@dataclass(frozen=True, slots=True)
class TestClient:
    """`client` is the peer's address. WSGI is checked by wsgiref.validate, ASGI messages here.
    Cookies that a response sets go along with the next request. `with` calls the startup and
    shutdown hooks.

    >>> app = Fuego()
    >>> @app.get("/items/{id:int}")
    ... def item(request, id):
    ...     return {"id": id}
    >>> TestClient(app, "asgi").get("/items/7").json()
    {'id': 7}
    """

    __test__ = False

    app: Fuego
    protocol: Literal["wsgi", "asgi"] = "wsgi"
    client: str = "127.0.0.1"
    scheme: str = "http"
    cookies: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "TestClient":
        lifecycle = self.app._core.lifecycle
        if self.protocol == "wsgi":
            lifecycle.start_in_thread(again=True)
        else:
            SHARED.run(lifecycle.start(ON_LOOP))
        return self

    def __exit__(self, *_: object) -> None:
        lifecycle = self.app._core.lifecycle
        if self.protocol == "wsgi":
            lifecycle.stop_in_thread()
        else:
            SHARED.run(lifecycle.stop(ON_LOOP))

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: HeaderInput = (),
        body: bytes = b"",
        json: object = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, File] | None = None,
        chunks: int | None = None,
    ) -> TestResponse:
        """`target` is the path as a client sends it: percent-encoded, with the query. The client
        leaves after `chunks` parts of the body, which ends a stream that has no end."""
        kind = None
        if json is not None:
            body, kind = json_module.dumps(json).encode(), "application/json"
        elif files is not None:
            body, kind = multipart(form or {}, files)
        elif form is not None:
            body, kind = urlencode(form).encode(), "application/x-www-form-urlencoded"
        fields = self._completed(headers, body, kind)
        scope = scope_of("http", target, fields, self.client)
        scope.update(method=method, scheme=self.scheme)
        if self.protocol == "wsgi":
            environ = environ_of(scope, Headers(fields))
            environ["PATH_INFO"] = unquote_to_bytes(scope["raw_path"]).decode("latin-1")
            environ["REQUEST_URI"] = target
            environ["wsgi.input"] = io.BytesIO(body)
            environ["wsgi.input_terminated"] = True
            response = self._wsgi(environ, chunks)
        else:
            response = SHARED.run(exchange(self.app, scope, body, chunks))
        self._keep_cookies(response)
        return response

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")
    put = partialmethod(request, "PUT")
    patch = partialmethod(request, "PATCH")
    delete = partialmethod(request, "DELETE")
    head = partialmethod(request, "HEAD")
    options = partialmethod(request, "OPTIONS")

    def websocket(
        self, target: str, *, headers: HeaderInput = (), subprotocols: Iterable[str] = ()
    ) -> TestSocket:
        """Use it in a `with`: the handshake is its beginning, and a refusal a
        `RefusedSocketError`."""
        fields = self._completed(headers, b"", None)
        scope = scope_of("websocket", target, fields, self.client)
        scope["scheme"] = "wss" if self.scheme == "https" else "ws"
        scope["subprotocols"] = list(subprotocols)
        scope["extensions"] = {"websocket.http.response": {}}
        return TestSocket(self.app.asgi, scope)

    def _completed(self, given: HeaderInput, body: bytes, kind: str | None) -> list[Pair]:
        pairs = list(given.items() if isinstance(given, Mapping) else given)
        names = {name.lower() for name, _ in pairs}
        if kind is not None and "content-type" not in names:
            pairs.append(("content-type", kind))
        if "host" not in names:
            pairs.append(("host", "testserver"))
        if body and not names & {"content-length", "transfer-encoding"}:
            pairs.append(("content-length", str(len(body))))
        if self.cookies and "cookie" not in names:
            items = self.cookies.items()
            pairs.append(("cookie", "; ".join(f"{name}={value}" for name, value in items)))
        return pairs

    def _keep_cookies(self, response: TestResponse) -> None:
        for header in response.headers.getlist("set-cookie"):
            gone = "max-age=0" in header.lower().replace(" ", "").split(";")
            for name, value in cookies_module.parse(header.partition(";")[0]).items():
                self.cookies[name] = value
                if gone:
                    del self.cookies[name]

    def _wsgi(self, environ: Environ, chunks: int | None) -> TestResponse:
        # The validator is for the response. What it minds in a request, which a test may want to
        # send all the same, is put in behind its back.
        def app(checked: Environ, start_response: StartResponse) -> Iterable[bytes]:
            method, length = environ["REQUEST_METHOD"], environ.get("CONTENT_LENGTH", "")
            sent = {**checked, "REQUEST_METHOD": method, "CONTENT_LENGTH": length}
            return self.app.wsgi(sent, start_response)

        harmless = {**environ, "REQUEST_METHOD": "GET", "CONTENT_LENGTH": ""}
        with closing(wsgi_answer(validator(app), harmless)) as answer:
            status, fields = next(answer)
            return TestResponse(int(status[:3]), Headers(fields), list(islice(answer, chunks)))


async def exchange(app: Fuego, scope: Scope, body: bytes, limit: int | None) -> TestResponse:
    half = len(body) // 2  # two messages, as a server may send
    incoming: list[Message] = [
        {"type": "http.request", "body": body[:half], "more_body": True},
        {"type": "http.request", "body": body[half:], "more_body": False},
    ]
    outgoing: list[Message] = []
    gone = asyncio.Event()

    async def receive() -> Message:
        if incoming:
            return incoming.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        outgoing.append(message)
        if len(outgoing) - 1 == limit:
            gone.set()

    await app.asgi(scope, receive, send)
    return assemble(outgoing, left=gone.is_set())


def assemble(messages: list[Message], *, left: bool = False) -> TestResponse:
    """Refuses, with ValueError, what the specification does not allow. After the client has
    `left` the end may be missing."""
    start, *bodies = messages
    kinds = ["http.response.start"] + ["http.response.body"] * len(bodies)
    if [message["type"] for message in messages] != kinds or not bodies:
        raise ValueError(f"not a response: {messages!r}")
    for name, value in start["headers"]:
        if not (isinstance(name, bytes) and isinstance(value, bytes) and name == name.lower()):
            raise ValueError(f"not a header: {(name, value)!r}")
    if any(not isinstance(message["body"], bytes) for message in bodies):
        raise ValueError(f"not a body: {bodies!r}")
    more = [message.get("more_body", False) for message in bodies]
    if not all(more[:-1]) or (more[-1] and not left):
        raise ValueError(f"the response has no end, or one too early: {messages!r}")
    headers = Headers(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
    )
    return TestResponse(start["status"], headers, [m["body"] for m in bodies if m["body"]])
