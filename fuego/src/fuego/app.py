"""The application: what handlers are registered on and servers are given."""

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from . import asgi, wsgi
from .core import Core, ErrorKey, Observer
from .forwarded import TrustedProxies
from .lifecycle import Hook, health_handler, watch_sigterm
from .multidict import MultiDict
from .pattern import CONVERTERS, Converter
from .registry import Registry
from .routing import is_async

F = TypeVar("F", bound=Callable[..., Any])
O = TypeVar("O", bound=Observer)  # noqa: E741


class Fuego(Registry):
    """`wsgi` and `asgi` serve the same routes, and may do so in one process.

    `max_body` is in bytes; a larger body is answered with 413. More headers than `max_headers`,
    or longer ones than `max_header_bytes` in all, are answered with 400. `trusted_proxies` lists
    the addresses and networks whose X-Forwarded-* headers count, in place of the environment's
    FORWARDED_ALLOW_IPS. `state` is the app's own to fill.
    """

    def __init__(
        self,
        *,
        max_body: int = 16 * 1024 * 1024,
        max_headers: int = 100,
        max_header_bytes: int = 64 * 1024,
        trusted_proxies: str | None = None,
    ) -> None:
        trusted = TrustedProxies.parse(trusted_proxies)
        self._core = Core(self, max_body, max_headers, max_header_bytes, trusted)
        self._converters = dict(CONVERTERS)
        self.state = SimpleNamespace()
        self.wsgi: wsgi.WSGIApp = wsgi.adapt(self._core)
        self.asgi: asgi.ASGIApp = asgi.adapt(self._core)

    @property
    def debug(self) -> bool:
        """Whether an error's trace is shown to the client. `run` sets it; nothing else does."""
        return self._core.debug

    @property
    def stopping(self) -> bool:
        """Whether the server was told to end: for what else would go on for long."""
        return self._core.lifecycle.stopping

    def converter(
        self,
        name: str,
        regex: str,
        convert: Callable[[str], Any] = str,
        format: Callable[[Any], str] = str,
    ) -> None:
        """Adds a kind of parameter, for routes registered from here on. `convert` may raise
        ValueError: no match. `format` is its inverse, for `url_for`."""
        import re

        if re.compile(regex).groups:
            raise ValueError(f"converter {name!r}: write groups as (?:…) in {regex!r}")
        self._converters[name] = Converter(regex, convert, format)

    def url_for(self, name: str, /, **values: Any) -> str:
        """The path of a route, by its name. What is no parameter of it becomes the query.

        Under a mount the prefix is not part of it.
        """
        found = [
            route.pattern
            for route in self._core.router.routes
            if any(endpoint.name == name for endpoint in route.endpoints.values())
        ]
        if len(found) != 1:
            paths = ", ".join(pattern.path for pattern in found) or "no route"
            raise LookupError(f"url for {name!r}: {paths} has that name; give one with name=")
        [pattern] = found
        query = {key: value for key, value in values.items() if key not in pattern.names}
        return pattern.build(values) + (f"?{urlencode(query, doseq=True)}" if query else "")

    def routes(self) -> list[tuple[str, str, str]]:
        """Methods, path and handler's name, in the order they were registered."""
        rows = []
        for route in self._core.router.routes:
            methods = MultiDict((found.name, method) for method, found in route.endpoints.items())
            for name in methods:
                rows.append((", ".join(methods.getlist(name)), route.pattern.path, name))
        return rows

    def middleware(self, function: F) -> F:
        """Puts a level around everything so far, errors included; the last added is the
        outermost. It is `(request, call_next)`, sync or async, and returns what a handler may;
        `call_next(request)` is the response within (await it in an async one). A generator
        of `(request)` that yields once and gets the response does the same without the thread
        that a sync one costs under ASGI.
        """
        self._core.entry = self._core.wrap(function, self._core.entry)
        return function

    def error(self, key: ErrorKey) -> Callable[[F], F]:
        """Registers what answers for a status or a type of exception: `(request, error)`."""

        def register(handler: F) -> F:
            self._core.error_handlers[key] = handler, is_async(handler)
            return handler

        return register

    def observe(self, observer: O) -> O:
        """Registers what is told of every request once its response is known, errors included:
        the request, the response and the seconds it took. It must be quick and cannot change
        the response."""
        self._core.observers.append(observer)
        return observer

    def on_startup(self, hook: F) -> F:
        """Called before the first request, in each worker; sync or async."""
        self._core.lifecycle.startup_hooks.append(hook)
        return hook

    def on_shutdown(self, hook: F) -> F:
        """Called at the end, after background tasks, the last registered first."""
        self._core.lifecycle.shutdown_hooks.append(hook)
        return hook

    def health(self, path: str, checks: Mapping[str, Hook] | None = None) -> None:
        """Answers 200 while all checks pass, 503 where one returns False or raises, and 503 once
        shutdown began."""
        watch_sigterm(self._core.lifecycle)
        self._add(path, ("GET",), health_handler(self._core.lifecycle, dict(checks or {})), None)

    def run(
        self,
        host: str = "127.0.0.1",
        port: int = 8000,
        *,
        reload: bool = False,
        protocol: Literal["wsgi", "asgi"] = "wsgi",
    ) -> None:
        """Serves for development, until interrupted. "asgi", which WebSockets need, takes
        uvicorn from your environment."""
        from . import development  # not needed, and not loaded, under a real server

        self._core.debug = True
        development.run(self, host, port, reload=reload, protocol=protocol)
