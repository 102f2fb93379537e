"""The application: what handlers are registered on and servers are given."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from . import asgi, wsgi
from .core import Core, Observer
from .forwarded import TrustedProxies
from .routing import Handler

H = TypeVar("H", bound=Handler)
O = TypeVar("O", bound=Observer)  # noqa: E741


class Fuego:
    """`wsgi` and `asgi` serve the same routes, and may do so in one process.

    `max_body` is in bytes; a larger body is answered with 413. `trusted_proxies` lists the
    addresses and networks whose X-Forwarded-* headers count, in place of the environment's
    FORWARDED_ALLOW_IPS.
    """

    def __init__(
        self, *, max_body: int = 16 * 1024 * 1024, trusted_proxies: str | None = None
    ) -> None:
        self._core = Core(max_body, TrustedProxies.parse(trusted_proxies))
        self.wsgi: wsgi.WSGIApp = wsgi.adapt(self._core)
        self.asgi: asgi.ASGIApp = asgi.adapt(self._core)

    def route(self, path: str, methods: Iterable[str] = ("GET",)) -> Callable[[H], H]:
        """Registers a handler, sync or async, which is called with the request and the
        path's parameters by name. HEAD comes with GET, OPTIONS by itself."""

        def register(handler: H) -> H:
            self._core.router.add(path, methods, handler)
            return handler

        return register

    def get(self, path: str) -> Callable[[H], H]:
        return self.route(path, ("GET",))

    def post(self, path: str) -> Callable[[H], H]:
        return self.route(path, ("POST",))

    def put(self, path: str) -> Callable[[H], H]:
        return self.route(path, ("PUT",))

    def patch(self, path: str) -> Callable[[H], H]:
        return self.route(path, ("PATCH",))

    def delete(self, path: str) -> Callable[[H], H]:
        return self.route(path, ("DELETE",))

    def head(self, path: str) -> Callable[[H], H]:
        return self.route(path, ("HEAD",))

    def options(self, path: str) -> Callable[[H], H]:
        return self.route(path, ("OPTIONS",))

    def observe(self, observer: O) -> O:
        """Registers what is told of every request once its response is known, errors included:
        the request, the response and the seconds it took. It must be quick and cannot change
        the response."""
        self._core.observers.append(observer)
        return observer

    def run(self, host: str = "127.0.0.1", port: int = 8000, *, reload: bool = False) -> None:
        """Serves for development, until interrupted."""
        from . import development  # not needed, and not loaded, under a real server

        development.run(self.wsgi, host, port, reload=reload)
