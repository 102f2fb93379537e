"""served.py: an app that is told of the client by addresses that are trusted, and by no other."""

import asyncio
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tree import ROOT

PROGRAM = ROOT / "roles" / "app" / "servers" / "served.py"
SHOP = """
class Shop:
    def wsgi(self, environ, start_response):
        return environ

    async def asgi(self, scope, receive, send):
        await send(scope)

shop = Shop()
"""


@pytest.fixture(autouse=True)
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The app's folder, as the service's working directory."""
    (tmp_path / "shopfront.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("shopfront", None)


def served(monkeypatch: pytest.MonkeyPatch, protocol: str, trusted: str = "10.0.0.1") -> Any:
    monkeypatch.setenv("APP_CALLABLE", f"shopfront:shop.{protocol}")
    monkeypatch.setenv("APP_PROTOCOL", protocol)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)
    return runpy.run_path(str(PROGRAM))["app"]


def asgi(app: Any, **scope: Any) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", b"6.6.6.6, 9.9.9.9"), (b"x-forwarded-proto", b"https")]
    seen: list[dict[str, Any]] = []

    async def send(found: dict[str, Any]) -> None:
        seen.append(found)

    given = {"type": "http", "scheme": "http", "client": ("10.0.0.1", 5), "headers": headers}
    asyncio.run(app({**given, **scope}, None, send))
    return seen[0]


def test_asgi_is_told_of_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    app = served(monkeypatch, "asgi")
    found = asgi(app)
    assert (found["client"], found["scheme"]) == (("9.9.9.9", 0), "https")
    assert asgi(app, type="websocket", scheme="ws")["scheme"] == "wss"
    assert asgi(app, headers=[])["client"] == ("10.0.0.1", 5)
    assert asgi(app, headers=[(b"x-forwarded-proto", b"gopher")])["scheme"] == "http"


@pytest.mark.parametrize("client", [("10.0.0.2", 5), None])
def test_asgi_believes_nobody_else(monkeypatch: pytest.MonkeyPatch, client: Any) -> None:
    found = asgi(served(monkeypatch, "asgi", "10.0.0.1, 10.0.0.3"), client=client)
    assert (found["client"], found["scheme"]) == (client, "http")


def test_lifespan_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    scope: dict[str, Any] = {"type": "lifespan", "scheme": "none", "client": None, "headers": []}
    assert asgi(served(monkeypatch, "asgi"), **scope)["type"] == "lifespan"


def test_everybody_is_believed_where_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asgi(served(monkeypatch, "asgi", "*"), client=("1.2.3.4", 5))["scheme"] == "https"


@pytest.mark.parametrize(
    ("peer", "client", "scheme"),
    [("10.0.0.1", "9.9.9.9", "https"), ("10.0.0.2", "10.0.0.2", "http")],
)
def test_wsgi(monkeypatch: pytest.MonkeyPatch, peer: str, client: str, scheme: str) -> None:
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": "9.9.9.9",
               "HTTP_X_FORWARDED_PROTO": "https", "wsgi.url_scheme": "http"}  # fmt: skip
    found = served(monkeypatch, "wsgi")(environ, None)
    assert (found["REMOTE_ADDR"], found["wsgi.url_scheme"]) == (client, scheme)


def test_path_over_uwsgi_is_what_the_client_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"uwsgi.version": b"2", "REQUEST_URI": "/a//b%2Fc%C3%BC?d=%20", "PATH_INFO": "/a/b/c"}
    found = served(monkeypatch, "wsgi")(environ, None)
    assert found["PATH_INFO"].encode("latin-1").decode() == "/a//b/cü"


def test_a_factory_is_called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = "def make(name, *, count=1):\n    return lambda environ, start: (name, count)\n"
    (tmp_path / "shopfront.py").write_text(program)
    monkeypatch.setenv("APP_CALLABLE", "shopfront:make('a, b', count=2)")
    monkeypatch.setenv("APP_PROTOCOL", "wsgi")
    assert runpy.run_path(str(PROGRAM))["app"]({}, None) == ("a, b", 2)


def test_an_address_is_known_however_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    app = served(monkeypatch, "asgi", "FD00:0::1")
    assert asgi(app, client=("fd00::1", 5))["scheme"] == "https"
