from typing import Any

import pytest

from fuego import Fuego, Request, TextResponse
from fuego.testing import TestClient


def named(name: str) -> Any:
    def handler(request: Request, **params: object) -> TextResponse:
        return TextResponse(f"{name} {params}" if params else name)

    return handler


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/", "root"),
        ("/items/new", "new"),
        ("/items/7", "int {'id': 7}"),
        ("/items/007", "int {'id': 7}"),
        ("/items/seven", "str {'name': 'seven'}"),
        ("/items/caf%C3%A9", "str {'name': 'café'}"),
        ("/items/%FF", "str {'name': '\ufffd'}"),
        ("/items/" + "9" * 5000, "str {'name': '" + "9" * 5000 + "'}"),
        ("/items/%D9%A7", "str {'name': '\u0667'}"),  # a digit, but not of ASCII
        ("/a/x/b", "literal tail {'one': 'x'}"),
        ("/a/x/y", "two {'one': 'x', 'two': 'y'}"),
        ("/v1.2/notes.txt", "mixed {'major': 1, 'minor': 2, 'stem': 'notes'}"),
    ],
)
def test_the_narrowest_route_wins(
    app: Fuego, client: TestClient, target: str, expected: str
) -> None:
    app.get("/items/{name}")(named("str"))
    app.get("/items/{id:int}")(named("int"))
    app.get("/items/new")(named("new"))
    app.get("/a/{one}/{two}")(named("two"))
    app.get("/a/{one}/b")(named("literal tail"))
    app.get("/v{major:int}.{minor:int}/{stem}.txt")(named("mixed"))
    app.get("/")(named("root"))
    assert client.get(target).text == expected


@pytest.mark.parametrize("target", ["/items", "/items/", "/items/a/b", "/x/items/a", "//items/a"])
def test_404(app: Fuego, client: TestClient, target: str) -> None:
    app.get("/items/{name}")(named("str"))
    response = client.get(target)
    assert response.json() == {"status": 404, "error": "Not Found"}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_each_method_has_a_decorator(app: Fuego, client: TestClient, method: str) -> None:
    getattr(app, method.lower())("/")(named(method))
    response = getattr(client, method.lower())("/")
    assert response.status == 200
    assert response.headers["content-length"] == str(len(method))
    assert response.text == ("" if method == "HEAD" else method)


def test_one_handler_for_several_methods(app: Fuego, client: TestClient) -> None:
    handler = app.route("/", methods=["get", "post"])(named("both"))
    assert handler(None).body == b"both"  # the decorator gives the handler back
    assert client.get("/").text == client.post("/").text == "both"


def test_head_and_options_come_by_themselves(app: Fuego, client: TestClient) -> None:
    app.get("/")(named("root"))
    head = client.head("/")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "4")
    options = client.options("/")
    assert (options.status, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert client.options("/none").status == 404


def test_405_allows_what_any_route_of_the_path_does(app: Fuego, client: TestClient) -> None:
    app.post("/items/new")(named("new"))
    app.delete("/items/{name}")(named("delete"))
    app.put("/items/{id:int}")(named("put"))
    response = client.get("/items/new")
    assert (response.status, response.headers["allow"]) == (405, "DELETE, OPTIONS, POST")
    assert client.get("/items/1").headers["allow"] == "DELETE, OPTIONS, PUT"
    assert client.request("BREW", "/items/1").status == 405
    # A narrower route of another method does not hide the one that serves this method.
    assert client.delete("/items/new").text == "delete {'name': 'new'}"
    assert client.delete("/items/1").text == "delete {'name': '1'}"


def test_names_may_differ_between_methods(app: Fuego, client: TestClient) -> None:
    app.get("/{a}")(named("get"))
    app.post("/{b}")(named("post"))
    assert client.get("/1").text == "get {'a': '1'}"
    assert client.post("/1").text == "post {'b': '1'}"


@pytest.mark.parametrize(
    ("first", "second"), [("/a", "/a"), ("/{a}", "/{b}"), ("/{a:int}/x", "/{b:int}/x")]
)
def test_conflicts_name_both_places(app: Fuego, first: str, second: str) -> None:
    app.get(first)(named("one"))
    with pytest.raises(ValueError, match=r"already served by") as caught:
        app.route(second, methods=("POST", "GET"))(named("two"))
    assert str(caught.value).count("test_routing.py:") == 2
    # Nothing of a refused registration stays.
    app.post(second)(named("three"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("items", "must start with /"),
        ("", "must start with /"),
        ("/{a", "a brace without its partner"),
        ("/a}", "a brace without its partner"),
        ("/{}", "'' is not a name"),
        ("/{a b}", "'a b' is not a name"),
        ("/{a}/{a}", "two parameters named 'a'"),
        ("/{a:integer}", "'integer' is not one of float, int, path, str, uuid"),
    ],
)
def test_bad_paths_are_refused(app: Fuego, path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        app.get(path)(named("bad"))


def test_handlers_that_cannot_be_called_are_refused(app: Fuego) -> None:
    def handler(request: Request, id: int) -> None: ...

    with pytest.raises(ValueError, match=r"with \(request, key\): .*argument: 'id'") as caught:
        app.get("/{key}")(handler)
    assert "test_routing.py:" in str(caught.value)
    with pytest.raises(ValueError, match="needs at least one method"):
        app.route("/", methods=())(named("never"))


def test_callable_objects_are_handlers(app: Fuego, client: TestClient) -> None:
    class Plain:
        def __call__(self, request: Request) -> str:
            return "plain"

    class Async:
        async def __call__(self, request: Request) -> str:
            return "async"

    app.get("/plain")(Plain())
    app.get("/async")(Async())
    assert client.get("/plain").text == "plain"
    assert client.get("/async").text == "async"
    with pytest.raises(ValueError, match="Plain object"):
        app.get("/plain")(Plain())
