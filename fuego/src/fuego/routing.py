"""From a method and a path to a handler.

Literal paths are one dictionary look-up. The others are a tree of segments: its cost grows with
the depth of a path, not with the number of routes.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import HTTPError
from .pattern import Pattern, Segment

if TYPE_CHECKING:
    from .core import Level

Handler = Callable[..., Any]

WEBSOCKET = "(WEBSOCKET)"  # stands among the methods of a route; no client can send it


@dataclass(slots=True, eq=False)
class Endpoint:
    """A handler and how it is to be called. `names` are its parameters on this route; `forms` is
    whether it may ask for a form; `chain` is the handler within the middleware of its groups,
    None where there is none."""

    handler: Handler
    names: tuple[str, ...]
    is_async: bool
    name: str = ""
    streams: bool = False
    max_body: int | None = None
    forms: bool = True
    chain: "Level | None" = None


Found = tuple[Endpoint, dict[str, Any]]


class MethodError(HTTPError):
    """A path is there, and not for this method. `chain` is the middleware of its groups."""

    chain: "Level | None"


@dataclass(slots=True, eq=False)
class Route:
    """All methods of one shape of path."""

    pattern: Pattern
    endpoints: dict[str, Endpoint] = field(default_factory=dict)

    def endpoint(self, method: str) -> Endpoint | None:
        found = self.endpoints.get(method)
        if found is None and method == "HEAD":
            return self.endpoints.get("GET")
        return found


@dataclass(slots=True, eq=False)
class Node:
    """`edges` are the segments with parameters, the narrowest first."""

    literal: dict[str, "Node"] = field(default_factory=dict)
    edges: list[tuple[Segment, "Node"]] = field(default_factory=list)
    route: Route | None = None

    def child(self, segment: Segment) -> "Node":
        if not segment.converts:
            return self.literal.setdefault(segment.shape, Node())
        for known, node in self.edges:
            if known.shape == segment.shape:
                return node
        node = Node()
        self.edges.append((segment, node))
        self.edges.sort(key=lambda edge: edge[0].rank)
        return node


class Router:
    __slots__ = ("_folders", "_literal", "_root", "routes")

    def __init__(self) -> None:
        self._literal: dict[str, Route] = {}
        self._root = Node()
        self._folders: dict[str, Node] = {}
        """Path without parameters → its node, where a parameter may follow."""
        self.routes: list[Route] = []

    def add(self, pattern: Pattern, methods: Iterable[str], endpoint: Endpoint) -> None:
        """Refuses, with ValueError, what could never be called or would hide another route."""
        _check_signature(pattern, endpoint.handler)
        node = self._root
        folder: str | None = ""
        for segment in pattern.segments:
            if segment.converts and folder is not None:
                self._folders[folder] = node
            folder = None if segment.converts or folder is None else f"{folder}/{segment.shape}"
            node = node.child(segment)
        route = node.route or Route(pattern)
        added = {method.upper(): endpoint for method in methods}
        if not added:
            raise ValueError(f"route {pattern.path!r} needs at least one method")
        for method in sorted(added.keys() & route.endpoints.keys()):
            taken = route.endpoints[method].handler
            raise ValueError(
                f"{method} {pattern.path} ({place(endpoint.handler)}) is already served by "
                f"{method} {route.pattern.path} ({place(taken)})"
            )
        route.endpoints.update(added)
        if node.route is None:
            node.route = route
            self.routes.append(route)
            if not pattern.names:
                self._literal[pattern.path] = route

    def find(self, method: str, path: str) -> Found:
        """Raises HTTPError 404, or MethodError with what the path does allow."""
        literal = self._literal.get(path)
        if literal is not None:
            endpoint = literal.endpoint(method)
            if endpoint is not None:
                return endpoint, {}
        folder, slash, name = path.rpartition("/")
        node = self._folders.get(folder) if slash else None
        if node is not None:  # what the search would try first, and most paths are found so
            for segment, child in node.edges:
                values = segment.match(name)
                if values is not None and child.route is not None:
                    endpoint = child.route.endpoint(method)
                    if endpoint is not None:
                        return endpoint, dict(zip(endpoint.names, values))  # noqa: B905
        found = _search(self._root, path, method)
        if found is None:
            raise self._missing(path)
        endpoint, values = found
        return endpoint, dict(zip(endpoint.names, values))  # noqa: B905 - strict costs

    def _missing(self, path: str) -> HTTPError:
        seen: list[Route] = []
        _search(self._root, path, "", seen)
        if not seen:
            return HTTPError(404)
        methods = {method for route in seen for method in route.endpoints}
        if methods == {WEBSOCKET}:
            error = MethodError(426, "this is a WebSocket", {"Upgrade": "websocket"})
        else:
            allowed = (methods - {WEBSOCKET}) | {"OPTIONS"}
            if "GET" in allowed:
                allowed.add("HEAD")
            error = MethodError(405, headers={"Allow": ", ".join(sorted(allowed))})
        error.chain = next(iter(seen[0].endpoints.values())).chain
        return error


def _search(
    root: Node, path: str, method: str, seen: list[Route] | None = None
) -> tuple[Endpoint, tuple[Any, ...]] | None:
    """The best endpoint for a method, with the values of its parameters. `seen` collects the
    routes that match and lack the method, the best first."""
    parts = path.split("/")
    end = len(parts)
    node, at, values = root, 1, ()
    others: list[tuple[Node, int, tuple[Any, ...]]] = []  # to come back to, the best one last
    while True:
        if at < end:
            text = parts[at]
            below = node.literal.get(text)
            for segment, child in reversed(node.edges):
                more = segment.match("/".join(parts[at:]) if segment.spans else text)
                if more is not None:
                    others.append((child, end if segment.spans else at + 1, values + more))
            if below is not None:
                node, at = below, at + 1
                continue
        elif node.route is not None:
            if seen is not None:
                seen.append(node.route)
            endpoint = node.route.endpoint(method)
            if endpoint is not None:
                return endpoint, values
        if not others:
            return None
        node, at, values = others.pop()


def is_async(function: Handler) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004 - of an object, it may be async
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _check_signature(pattern: Pattern, handler: Handler) -> None:
    try:
        inspect.signature(handler).bind(None, **dict.fromkeys(pattern.names))
    except TypeError as error:
        expected = ", ".join(("request", *pattern.names))
        raise ValueError(
            f"route {pattern.path!r} calls {place(handler)} with ({expected}): {error}"
        ) from None


def place(handler: Handler) -> str:
    """Where a handler stands, for a person to go there."""
    code = getattr(inspect.unwrap(handler), "__code__", None)
    if code is None:
        return repr(handler)
    return f"{handler.__qualname__}, {code.co_filename}:{code.co_firstlineno}"
