"""What routes are registered on: an app, or a group of one."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import wraps
from os import PathLike
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from .pattern import Converter, parse
from .response import Response
from .routing import WEBSOCKET, Endpoint, is_async, place

if TYPE_CHECKING:
    from .core import Core

Result = Response | Mapping[str, Any] | list[Any] | str | bytes | None
Handler = Callable[..., Result | Awaitable[Result]]
SocketHandler = Callable[..., Awaitable[None]]
Middleware = Callable[..., Any]

H = TypeVar("H", bound=Handler)
S = TypeVar("S", bound=SocketHandler)


class RouteOptions(TypedDict, total=False):
    """What `route` takes by name."""

    name: str | None
    stream: bool
    max_body: int | None


class Registry:
    """`_middleware` is that of the groups, the outermost first."""

    _core: "Core"
    _prefix: str = ""
    _middleware: tuple[Middleware, ...] = ()
    _converters: dict[str, Converter]

    def route(
        self,
        path: str,
        methods: Iterable[str] = ("GET",),
        *,
        name: str | None = None,
        stream: bool = False,
        max_body: int | None = None,
    ) -> Callable[[H], H]:
        """Registers a handler, sync or async, which is called with the request and the
        path's parameters by name. HEAD comes with GET, OPTIONS by itself.

        `name` is for `url_for`, the handler's own by default. With `stream` the body is left
        for `request.stream()`. `max_body`, in bytes, takes the place of the app's.
        """

        def register(handler: H) -> H:
            self._add(path, methods, handler, name, streams=stream, max_body=max_body)
            return handler

        return register

    def _add(
        self, path: str, methods: Iterable[str], handler: Any, name: str | None, **options: Any
    ) -> None:
        pattern = parse(self._prefix + path, self._converters)
        name = name or str(getattr(handler, "__name__", type(handler).__name__))
        endpoint = Endpoint(handler, pattern.names, is_async(handler), name, **options)
        if self._middleware:
            chain = self._core.route_found
            for middleware in reversed(self._middleware):
                chain = self._core.wrap(middleware, chain)  # type: ignore[assignment]
            endpoint.chain = chain
        self._core.router.add(pattern, methods, endpoint)

    def get(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        return self.route(path, ("GET",), **options)

    def post(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        return self.route(path, ("POST",), **options)

    def put(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        return self.route(path, ("PUT",), **options)

    def patch(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        return self.route(path, ("PATCH",), **options)

    def delete(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        return self.route(path, ("DELETE",), **options)

    def head(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        return self.route(path, ("HEAD",), **options)

    def options(self, path: str, **options: Unpack[RouteOptions]) -> Callable[[H], H]:
        return self.route(path, ("OPTIONS",), **options)

    def websocket(self, path: str, *, name: str | None = None) -> Callable[[S], S]:
        """Registers an async handler for WebSockets, which ASGI brings. The path answers 426
        to anybody who does not speak them."""

        def register(handler: S) -> S:
            from .websocket import WebSocketClosedError

            if not is_async(handler):
                raise ValueError(f"websocket {path!r}: {place(handler)} must be async")

            @wraps(handler)
            async def until_closed(socket: Any, **params: Any) -> None:
                with suppress(WebSocketClosedError):
                    await handler(socket, **params)

            self._add(path, (WEBSOCKET,), until_closed, name)
            return handler

        return register

    def group(self, prefix: str = "", *, middleware: Iterable[Middleware] = ()) -> "Group":
        """Routes below a prefix, within middleware of their own."""
        return Group(self, prefix, middleware)

    def static(self, prefix: str, folder: str | PathLike[str], *, name: str = "static") -> None:
        """Serves the files below a folder, for development: a server in front does it better."""
        from .files import folder_handler

        path = prefix.rstrip("/") + "/{path:path}"
        self._add(path, ("GET",), folder_handler(folder), name)

    def mount(self, prefix: str, app: Any) -> None:
        """Gives all below a prefix to another app: a Fuego, an ASGI app (a coroutine function
        or an object with one) or a WSGI app. Each works over both protocols."""
        from .mount import mount

        mount(self, prefix, app)


class Group(Registry):
    def __init__(self, parent: Registry, prefix: str, middleware: Iterable[Middleware]) -> None:
        self._core = parent._core
        self._converters = parent._converters
        self._prefix = parent._prefix + prefix.rstrip("/")
        self._middleware = (*parent._middleware, *middleware)
