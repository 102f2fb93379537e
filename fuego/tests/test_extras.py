"""Sessions and templates: what needs a library besides."""

import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest

from fuego import Fuego, Request, Templates
from fuego.errors import MissingExtraError
from fuego.sessions import sessions
from fuego.testing import TestClient

SECRET = "0123456789abcdef"


@pytest.fixture
def counting(app: Fuego) -> Fuego:
    @app.get("/count")
    def count(request: Request) -> dict[str, Any]:
        request.session["n"] = request.session.get("n", 0) + 1
        return request.session

    @app.get("/look")
    def look(request: Request) -> dict[str, Any]:
        return request.session

    @app.get("/clear")
    def clear(request: Request) -> None:
        request.session.clear()

    @app.get("/large")
    def large(request: Request) -> None:
        request.session["x"] = "".join(map(chr, range(33, 2000)))

    return app


def test_sessions(counting: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    counting.middleware(sessions(["older-secret-0000", SECRET], max_age=60))
    assert client.get("/count").json() == {"n": 1}
    response = client.get("/count")
    assert response.json() == {"n": 2}
    assert response.headers["set-cookie"].endswith("Max-Age=60; Path=/; HttpOnly; SameSite=Lax")
    looked = client.get("/look")
    assert looked.json() == {"n": 2}
    assert "set-cookie" not in looked.headers
    assert looked.headers["vary"] == "Cookie"
    client.get("/clear")
    assert client.cookies == {}
    assert client.get("/large").status == 500
    assert "larger than 4096 bytes" in caplog.text
    secure = TestClient(counting, client.protocol, scheme="https")
    assert "; Secure" in secure.get("/count").headers["set-cookie"]


def test_a_session_ends_under_a_name_with_a_prefix(counting: Fuego, client: TestClient) -> None:
    """Browsers keep a `__Host-` cookie unless what deletes it is Secure too."""
    counting.middleware(sessions(SECRET, cookie="__Host-session", secure=True))
    client.get("/count")
    assert "; Secure;" in client.get("/clear").headers["set-cookie"]
    assert not client.cookies


@pytest.mark.parametrize(
    "cookie", ["", "x", "e30.x.y", "eyJuIjo1fQ.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"]
)
def test_a_session_of_somebody_else(counting: Fuego, client: TestClient, cookie: str) -> None:
    counting.middleware(sessions(SECRET, secure=True))
    client.cookies["session"] = cookie
    assert client.get("/look").json() == {}


def test_a_session_that_is_no_object(counting: Fuego, client: TestClient) -> None:
    from itsdangerous import URLSafeTimedSerializer

    counting.middleware(sessions(SECRET))
    signed = URLSafeTimedSerializer(SECRET, salt="fuego.session").dumps([1])
    client.cookies["session"] = signed if isinstance(signed, str) else signed.decode()
    assert client.get("/look").json() == {}


def test_sessions_need_their_middleware_and_a_secret(
    counting: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.get("/look").status == 500
    assert "sessions need app.middleware" in caplog.text
    for secret in ("short", "", [], [SECRET, "short"]):
        with pytest.raises(ValueError, match="at least 16 characters"):
            sessions(secret)


def test_templates(app: Fuego, client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        "<p>{{ name }}</p><a href='{{ url_for('page', name='b') }}'>{{ request.path }}</a>"
    )
    (tmp_path / "broken.html").write_text("{{ nothing }}")
    templates = Templates(tmp_path)

    @app.get("/{name}")
    def page(request: Request, name: str) -> Any:
        return templates.render(request, "page.html", status=201, name=name)

    response = client.get("/%3Cb%3E")
    assert (response.status, response.text) == (
        201,
        "<p>&lt;b&gt;</p><a href='/b'>/&lt;b&gt;</a>",
    )
    with pytest.raises(jinja2.UndefinedError):
        templates.render(Request(), "broken.html")


@pytest.mark.parametrize(
    ("library", "make", "extra"),
    [
        ("itsdangerous", lambda: sessions(SECRET), "sessions"),
        ("jinja2", lambda: Templates("."), "templates"),
    ],
)
def test_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch, library: str, make: Any, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'fuego-web\[{extra}\]'"):
        make()
