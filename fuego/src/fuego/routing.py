"""From a method and a path to a handler.

Literal paths are one dictionary look-up. The others are filed under their literal beginning,
so that a path only meets the regular expressions that can match it.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .errors import HTTPError
from .pattern import Pattern, parse

Handler = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A handler, the names of its parameters on this route, and how it is to be called."""

    handler: Handler
    names: tuple[str, ...]
    is_async: bool


@dataclass(frozen=True, slots=True)
class Route:
    """All methods of one shape of path."""

    pattern: Pattern
    endpoints: dict[str, Endpoint] = field(default_factory=dict)

    def endpoint(self, method: str) -> Endpoint | None:
        found = self.endpoints.get(method)
        if found is None and method == "HEAD":
            return self.endpoints.get("GET")
        return found


@dataclass(frozen=True, slots=True)
class Match:
    endpoint: Endpoint
    params: dict[str, object]


class Router:
    __slots__ = ("_by_prefix", "_by_shape", "_literal")

    def __init__(self) -> None:
        self._literal: dict[str, Route] = {}
        self._by_prefix: dict[str, list[Route]] = {}
        self._by_shape: dict[str, Route] = {}

    def add(self, path: str, methods: Iterable[str], handler: Handler) -> None:
        """Refuses, with ValueError, what could never be called or would hide another route."""
        pattern = parse(path)
        _check_signature(pattern, handler)
        endpoint = Endpoint(handler, pattern.names, _is_async(handler))
        route = self._by_shape.get(pattern.shape) or Route(pattern)
        added = {method.upper(): endpoint for method in methods}
        if not added:
            raise ValueError(f"route {path!r} needs at least one method")
        for method in added.keys() & route.endpoints.keys():
            taken = route.endpoints[method].handler
            raise ValueError(
                f"{method} {path} ({_place(handler)}) is already served by "
                f"{method} {route.pattern.path} ({_place(taken)})"
            )
        route.endpoints.update(added)
        if pattern.shape not in self._by_shape:
            self._file(route)

    def _file(self, route: Route) -> None:
        self._by_shape[route.pattern.shape] = route
        if route.pattern.literal:
            self._literal[route.pattern.path] = route
        else:
            routes = self._by_prefix.setdefault(route.pattern.prefix, [])
            routes.append(route)
            routes.sort(key=lambda route: route.pattern.rank)

    def find(self, method: str, path: str) -> Match:
        """Raises HTTPError: 404, or 405 with what the path does allow."""
        literal = self._literal.get(path)
        if literal is not None:
            endpoint = literal.endpoint(method)
            if endpoint is not None:
                return Match(endpoint, {})
        for route, values in self._parametric(path):
            endpoint = route.endpoint(method)
            if endpoint is not None:
                return Match(endpoint, dict(zip(endpoint.names, values, strict=True)))
        allowed = self.allowed(path)
        if not allowed:
            raise HTTPError(404)
        raise HTTPError(405, headers={"Allow": ", ".join(allowed)})

    def allowed(self, path: str) -> list[str]:
        """The methods of a path, in order; none where nothing is there."""
        literal = self._literal.get(path)
        routes = [literal] if literal is not None else []
        routes += [route for route, _ in self._parametric(path)]
        methods = {method for route in routes for method in route.endpoints}
        if "GET" in methods:
            methods.add("HEAD")
        if methods:
            methods.add("OPTIONS")
        return sorted(methods)

    def _parametric(self, path: str) -> Iterator[tuple[Route, tuple[object, ...]]]:
        """The routes that match, the longest literal beginning first."""
        end = path.rfind("/")
        while end >= 0:
            for route in self._by_prefix.get(path[: end + 1], ()):
                values = route.pattern.match(path)
                if values is not None:
                    yield route, values
            end = path.rfind("/", 0, end)


def _is_async(handler: Handler) -> bool:
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - an object with an async __call__
    )


def _check_signature(pattern: Pattern, handler: Handler) -> None:
    try:
        inspect.signature(handler).bind(None, **dict.fromkeys(pattern.names))
    except TypeError as error:
        expected = ", ".join(("request", *pattern.names))
        raise ValueError(
            f"route {pattern.path!r} calls {_place(handler)} with ({expected}): {error}"
        ) from None


def _place(handler: Handler) -> str:
    """Where a handler stands, for a person to go there."""
    code = getattr(inspect.unwrap(handler), "__code__", None)
    if code is None:
        return repr(handler)
    return f"{handler.__qualname__}, {code.co_filename}:{code.co_firstlineno}"
