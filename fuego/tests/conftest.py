"""Every behaviour is tested over both protocols: a test asks for `client` and runs twice. Every
ASGI message that any app sends is checked against asgiref's types."""

import types
from collections.abc import Iterable, MutableMapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from asgiref import typing as asgi_types

from fuego import Fuego
from fuego import asgi as asgi_module
from fuego.asgi import ASGIApp, Message, Receive, Scope, Send
from fuego.core import Core
from fuego.testing import TestClient

collect_ignore = ["typing_cases"]  # read by mypy, never run

Protocol = Literal["wsgi", "asgi"]

MESSAGES = [
    asgi_types.HTTPResponseStartEvent,
    asgi_types.HTTPResponseBodyEvent,
    asgi_types.WebSocketAcceptEvent,
    asgi_types.WebSocketSendEvent,
    asgi_types.WebSocketCloseEvent,
    asgi_types.WebSocketResponseStartEvent,
    asgi_types.WebSocketResponseBodyEvent,
    asgi_types.LifespanStartupCompleteEvent,
    asgi_types.LifespanStartupFailedEvent,
    asgi_types.LifespanShutdownCompleteEvent,
    asgi_types.LifespanShutdownFailedEvent,
]
HINTS = {get_args(hints["type"])[0]: hints for hints in map(get_type_hints, MESSAGES)}


def fits(value: object, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in args
    if origin in (Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is tuple:
        return isinstance(value, tuple) and all(map(fits, value, args)) and len(value) == len(args)
    if origin is not None:
        assert isinstance(value, Iterable)
        return all(fits(item, args[0]) for item in value)
    return type(value) is hint


def check(message: MutableMapping[str, Any]) -> None:
    hints = HINTS[message["type"]]
    for key, value in message.items():
        assert key in hints, f"{key!r} is no key of {message['type']}"
        assert fits(value, hints[key]), f"{key}: {value!r} is not {hints[key]}"
    assert "status" in message or "status" not in hints


@pytest.fixture(autouse=True)
def _checked_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    adapt = asgi_module.adapt

    def checking(core: Core) -> ASGIApp:
        app = adapt(core)

        async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
            async def checked(message: Message) -> None:
                check(message)
                await send(message)

            await app(scope, receive, checked)

        return asgi

    monkeypatch.setattr(asgi_module, "adapt", checking)


@pytest.fixture
def app() -> Fuego:
    return Fuego(max_body=1000, trusted_proxies="10.0.0.0/8")


@pytest.fixture(params=["wsgi", "asgi"])
def protocol(request: pytest.FixtureRequest) -> Protocol:
    protocol: Protocol = request.param
    return protocol


@pytest.fixture
def client(app: Fuego, protocol: Protocol) -> TestClient:
    return TestClient(app, protocol)
