import json
from typing import Any

import pytest

from fuego import Fuego, HTTPError, MultiDict, Request
from fuego.testing import TestClient


@pytest.fixture(autouse=True)
def echo(app: Fuego) -> None:
    @app.route("/echo", methods=("GET", "POST"))
    def handler(request: Request) -> dict[str, Any]:
        return {
            "query": request.query.pairs(),
            "first": request.query.get("a"),
            "header": request.headers.get("x-multi"),
            "type": request.headers.get("Content-Type"),
            "body": request.body.decode("latin-1"),
            "host": request.headers["host"],
            "protocol": request.protocol,
            "repr": repr(request),
        }

    @app.post("/json")
    def as_json(request: Request) -> dict[str, Any]:
        return {"got": request.json()}

    @app.get("/peer")
    async def peer(request: Request) -> dict[str, Any]:
        return {"client": request.client, "scheme": request.scheme, "id": request.id}


def test_query(client: TestClient) -> None:
    got = client.get("/echo?a=1&b=%C3%A9+x&a=2&empty=&bad=%FF").json()
    assert got["first"] == "1"
    assert got["query"] == [["a", "1"], ["a", "2"], ["b", "é x"], ["empty", ""], ["bad", "\ufffd"]]


def test_too_many_query_fields(client: TestClient) -> None:
    assert client.get("/echo?" + "a=1&" * 2000).status == 400


def test_headers(client: TestClient) -> None:
    pairs = [("X-Multi", "1"), ("x-multi", "2"), ("Content-Type", "a/b"), ("Host", "h")]
    got = client.get("/echo", headers=pairs).json()
    assert got["header"].replace(" ", "") == "1,2"
    assert got["type"] == "a/b"
    assert got["host"] == "h"
    assert got["protocol"] == client.protocol
    assert got["repr"].endswith("Request GET '/echo'>")


def test_body(client: TestClient) -> None:
    assert client.post("/echo", body=b"\x00\xff" * 400).json()["body"] == "\x00ÿ" * 400


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None]}, "x", 0])
def test_json(client: TestClient, value: object) -> None:
    assert client.post("/json", json=value).json() == {"got": value}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"NaN", b"[1e999]", b"[" * 1000, b"9" * 999, b'{"a":1}x']
)
def test_bad_json_is_400(client: TestClient, body: bytes) -> None:
    response = client.post("/json", body=body)
    # 999 digits are a valid number; deep nesting is up to the parser of this Python.
    assert response.status == 400 or json.loads(body)
    assert response.status < 500


@pytest.mark.parametrize(
    ("length", "status"),
    [("1x", 400), ("-1", 400), ("٣", 400), ("1001", 413), ("9" * 5000, 413), ("1000", 200)],
)
def test_content_length(client: TestClient, length: str, status: int) -> None:
    header = length.encode().decode("latin-1")
    response = client.post("/echo", body=b"x" * 1000, headers={"Content-Length": header})
    assert response.status == status


@pytest.mark.parametrize(("size", "status"), [(1000, 200), (1001, 413)])
def test_chunked_body(client: TestClient, size: int, status: int) -> None:
    response = client.post("/echo", body=b"x" * size, headers={"Transfer-Encoding": "chunked"})
    assert response.status == status


def test_an_unknown_path_does_not_read_the_body(client: TestClient) -> None:
    assert client.post("/none", body=b"x" * 2000).status == 404


@pytest.mark.parametrize("given", ["5f0c-2b", "a" * 128])
def test_request_id_is_taken_over(client: TestClient, given: str) -> None:
    assert client.get("/peer", headers={"X-Request-ID": given}).json()["id"] == given


@pytest.mark.parametrize("given", ["", "a b", 'x","y":"', "a" * 129, "é"])
def test_request_id_unfit_for_a_log_is_replaced(client: TestClient, given: str) -> None:
    headers = {"X-Request-ID": given.encode().decode("latin-1")}
    assert len(client.get("/peer", headers=headers).json()["id"]) == 32
    assert client.get("/peer").json()["id"] != client.get("/peer").json()["id"]


def test_multidict() -> None:
    values = MultiDict([("a", "1"), ("b", "2"), ("a", "3")])
    assert (values["a"], values.getlist("a"), values.getlist("c")) == ("1", ["1", "3"], [])
    assert (list(values), len(values), "b" in values, "c" in values) == (["a", "b"], 2, True, False)
    assert repr(values) == "MultiDict([('a', '1'), ('a', '3'), ('b', '2')])"


def test_a_request_needs_a_protocol() -> None:
    for ask in (lambda: Request().raw_path, lambda: Request().query):
        with pytest.raises(NotImplementedError):
            ask()


def test_http_error_is_an_exception_with_words() -> None:
    assert str(HTTPError(404)) == "404 Not Found"
