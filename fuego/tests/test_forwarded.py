"""X-Forwarded-* count when a trusted peer sent them, and are ignored from anybody else."""

import asyncio
from typing import Any, Literal

import pytest

from fuego import Fuego, Request
from fuego.forwarded import TrustedProxies
from fuego.testing import TestClient


def ask(
    protocol: Literal["wsgi", "asgi"],
    trusted: str | None,
    peer: str,
    headers: list[tuple[str, str]],
) -> tuple[str | None, str]:
    app = Fuego(trusted_proxies=trusted)

    @app.get("/")
    def handler(request: Request) -> list[str | None]:
        return [request.client, request.scheme]

    client, scheme = TestClient(app, protocol, client=peer).get("/", headers=headers).json()
    return client, scheme


FORWARDED = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")]


@pytest.mark.parametrize(
    ("trusted", "peer", "expected"),
    [
        ("10.0.0.1", "10.0.0.1", ("203.0.113.9", "https")),
        ("10.0.0.1", "::ffff:10.0.0.1", ("203.0.113.9", "https")),
        ("10.0.0.0/8, fd00::/8", "10.9.9.9", ("203.0.113.9", "https")),
        ("10.0.0.0/8, fd00::/8", "fd00::7", ("203.0.113.9", "https")),
        ("*", "192.0.2.1", ("203.0.113.9", "https")),
        ("*", "", ("203.0.113.9", "https")),
        ("10.0.0.1", "10.0.0.2", ("10.0.0.2", "http")),
        ("10.0.0.1", "", (None, "http")),
        ("", "127.0.0.1", ("127.0.0.1", "http")),
    ],
)
def test_only_a_trusted_peer_is_believed(
    protocol: Literal["wsgi", "asgi"], trusted: str, peer: str, expected: object
) -> None:
    assert ask(protocol, trusted, peer, FORWARDED) == expected


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),  # the first one is the client's own claim
        ("198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("unknown", "10.0.0.1"),
        ("<script>, 10.0.0.2", "10.0.0.2"),
        ("", "10.0.0.1"),
    ],
)
def test_the_walk_ends_at_the_first_hop_that_is_not_trusted(
    protocol: Literal["wsgi", "asgi"], forwarded: str, client: str
) -> None:
    headers = [("X-Forwarded-For", forwarded)]
    assert ask(protocol, "10.0.0.0/8", "10.0.0.1", headers) == (client, "http")


def test_repeated_fields_are_one_list(protocol: Literal["wsgi", "asgi"]) -> None:
    headers = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.9")]
    assert ask(protocol, "10.0.0.1", "10.0.0.1", headers)[0] == "203.0.113.9"


def test_another_scheme_is_ignored(protocol: Literal["wsgi", "asgi"]) -> None:
    assert ask(protocol, "*", "10.0.0.1", [("X-Forwarded-Proto", "gopher")])[1] == "http"


def test_the_environment_names_the_proxies(
    protocol: Literal["wsgi", "asgi"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.0.0.1,10.0.0.2")
    assert ask(protocol, None, "10.0.0.2", FORWARDED) == ("203.0.113.9", "https")
    assert ask(protocol, None, "127.0.0.1", FORWARDED) == ("127.0.0.1", "http")
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    assert ask(protocol, None, "127.0.0.1", FORWARDED) == ("203.0.113.9", "https")


def test_a_wrong_entry_is_named() -> None:
    with pytest.raises(ValueError, match="FORWARDED_ALLOW_IPS: 'lb1' is not an address"):
        TrustedProxies.parse("10.0.0.1, lb1")


@pytest.mark.parametrize("trusted", ["10.0.0.1", "10.0.0.0/8", "*"])
@pytest.mark.parametrize(
    "forwarded", ["203.0.113.9", "10.0.0.9", "198.51.100.1, 203.0.113.9", "10.0.0.5, 10.0.0.1"]
)
def test_after_uvicorn_rewrote_the_client_nothing_changes(trusted: str, forwarded: str) -> None:
    proxy_headers = pytest.importorskip("uvicorn.middleware.proxy_headers")
    app = Fuego(trusted_proxies=trusted)
    seen: list[Any] = []

    async def rewritten(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["client"][0])
        await app.asgi(scope, receive, send)

    @app.get("/")
    async def handler(request: Request) -> None:
        seen.append(request.client)

    async def main() -> None:
        async def receive() -> Any:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            pass

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(b"x-forwarded-for", forwarded.encode())],
            "client": ("10.0.0.1", 5),
        }
        await proxy_headers.ProxyHeadersMiddleware(rewritten, trusted)(scope, receive, send)

    asyncio.run(main())
    assert seen[0] == seen[1]
