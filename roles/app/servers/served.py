# Managed by fuego-deploy: edits are lost.
"""`served:app`, in place of the callable: for servers that do not tell the app who the client is,
and for callables that a server cannot find or call itself. It is APP_CALLABLE, which speaks
APP_PROTOCOL.

What a balancer says of the client (X-Forwarded-For, X-Forwarded-Proto) is believed of the addresses
in FORWARDED_ALLOW_IPS alone, `*` for all. Over the uwsgi protocol the client is known without.
"""

import ast
import functools
import importlib
import ipaddress
import multiprocessing
import os
import signal
import sys
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

Asgi = Callable[[Any, Any, Any], Awaitable[None]]
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


@functools.lru_cache(maxsize=1024)
def address(text: str) -> object:
    """The IP address, however it is written; any other text as it stands."""
    try:
        return ipaddress.ip_address(text.strip())
    except ValueError:
        return text.strip()


TRUSTED = {address(name) for name in os.environ.get("FORWARDED_ALLOW_IPS", "").split(",")}


def load(target: str) -> Any:
    """What `module:attribute` names, seen from the app's folder; `module:factory(…)` is called."""
    sys.path.insert(0, os.getcwd())
    module, _, expression = target.partition(":")
    return follow(importlib.import_module(module), ast.parse(expression, mode="eval").body)


def follow(module: Any, node: Any) -> Any:
    """What an expression of names and calls with literals stands for."""
    if isinstance(node, ast.Call):
        words = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
        given = [ast.literal_eval(argument) for argument in node.args]
        return follow(module, node.func)(*given, **words)
    if isinstance(node, ast.Attribute):
        return getattr(follow(module, node.value), node.attr)
    return getattr(module, node.id)


def told(peer: str, forwarded: Mapping[str, str]) -> tuple[str, str]:
    """The client's address and scheme, each empty where the peer says nothing or is no balancer."""
    if "*" not in TRUSTED and address(peer) not in TRUSTED:
        return "", ""
    return forwarded.get("for", "").rpartition(",")[2].strip(), forwarded.get("proto", "")


def asgi_of(app: Asgi) -> Asgi:
    """The ASGI app, told of the client."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        peer = scope.get("client")
        if peer and scope["type"] in ("http", "websocket"):
            headers = dict(scope["headers"])
            prefix = b"x-forwarded-"
            client, scheme = told(
                peer[0],
                {key: headers.get(prefix + key.encode(), b"").decode("latin-1")
                 for key in ("for", "proto")},
            )  # fmt: skip
            if client:
                scope = {**scope, "client": (client, 0)}
            if scheme in ("http", "https"):
                kind = {"http": "ws", "https": "wss"} if scope["type"] == "websocket" else {}
                scope = {**scope, "scheme": kind.get(scheme, scheme)}
        await app(scope, receive, send)

    return asgi


def wsgi_of(app: Wsgi) -> Wsgi:
    """The WSGI app, told of the client."""

    def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if "uwsgi.version" in environ:
            # nginx sends the path decoded and tidied up; the app gets what the client sent.
            path = environ["REQUEST_URI"].partition("?")[0]
            environ["PATH_INFO"] = urllib.parse.unquote_to_bytes(path).decode("latin-1")
            return app(environ, start_response)
        client, scheme = told(
            environ.get("REMOTE_ADDR", ""),
            {key: environ.get(f"HTTP_X_FORWARDED_{key.upper()}", "") for key in ("for", "proto")},
        )
        if client:
            environ["REMOTE_ADDR"] = client
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        return app(environ, start_response)

    return wsgi


if "hypercorn" in sys.modules and multiprocessing.parent_process() is not None:
    # Its main process tells the workers to finish by an event of their own; and once the first has
    # ended, by a signal that would cut off the requests of the others.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

wrap = {"asgi": asgi_of, "wsgi": wsgi_of}[os.environ["APP_PROTOCOL"]]
app = wrap(load(os.environ["APP_CALLABLE"]))
