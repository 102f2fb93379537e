"""The uwsgi protocol, from nginx to an app and from the health gate to it."""

import json
from http.client import HTTPConnection
from typing import Any

import pytest
import uwsgi
from fuego_deploy import health
from nginx_tree import Tree, render


@pytest.fixture
def front(tree: Tree, request: pytest.FixtureRequest) -> Tree:
    """A site whose one member speaks uwsgi."""
    port = request.getfixturevalue("app")
    member = {"name": "app1", "address": "127.0.0.1", "port": port, "admitted": True}
    site = {"name": "shop", "domains": ["shop.example"], "port": port, "members": [member],
            "upstream_protocol": "uwsgi"}  # fmt: skip
    files = render([site], nginx_http_port=tree.port)
    tree.write({name: tree.here(text) for name, text in files.items()})
    tree.start()
    return tree


@pytest.fixture
def app() -> Any:
    """The port of an app."""
    with uwsgi.running() as port:
        yield port


def variables(front: Tree, path: str = "/", **headers: str) -> dict[str, str]:
    """What the app was sent for a request."""
    connection = HTTPConnection("127.0.0.1", front.port, timeout=5)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", path, headers={"Host": "shop.example:8080", **given})
    response = connection.getresponse()
    found: dict[str, str] = json.loads(response.read())
    assert response.headers.get_all("X-Request-ID") == [found["HTTP_X_REQUEST_ID"]]
    connection.close()
    return found


def test_the_app_is_told_of_the_client(front: Tree) -> None:
    found = variables(front, "/a?b=%2F", X_Own="kept")
    assert (found["REQUEST_METHOD"], found["REQUEST_URI"]) == ("GET", "/a?b=%2F")
    assert (found["REMOTE_ADDR"], found["HTTP_X_FORWARDED_FOR"]) == ("127.0.0.1", "127.0.0.1")
    assert (found["HTTP_HOST"], found["SERVER_PORT"]) == ("shop.example:8080", "8080")
    assert (found["HTTP_X_FORWARDED_PROTO"], found["HTTP_X_OWN"]) == ("http", "kept")
    assert "HTTPS" not in found


def test_what_a_client_claims_is_dropped(front: Tree) -> None:
    names = (
        "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
        "X-Forwarded-Ssl", "X-Forwarded-Protocol", "X-Forwarded-Prefix", "X-Forwarded-Server",
        "X-Real-IP", "X-Request-ID", "X-Load-Balancer", "Forwarded", "Proxy",
    )  # fmt: skip
    found = variables(front, **dict.fromkeys(names, "forged"))
    assert "forged" not in found.values()


@pytest.mark.parametrize("path", ["/", "/a?b=1", "/%C3%BC"])
def test_the_health_gate_asks_over_it(app: int, path: str) -> None:
    headers = {"Host": "shop.example", "X-Forwarded-Proto": "https"}
    gate = health.Gate("127.0.0.1", app, path, headers, (), 5, protocol="uwsgi")
    answer = health.ask(gate, 5)
    assert answer.status == 200
    found = json.loads(answer.text)
    assert found["REQUEST_URI"] == path
    assert (found["HTTP_HOST"], found["HTTPS"]) == ("shop.example", "on")


def test_the_health_gate_reads_status_and_silence(app: int) -> None:
    gate = health.Gate("127.0.0.1", app, "/missing", {}, (), 5, protocol="uwsgi")
    assert health.ask(gate, 5).status == 404
    nobody = health.Gate("127.0.0.1", 1, "/", {}, (), 5, protocol="uwsgi")
    assert health.ask(nobody, 1).status is None
