"""Converters, url_for, groups: what `test_routing` does not cover."""

from typing import Any
from uuid import UUID

import pytest

from fuego import Fuego, Group, Request
from fuego.testing import TestClient

ID = "12345678-1234-5678-1234-567812345678"


def values(request: Request, **params: Any) -> dict[str, str]:
    return {name: f"{type(value).__name__} {value}" for name, value in params.items()}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/n/7", {"n": "int 7"}),
        ("/n/-7.5", {"x": "float -7.5"}),
        (f"/n/{ID}", {"u": f"UUID {ID}"}),
        ("/n/text", {"s": "str text"}),
        ("/n/a/b//c", {"rest": "str a/b//c"}),
        ("/n/a%0Ab/c", {"rest": "str a\nb/c"}),
        ("/files/a/b/raw", {"rest": "str a/b"}),
        ("/even/4", {"n": "int 4"}),
    ],
)
def test_converters(app: Fuego, client: TestClient, target: str, expected: object) -> None:
    def even(text: str) -> int:
        if int(text) % 2:
            raise ValueError(text)
        return int(text)

    app.converter("even", "[0-9]+", even, str)
    for path in ("{rest:path}", "{s}", "{u:uuid}", "{x:float}", "{n:int}"):
        app.get(f"/n/{path}")(values)
    app.get("/files/{rest:path}/raw")(values)
    app.get("/even/{n:even}")(values)
    assert client.get(target).json() == expected
    assert client.get("/even/3").status == 404
    assert client.get("/files/a/b/cooked").status == 404
    with pytest.raises(ValueError, match="write groups as"):
        app.converter("bad", "(a)")


def test_a_path_parameter_has_its_own_methods(app: Fuego, client: TestClient) -> None:
    app.get("/a/{rest:path}")(values)
    app.post("/a/{rest:path}/x")(values)
    assert client.post("/a/b/x").json() == {"rest": "str b"}
    assert client.post("/a/b").headers["allow"] == "GET, HEAD, OPTIONS"


def test_url_for(app: Fuego, client: TestClient) -> None:
    app.get("/items/{id:int}", name="item")(values)
    app.get("/u/{u:uuid}/{rest:path}", name="u")(values)
    app.get("/é/{name}", name="text")(values)

    @app.get("/here")
    def here(request: Request) -> str:
        return request.url_for("item", id=7)

    assert app.url_for("item", id=7) == client.get("/here").text == "/items/7"
    assert app.url_for("item", id=7, q=["a b", 2]) == "/items/7?q=a+b&q=2"
    assert app.url_for("u", u=UUID(ID), rest="a/b c") == f"/u/{ID}/a/b%20c"
    assert app.url_for("text", name="a?b%") == "/%C3%A9/a%3Fb%25"
    assert client.get(app.url_for("text", name="a?b%")).json() == {"name": "str a?b%"}
    for name, params, message in [
        ("item", {}, "needs 'id'"),
        ("item", {"id": "x"}, "'x' is no int"),
        ("text", {"name": "a/b"}, "'a/b' is no str"),
    ]:
        with pytest.raises(ValueError, match=message):
            app.url_for(name, **params)
    with pytest.raises(LookupError, match="no route has that name"):
        app.url_for("none")
    app.get("/other", name="item")(values)
    with pytest.raises(LookupError, match=r"/items/\{id:int\}, /other has that name"):
        app.url_for("item", id=7)


def test_groups(app: Fuego, client: TestClient) -> None:
    def level(name: str) -> Any:
        def middleware(request: Request, call_next: Any) -> Any:
            response = call_next(request)
            response.headers.add("x-level", name)
            return response

        return middleware

    api = app.group("/api/", middleware=[level("outer")])
    inner = api.group("/v1", middleware=[level("inner")])
    plain = app.group()
    assert isinstance(inner, Group)
    inner.get("/items/{id:int}")(values)
    api.post("/x")(values)
    plain.get("/x")(values)
    response = client.get("/api/v1/items/7")
    assert (response.json(), response.headers.getlist("x-level")) == (
        {"id": "int 7"},
        ["inner", "outer"],
    )
    assert client.post("/api/x").headers.getlist("x-level") == ["outer"]
    assert "x-level" not in client.get("/x").headers
    assert client.get("/api/none").status == 404
    assert app.routes()[0] == ("GET", "/api/v1/items/{id:int}", "values")


def test_errors_within_a_group_are_seen_by_its_middleware(
    app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    seen = []

    def middleware(request: Request) -> Any:
        response = yield
        seen.append(response.status)

    @app.group("/g", middleware=[middleware]).get("/")
    def broken(request: Request) -> None:
        raise RuntimeError("broken")

    assert client.get("/g/").status == 500
    assert seen == [500]
