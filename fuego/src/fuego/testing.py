"""A client for tests: the same request over either protocol, without a server."""

import asyncio
import io
import json as json_module
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_to_bytes
from wsgiref.validate import validator

from .app import Fuego
from .asgi import Message
from .headers import Headers
from .wsgi import Environ, StartResponse

Pairs = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TestResponse:
    __test__ = False

    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json_module.loads(self.body)


@dataclass(frozen=True, slots=True)
class TestClient:
    """`client` is the peer's address. WSGI is checked by wsgiref.validate, ASGI messages here."""

    __test__ = False

    app: Fuego
    protocol: Literal["wsgi", "asgi"] = "wsgi"
    client: str = "127.0.0.1"
    scheme: str = "http"

    def get(self, target: str, **options: Any) -> TestResponse:
        return self.request("GET", target, **options)

    def post(self, target: str, **options: Any) -> TestResponse:
        return self.request("POST", target, **options)

    def request(
        self,
        method: str,
        target: str,
        *,
        headers: Pairs = (),
        body: bytes = b"",
        json: object = None,
    ) -> TestResponse:
        """`target` is the path as a client sends it: percent-encoded, with the query."""
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if json is not None:
            body = json_module.dumps(json).encode()
            pairs.append(("content-type", "application/json"))
        names = {name.lower() for name, _ in pairs}
        if "host" not in names:
            pairs.append(("host", "testserver"))
        if body and not names & {"content-length", "transfer-encoding"}:
            pairs.append(("content-length", str(len(body))))
        send = self._wsgi if self.protocol == "wsgi" else self._asgi
        return send(method, target, pairs, body)

    def _wsgi(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> TestResponse:
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": self.client,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": self.scheme,
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in headers:
            key = name.upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Any:
            started.append((status, headers))
            return lambda data: None

        # The validator is for the response. What it minds in a request, which a test may want to
        # send all the same, is put in behind its back.
        behind: Environ = {
            key: environ.pop(key) for key in ("REQUEST_METHOD", "CONTENT_LENGTH") if key in environ
        }

        def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
            return self.app.wsgi({**environ, **behind}, start_response)

        result = validator(app)({**environ, "REQUEST_METHOD": "GET"}, start_response)
        try:
            content = b"".join(result)
        finally:
            result.close()  # type: ignore[attr-defined]
        [(status, sent)] = started
        return TestResponse(int(status[:3]), Headers(sent), content)

    def _asgi(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> TestResponse:
        path, _, query = target.partition("?")
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": unquote_to_bytes(path).decode(errors="replace"),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
            ],
            "client": (self.client, 50000) if self.client else None,
            "server": ("testserver", 80),
        }
        half = len(body) // 2  # two messages, as a server may send
        incoming: list[Message] = [
            {"type": "http.request", "body": body[:half], "more_body": True},
            {"type": "http.request", "body": body[half:]},
        ]
        outgoing: list[Message] = []

        async def receive() -> Message:
            return incoming.pop(0) if incoming else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            outgoing.append(message)

        async def serve() -> None:
            await self.app.asgi(scope, receive, send)

        asyncio.run(serve())
        return _assemble(outgoing)


def _assemble(messages: list[Message]) -> TestResponse:
    """Refuses, with ValueError, what the specification does not allow."""
    start, *bodies = messages
    kinds = ["http.response.start"] + ["http.response.body"] * len(bodies)
    if [message["type"] for message in messages] != kinds or not bodies:
        raise ValueError(f"not a response: {messages!r}")
    for name, value in start["headers"]:
        if not (isinstance(name, bytes) and isinstance(value, bytes) and name == name.lower()):
            raise ValueError(f"not a header: {(name, value)!r}")
    if any(not isinstance(message["body"], bytes) for message in bodies):
        raise ValueError(f"not a body: {bodies!r}")
    if [message.get("more_body", False) for message in bodies] != [True] * len(bodies[1:]) + [
        False
    ]:
        raise ValueError(f"the response has no end, or one too early: {messages!r}")
    headers = Headers(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
    )
    return TestResponse(start["status"], headers, b"".join(message["body"] for message in bodies))
