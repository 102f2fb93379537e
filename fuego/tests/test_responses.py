"""Response headers, cookies, redirects and JSON."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import pytest

import fuego
from fuego import Fuego, JSONResponse, RedirectResponse, Request, Response
from fuego import response as response_module
from fuego.headers import ResponseHeaders
from fuego.testing import TestClient


def test_headers() -> None:
    headers = Response("", headers={"X-A": "1"}).headers
    headers["x-b"] = "2"
    headers.add("X-B", "3")
    assert (headers["X-B"], headers.getlist("x-b")) == ("2, 3", ["2", "3"])
    assert (list(headers), len(headers)) == (["x-a", "content-type", "x-b"], 3)
    headers["x-b"] = "4"
    assert headers.getlist("x-b") == ["4"]
    del headers["X-B"]
    assert "x-b" not in headers
    for operation in (headers.__getitem__, headers.__delitem__):
        with pytest.raises(KeyError):
            operation("x-b")
    headers.vary("Accept")
    headers.vary("accept")
    assert headers["vary"] == "Accept"
    assert repr(ResponseHeaders([("a", "b")])) == "ResponseHeaders([('a', 'b')])"
    assert repr(JSONResponse({})) == "<JSONResponse 200>"


def test_cookies_go_and_come(app: Fuego, client: TestClient) -> None:
    @app.get("/set")
    def set_cookie(request: Request) -> Response:
        response = Response("")
        response.set_cookie("a", "1", max_age=9, expires=0, domain="testserver", secure=True)
        response.set_cookie("b", "2", path=None, http_only=False, same_site=None, partitioned=True)
        return response

    @app.get("/delete")
    def delete_cookie(request: Request) -> Response:
        response = Response("")
        response.delete_cookie("a")
        return response

    @app.get("/get")
    def cookies(request: Request) -> dict[str, str]:
        assert request.cookies is request.cookies
        return request.cookies

    assert client.get("/set").headers.getlist("set-cookie") == [
        "a=1; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Domain=testserver; "
        "Secure; HttpOnly; SameSite=Lax",
        "b=2; Partitioned",
    ]
    assert client.get("/get").json() == {"a": "1", "b": "2"}
    client.get("/delete")
    assert client.get("/get").json() == {"b": "2"}
    assert client.get("/get", headers={"Cookie": 'x="y z"; =v; w; bad name=1'}).json() == {
        "x": "y z"
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "a b"}, "is not a name for a cookie"),
        ({"name": "a", "value": "b;c"}, "needs encoding"),
        ({"name": "a", "path": "/;x"}, "Path cannot be"),
        ({"name": "a", "domain": "a\nb"}, "Domain cannot be"),
        ({"name": "a", "same_site": "none"}, "only with secure=True"),
    ],
)
def test_cookies_that_cannot_be_set(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Response("").set_cookie(**arguments)


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/a?b=c#d", "/a?b=c#d"),
        ("https://example.com/é", "https://example.com/%C3%A9"),
        ("/a\r\nSet-Cookie: b", "/a%0D%0ASet-Cookie:%20b"),
        ("/%41", "/%41"),
    ],
)
def test_redirects(app: Fuego, client: TestClient, location: str, sent: str) -> None:
    app.get("/")(lambda request: RedirectResponse(location, 307))
    response = client.get("/")
    assert (response.status, response.headers["location"]) == (307, sent)
    assert RedirectResponse("/").status == 303
    with pytest.raises(ValueError, match="is not a redirect"):
        RedirectResponse("/", 200)


def test_json_of_more_kinds() -> None:
    @dataclass
    class Point:
        x: int

    value = [Point(1), date(2020, 1, 2), UUID(int=0)]
    assert JSONResponse(value).body == (
        b'[{"x":1},"2020-01-02","00000000-0000-0000-0000-000000000000"]'
    )
    for wrong in (object(), Point):
        with pytest.raises(TypeError, match="has no form in JSON"):
            JSONResponse(wrong)


def test_json_is_the_same_without_the_fast_encoder() -> None:
    value = {"a": [1, 2.5, None, True, "é\ud800", {"b": date(2020, 1, 2)}], "1": {}}
    encode = response_module._encoder(None)
    assert encode(value) == response_module.encode_json(value)
    for encoder in (encode, response_module.encode_json):
        with pytest.raises(ValueError, match="Out of range"):
            encoder(float("inf"))
    circular: list[Any] = []
    circular.append(circular)
    with pytest.raises(RecursionError):
        response_module.encode_json(circular)


def test_text_of_a_request(app: Fuego, client: TestClient) -> None:
    app.post("/")(lambda request: request.text)
    assert client.post("/", body="é".encode()).text == "é"
    assert client.post("/", body=b"\xff").status == 400


@pytest.mark.parametrize(
    ("target", "raw"), [("/caf%C3%A9%2Fb?x=1", "/caf%C3%A9%2Fb"), ("/a", "/a")]
)
def test_raw_path(app: Fuego, client: TestClient, target: str, raw: str) -> None:
    @app.get("/{rest:path}")
    def handler(request: Request, rest: str) -> dict[str, Any]:
        return {"raw": request.raw_path, "query": request.query_string, "root": request.app is app}

    assert client.get(target).json()["raw"] == raw
    assert client.get(target).json()["root"]


def test_raw_path_where_the_server_does_not_tell(app: Fuego) -> None:
    from fuego.asgi import ASGIRequest
    from fuego.wsgi import WSGIRequest

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a b", "RAW_URI": "http://h/x"}
    scope: dict[str, Any] = {"method": "GET", "path": "/a b", "raw_path": None}
    assert WSGIRequest(environ, app._core).raw_path == "/a%20b"
    assert ASGIRequest(scope, None, app._core).raw_path == "/a%20b"  # type: ignore[arg-type]


def test_what_is_loaded_later() -> None:
    assert fuego.FileResponse.__module__ == "fuego.files"
    assert all(hasattr(fuego, name) for name in fuego.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = fuego.nothing
