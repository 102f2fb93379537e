"""Error handlers, the bodies of errors, the development page."""

from typing import Any

import pytest

from fuego import Fuego, HTTPError, Request
from fuego.testing import TestClient


class OwnError(Exception):
    pass


class NarrowError(OwnError):
    pass


@pytest.fixture(autouse=True)
def raising(app: Fuego) -> None:
    errors: dict[str, Exception] = {
        "own": OwnError("own"),
        "narrow": NarrowError("narrow"),
        "value": ValueError("<secret>"),
        "teapot": HTTPError(418, "short & <stout>"),
    }

    @app.get("/{name}")
    def handler(request: Request, name: str) -> None:
        raise errors[name]


def test_handlers_by_type_and_status(
    app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.error(OwnError)
    def own(request: Request, error: OwnError) -> dict[str, str]:
        return {"own": str(error)}

    @app.error(404)
    async def missing(request: Request, error: HTTPError) -> str:
        return f"nothing at {request.path}"

    @app.error(500)
    def broken(request: Request, error: Exception) -> tuple[int]:
        raise RuntimeError("the handler's own fault")

    @app.error(HTTPError)
    def other(request: Request, error: HTTPError) -> str:
        return f"other {error.status}"

    assert client.get("/own").json() == {"own": "own"}
    assert client.get("/narrow").json() == {"own": "narrow"}
    assert client.get("/a/b").text == "nothing at /a/b"
    assert client.get("/teapot").text == "other 418"
    assert client.get("/value").json() == {"status": 500, "error": "Internal Server Error"}
    assert "the handler's own fault" in caplog.text
    assert "<secret>" in caplog.text


def test_without_a_handler_that_fits(
    app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    app.error(403)(lambda request, error: "never")
    assert client.get("/value").status == 500


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,*/*;q=0.8", True),
        ("text/html;q=0.5, application/json", False),
        ("application/json;q=0.5, text/html", True),
        ("text/html;q=0", False),
        ("application/json", False),
        (";;,,q=", False),
    ],
)
def test_the_body_is_what_the_client_accepts(client: TestClient, accept: str, html: bool) -> None:
    response = client.get("/teapot", headers={"Accept": accept})
    assert (response.status, response.headers["vary"]) == (418, "Accept")
    if html:
        assert response.headers["content-type"].startswith("text/html")
        assert "short &amp; &lt;stout&gt;" in response.text
    else:
        assert response.json() == {"status": 418, "error": "short & <stout>"}


def test_the_development_page(
    app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    browser = {"Accept": "text/html"}
    assert "secret" not in client.get("/value", headers=browser).text
    assert not app.debug
    app._core.debug = True
    assert app.debug
    page = client.get("/value", headers=browser).text
    assert "Traceback" in page
    assert "ValueError: &lt;secret&gt;" in page
    assert client.get("/value").json()["trace"][0].startswith("Traceback")
    assert "Traceback" not in client.get("/teapot", headers=browser).text


@pytest.mark.parametrize("count", [101, 400])
def test_too_many_headers(client: TestClient, count: int) -> None:
    headers: Any = [(f"X-{number}", "v") for number in range(count)]
    app_headers = {"Accept": "text/html"}
    assert client.get("/own", headers=[*headers, *app_headers.items()]).status >= 400


def test_header_limits(app: Fuego, client: TestClient) -> None:
    @app.get("/x/headers")
    def handler(request: Request) -> None:
        assert request.headers

    app.get("/x/plain")(lambda request: "plain")
    many = [(f"X-{number}", "v") for number in range(400)]
    assert client.get("/x/plain", headers=many).status == 400
    assert client.get("/x/headers", headers=many[:101]).status == 400
    assert client.get("/x/headers", headers={"X": "v" * 70_000}).status == 400
    assert client.get("/x/headers", headers={"X": "v" * 7_000}).status == 204
