"""What every sample app answers, whatever it is made with: the traffic's clients count on it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from asgiref.testing import ApplicationCommunicator

HTML = {"Accept": "text/html,*/*;q=0.8"}
HOSTILE = "<b>&'x.txt"


@dataclass(frozen=True, slots=True)
class InProcess:
    """Sends requests to a callable, as a server in this process would."""

    app: Any
    protocol: str
    peer: str = "192.0.2.7"

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:
        """`more` is what httpx takes: headers, content, data, files."""
        url = f"http://localhost{path}"
        if self.protocol == "asgi":
            return asyncio.run(self._over_asgi(method, url, **more))
        transport = httpx.WSGITransport(self.app, remote_addr=self.peer)
        with httpx.Client(transport=transport) as client:
            return client.request(method, url, **more)

    async def _over_asgi(self, method: str, url: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(self.peer, 1))
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(method, url, **more)


class Contract:
    """Its tests, for a class with the fixture `send`."""

    protocol: ClassVar[str]
    stylesheet: ClassVar[Path]

    def allowed(self, send: InProcess) -> dict[str, str]:
        """Return the headers without which a form is refused."""
        return {}

    @pytest.mark.parametrize(("method", "size"), [("GET", 0), ("POST", 3), ("POST", 10_000_000)])
    def test_whoami(
        self, send: InProcess, method: str, size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("APP_RELEASE", "r-1")
        headers = {
            "X-Request-ID": "id-1",
            "X-Load-Balancer": "lb1",
            "X-Forwarded-For": "203.0.113.9",
        }
        content = os.urandom(size) if size else None
        answer = send(method, "/whoami", headers=headers, content=content)
        assert answer.status_code == 200, answer.text
        seen = answer.json()
        assert seen.pop("app")
        assert seen.pop("server")
        assert seen == {
            "host": socket.gethostname(),
            "protocol": self.protocol,
            "release": "r-1",
            "pid": os.getpid(),
            "request_id": "id-1",
            "method": method,
            "received": size,
            "client": send.peer,
            "scheme": "http",
            "load_balancer": "lb1",
            "forwarded_for": "203.0.113.9",
        }

    def test_release_is_null_outside_a_deployment(self, send: InProcess) -> None:
        assert send("GET", "/whoami").json()["release"] is None

    def test_healthz(self, send: InProcess) -> None:
        assert send("GET", "/healthz").json() == {"status": "ok"}

    def test_slow(self, send: InProcess) -> None:
        seen = send("GET", "/slow?seconds=0.01").json()
        assert (seen["seconds"], seen["host"]) == (0.01, socket.gethostname())

    @pytest.mark.parametrize("value", ["x", "nan", "-1"])
    def test_numbers_are_checked(self, send: InProcess, value: str) -> None:
        assert send("GET", f"/slow?seconds={value}").status_code in (400, 422)

    def test_page_has_a_stylesheet_and_a_form(self, send: InProcess) -> None:
        page = send("GET", "/", headers=HTML)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert socket.gethostname() in page.text
        assert 'action="/form" method="post" enctype="multipart/form-data"' in page.text
        path = re.findall(r'"(/static/[^"]+\.css)"', page.text)[0]
        style = send("GET", path)
        assert style.headers["Content-Type"].partition(";")[0] == "text/css"
        assert style.content == self.stylesheet.read_bytes()

    @pytest.mark.parametrize("size", [0, 3, 3_000_000])
    def test_form_tells_what_arrived(self, send: InProcess, size: int) -> None:
        content = os.urandom(size)
        sent = {
            "data": {"text": "<i>"},
            "files": {"file": (HOSTILE, content, "text/plain")},
        }
        allowed = self.allowed(send)
        answer = send("POST", "/form", headers=allowed, **sent)
        digest = hashlib.sha256(content).hexdigest()
        received = {"name": HOSTILE, "size": size, "sha256": digest}
        assert answer.json() == {"text": "<i>", "files": [received]}
        page = send("POST", "/form", headers=allowed | HTML, **sent)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        for shown in ("&lt;i&gt;", "&lt;b&gt;&amp;", f"{size} bytes", digest):
            assert shown in page.text
        assert "<i>" not in page.text

    def test_form_without_a_file(self, send: InProcess) -> None:
        body = (
            b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\na b\r\n--x\r\n'
            b'Content-Disposition: form-data; name="file"; filename=""\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n\r\n--x--\r\n"
        )
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = send("POST", "/form", headers=self.allowed(send) | kind, content=body)
        assert answer.json() == {"text": "a b", "files": []}


class LiveContract(Contract):
    """And what only an app over ASGI does. Its ticks have to be short."""

    @pytest.mark.parametrize(("last", "first"), [(None, 1), ("41", 42)])
    def test_events_go_on_where_the_client_was(
        self, send: InProcess, last: str | None, first: int
    ) -> None:
        headers: Mapping[str, str] = {} if last is None else {"Last-Event-ID": last}
        answer = send("GET", "/events?count=3", headers=headers)
        assert answer.headers["Content-Type"].partition(";")[0] == "text/event-stream"
        assert answer.headers["X-Accel-Buffering"] == "no"
        numbers = []
        for event in answer.text.strip().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in event.split("\n"))
            seen = json.loads(fields["data"])
            assert seen["host"] == socket.gethostname()
            assert fields["id"] == str(seen["count"])
            numbers.append(seen["count"])
        assert numbers == [first, first + 1, first + 2]

    @pytest.mark.parametrize("query", ["count=x", "count=-1"])
    def test_counts_are_checked(self, send: InProcess, query: str) -> None:
        assert send("GET", f"/events?{query}").status_code in (400, 422)

    def test_websocket_greets_then_echoes(self, send: InProcess) -> None:
        headers = [(b"x-request-id", b"id-4")]
        scope = {"type": "websocket", "path": "/ws", "query_string": b"", "headers": headers}
        messages: list[dict[str, Any]] = [{"text": "h\u00e9"}, {"text": ""}, {"bytes": b"\0\xff"}]
        accepted, greeting, *echoes = asyncio.run(talk(send.app, scope, messages))
        assert accepted["type"] == "websocket.accept"
        seen = json.loads(greeting["text"])
        assert (seen["host"], seen["pid"]) == (socket.gethostname(), os.getpid())
        assert (seen["protocol"], seen["request_id"]) == ("asgi", "id-4")
        assert [[echo.get("text"), echo.get("bytes")] for echo in echoes] == [
            ["h\u00e9", None],
            ["", None],
            [None, b"\0\xff"],
        ]


async def talk(
    app: Any, scope: dict[str, Any], messages: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Open a WebSocket, send messages one by one, and return what the app said."""
    untyped: Any = ApplicationCommunicator
    peer = untyped(app, scope)
    await peer.send_input({"type": "websocket.connect"})
    said = [await peer.receive_output() for _ in range(2)]
    for message in messages:
        await peer.send_input({"type": "websocket.receive", **message})
        said.append(await peer.receive_output())
    await peer.send_input({"type": "websocket.disconnect", "code": 1000})
    await peer.wait()
    return said
