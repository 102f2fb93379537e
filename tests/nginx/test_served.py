"""What the rendered files do with requests, in an nginx that is a child of the test."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
from nginx_tree import Tree, render


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what arrived; hangs up on /die, and says 503 itself on /503."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        Echo.seen.append(f"{self.command} {self.path}")
        if self.path == "/die":
            self.close_connection = True
            return
        body = json.dumps({"path": self.path, "headers": self.headers.items()}).encode()
        self.send_response(503 if self.path == "/503" else 200)
        self.send_header("X-Request-ID", "the app's own")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def app() -> Iterator[int]:
    """The port of an app."""
    Echo.seen = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def front(tree: Tree, app: int) -> Tree:
    """A default site with two members that are the same app, and a site with nobody admitted."""
    member = {"address": "127.0.0.1", "port": app}
    pool = [{"name": name, **member, "admitted": True} for name in ("app1", "app2")]
    nobody = [{"name": "app1", **member, "admitted": False}]
    sites = [
        {"name": "hello", "domains": ["hello.example.com"], "default_site": True, "port": app,
         "members": pool},
        {"name": "empty", "domains": ["*.empty.example.com"], "default_site": False, "port": app,
         "members": nobody},
    ]  # fmt: skip
    files = render(sites, nginx_http_port=tree.port)
    tree.write({name: tree.here(text) for name, text in files.items()})
    tree.start()
    return tree


def ask(
    front: Tree, host: str | None, path: str = "/", method: str = "GET", **headers: str
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", front.port, timeout=5)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {**({"Host": host} if host is not None else {}), **headers}.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def last_logged(front: Tree) -> dict[str, Any]:
    """The one request's entry; nginx writes it after the response."""
    for _ in range(100):
        text = (front.home / "log" / "access.log").read_text()
        if text.endswith("\n"):
            entry: dict[str, Any] = json.loads(text.splitlines()[-1])
            return entry
        time.sleep(0.02)
    raise AssertionError("nothing in the access log")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("hello.example.com", 200),
        ("HELLO.example.com.:8080", 200),
        ("localhost", 200),
        ("10.1.2.3:8080", 200),
        ("[2001:db8::1]", 200),
        ("[::1]:8080", 200),
        ("a.empty.example.com", 502),
        ("unknown.example.com", 404),
        ("1.2.3", 404),
        ("1.2.3.4.example.com", 404),
        ("x[::1]", 404),
        ("", 400),
        (None, 400),
    ],
)
def test_who_answers_a_name(front: Tree, host: str | None, status: int) -> None:
    assert ask(front, host)[0].status == status
    assert last_logged(front)["status"] == status


def test_what_a_client_claims_is_dropped(front: Tree) -> None:
    forged = {
        f"{name}": "forged"
        for name in (
            "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
            "Daphne-Root-Path",
            "X-Forwarded-Ssl", "X-Forwarded-Protocol", "X-Forwarded-Prefix", "X-Forwarded-Server",
            "X-Real-IP", "X-Request-ID", "X-Load-Balancer", "Forwarded", "Proxy",
        )
    }  # fmt: skip
    response, body = ask(front, "hello.example.com:8080", "/a%2Fb//c?q=%20x&y", **forged)
    arrived = json.loads(body)
    headers = dict(arrived["headers"])
    assert "forged" not in body.decode()
    assert arrived["path"] == "/a%2Fb//c?q=%20x&y"
    assert headers["Host"] == headers["X-Forwarded-Host"] == "hello.example.com:8080"
    assert headers["X-Forwarded-Port"] == "8080"
    assert headers["X-Forwarded-For"] == "127.0.0.1"
    assert headers["X-Forwarded-Proto"] == "http"
    assert response.headers.get_all("X-Request-ID") == [headers["X-Request-ID"]]
    entry = last_logged(front)
    assert entry["request_id"] == headers["X-Request-ID"]
    assert (entry["app"], entry["upstream_status"]) == ("hello", "200")


def test_only_websocket_upgrades_pass(front: Tree) -> None:
    def connection(upgrade: str) -> tuple[str | None, str | None]:
        _, body = ask(front, "localhost", Connection="Upgrade", Upgrade=upgrade)
        headers = dict(json.loads(body)["headers"])
        return headers.get("Connection"), headers.get("Upgrade")

    assert connection("WebSocket") == ("upgrade", "websocket")
    assert connection("h2c") == (None, None)


def test_an_empty_pool_answers_at_once_with_a_page(front: Tree) -> None:
    response, body = ask(front, "a.empty.example.com")
    assert response.status == 502
    assert b"Not available right now" in body
    assert str(response.headers["X-Request-ID"]).encode() in body
    entry = last_logged(front)
    assert (entry["app"], entry["upstream_addr"]) == ("empty", "empty")
    assert entry["request_time"] < 0.1


def test_a_get_is_tried_elsewhere_and_a_post_never(front: Tree) -> None:
    assert ask(front, "localhost", "/die", "POST")[0].status == 502
    assert Echo.seen == ["POST /die"]
    assert ask(front, "localhost", "/die")[0].status == 502
    assert Echo.seen == ["POST /die", "GET /die", "GET /die"]


def test_an_apps_own_503_is_an_answer(front: Tree) -> None:
    for _ in range(10):
        response, body = ask(front, "localhost", "/503")
        assert (response.status, json.loads(body)["path"]) == (503, "/503")
    assert len(Echo.seen) == 10
