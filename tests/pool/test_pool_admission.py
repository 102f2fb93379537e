"""Admissions against real HTTP servers on loopback."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pool_admission import Admissions, admit, read, write


class App(http.server.BaseHTTPRequestHandler):
    """Answers /healthz with 200, /teapot with 418 and anything else with 500."""

    seen: list[str]

    def do_GET(self) -> None:
        """Answer, and note the Host header."""
        type(self).seen.append(self.headers["Host"])
        self.send_response({"/healthz": 200, "/teapot": 418}.get(self.path, 500))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """Serve the app, and return where."""
    App.seen = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def site(port: int, **health: Any) -> dict[str, Any]:
    """Return a site with one member, on loopback."""
    return {
        "name": "shop",
        "domains": ["shop.example.com"],
        "health": health,
        "members": [{"name": "app1", "address": "127.0.0.1", "port": port}],
    }


def test_healthy_member_is_admitted_and_asked_under_the_sites_name(port: int) -> None:
    admitted, refused = admit([site(port, path="/healthz")], {}, 2)
    assert list(admitted["shop"]) == ["app1"]
    assert refused == []
    assert App.seen == ["shop.example.com"]


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        ({"path": "/broken"}, "GET /broken answered 500, not a status below 500"),
        (
            {"path": "/teapot", "status": [200, 204]},
            "GET /teapot answered 418, not one of 200, 204",
        ),
    ],
)
def test_unhealthy_member_stays_out_and_is_named(
    port: int, health: dict[str, Any], reason: str
) -> None:
    admitted, refused = admit([site(port, **health)], {}, 2)
    assert admitted == {}
    assert refused == [f"shop: app1 at 127.0.0.1:{port}: {reason}"]


def test_member_that_does_not_listen_stays_out() -> None:
    admitted, refused = admit([site(1, path="/healthz")], {}, 2)
    assert admitted == {}
    assert "app1 at 127.0.0.1:1: no answer to GET /healthz" in refused[0]


def test_admitted_member_is_not_asked_again_unless_it_moved(port: int) -> None:
    before = {"shop": {"app1": {"address": f"127.0.0.1:{port}", "since": "then"}}}
    assert admit([site(port, path="/broken")], before, 2) == (before, [])
    before["shop"]["app1"]["address"] = "127.0.0.1:9"
    admitted, refused = admit([site(port, path="/broken")], before, 2)
    assert admitted == {}
    assert refused


def test_admission_goes_with_its_member(port: int) -> None:
    before: Admissions = {
        "shop": {"gone": {"address": "127.0.0.1:9", "since": "then"}},
        "old": {"x": {"address": "127.0.0.1:8"}},
    }
    admitted, _ = admit([site(port, path="/healthz")], before, 2)
    assert set(admitted) == {"shop"}
    assert set(admitted["shop"]) == {"app1"}


def test_admissions_are_kept_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "lib" / "pools.json")
    assert read(path) == {}
    write(path, {"shop": {"app1": {"address": "a:1", "since": "now"}}})
    assert read(path) == {"shop": {"app1": {"address": "a:1", "since": "now"}}}
    Path(path).write_text("[]")
    with pytest.raises(ValueError, match="does not hold a JSON object"):
        read(path)
