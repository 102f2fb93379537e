"""Every behaviour is tested over both protocols: a test asks for `client` and runs twice."""

from collections.abc import Callable
from typing import Literal

import pytest

from fuego import Fuego
from fuego.testing import TestClient

Connect = Callable[..., TestClient]


@pytest.fixture
def app() -> Fuego:
    return Fuego(max_body=1000, trusted_proxies="10.0.0.0/8")


@pytest.fixture(params=["wsgi", "asgi"])
def protocol(request: pytest.FixtureRequest) -> Literal["wsgi", "asgi"]:
    protocol: Literal["wsgi", "asgi"] = request.param
    return protocol


@pytest.fixture
def client(app: Fuego, protocol: Literal["wsgi", "asgi"]) -> TestClient:
    return TestClient(app, protocol)
