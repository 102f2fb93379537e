"""What both adapters do alike: find the handler, bound the body, answer for errors.

Everything here is written once, as coroutines; `modes` says who drives them.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import ClientDisconnectedError, HTTPError
from .forwarded import TrustedProxies
from .lifecycle import Lifecycle
from .modes import Mode, drive
from .request import Request
from .response import Response, as_response
from .routing import Endpoint, Found, MethodError, Router, is_async

if TYPE_CHECKING:
    from .app import Fuego

log = logging.getLogger("fuego")

Observer = Callable[[Request, Response, float], object]
Level = Callable[[Request, Mode], Coroutine[Any, Any, Response]]
ErrorKey = int | type[Exception]


@dataclass(slots=True, eq=False)
class Core:
    app: "Fuego"
    max_body: int
    max_headers: int
    max_header_bytes: int
    trusted: TrustedProxies
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    debug: bool = False
    router: Router = field(default_factory=Router)
    observers: list[Observer] = field(default_factory=list)
    error_handlers: dict[ErrorKey, tuple[Callable[..., Any], bool]] = field(default_factory=dict)
    entry: Level = field(init=False)

    def __post_init__(self) -> None:
        self.entry = self.route

    def respond(self, request: Request, mode: Mode) -> Coroutine[Any, Any, Response]:
        """The response, whatever happens; the observers are told."""
        return self._observed(request, mode) if self.observers else self.entry(request, mode)

    async def _observed(self, request: Request, mode: Mode) -> Response:
        started = time.perf_counter()
        response = await self.entry(request, mode)
        seconds = time.perf_counter() - started
        for observer in self.observers:
            try:
                observer(request, response, seconds)
            except Exception:
                log.exception("request %s: %r failed", request.id, observer)
        return response

    async def route(self, request: Request, mode: Mode, found: Found | None = None) -> Response:
        """The innermost level of the app's middleware; with `found`, that of a group's.

        One coroutine does it all where nothing waits: each level more costs every request.
        """
        try:
            endpoint, params = found or self.router.find(request.method, request.path)
            if endpoint.chain is not None and found is None:
                request.state["fuego.found"] = endpoint, params
                return await endpoint.chain(request, mode)
            if request.expects_body():
                await self._take_body(request, mode, endpoint)
            if endpoint.is_async is not mode.on_loop:
                result = await mode.call(endpoint.handler, endpoint.is_async, request, **params)
            else:
                result = endpoint.handler(request, **params)
                if mode.on_loop:
                    result = await result
            response = as_response(result)
            if response.negotiates:
                response.negotiate(request)
            return response
        except ClientDisconnectedError:
            raise
        except MethodError as error:
            if error.chain is None:
                return await self.answer_for(request, mode, error)
            request.state["fuego.found"] = error
            return await error.chain(request, mode)
        except Exception as error:
            return await self.answer_for(request, mode, error)

    def route_found(self, request: Request, mode: Mode) -> Coroutine[Any, Any, Response]:
        """The innermost level of a group's middleware."""
        found = request.state.pop("fuego.found")
        if isinstance(found, MethodError):
            return self.answer_for(request, mode, found)
        return self.route(request, mode, found)

    async def _take_body(self, request: Request, mode: Mode, endpoint: Endpoint) -> None:
        if endpoint.streams:
            request.limit, request.streams_body = endpoint.max_body, True
            request.loop = mode.loop
            return
        limit = self.max_body if endpoint.max_body is None else endpoint.max_body
        request.content = await mode.call(request.read, request.reads_async, limit)
        request.unfinished = type(request.content) is not bytes
        if request.unfinished and endpoint.is_async and endpoint.forms:
            await mode.call(request.parse_ahead, False)

    async def answer_for(self, request: Request, mode: Mode, error: Exception) -> Response:
        """By the handler registered for the error, else the client learns what an HTTPError
        says, and nothing of any other error."""
        if not isinstance(error, HTTPError) or not 300 <= error.status <= 599:
            self.log_error(request, error)
        elif error.status == 405 and request.method == "OPTIONS":
            return Response(status=204, headers=error.headers)
        found = self._error_handler(error)
        try:
            if found is None:
                return self._answer(request, error)
            handler, handler_is_async = found
            result = await mode.call(handler, handler_is_async, request, error)
            return _finished(request, result)
        except Exception as failure:  # a status or header that cannot be sent, or a broken handler
            self.log_error(request, failure)
            return self._answer(request, failure)

    def _answer(self, request: Request, error: Exception) -> Response:
        from . import pages

        return pages.answer(request, error, self.debug)

    def _error_handler(self, error: Exception) -> tuple[Callable[..., Any], bool] | None:
        """That of the exception's nearest class, then that of its status."""
        handlers = self.error_handlers
        if not handlers:
            return None
        status = error.status if isinstance(error, HTTPError) else 500
        kinds = [kind for kind in type(error).__mro__ if kind in handlers]
        specific = [kind for kind in kinds if kind not in (Exception, HTTPError)]
        order = (*specific, status, *kinds)
        return next((handlers[key] for key in order if key in handlers), None)

    def log_error(self, request: Request, error: BaseException) -> None:
        log.error(
            "request %s: %s %r failed", request.id, request.method, request.path, exc_info=error
        )

    def wrap(self, middleware: Callable[..., Any], inner: Level) -> Level:
        """A level around another. An error in it is answered there, so that the levels outside
        always see a response."""
        import inspect

        steps = inspect.isgeneratorfunction(middleware)
        run = _stepping(middleware, inner) if steps else _nesting(middleware, inner)

        async def level(request: Request, mode: Mode) -> Response:
            try:
                return _finished(request, await run(request, mode))
            except ClientDisconnectedError:
                raise
            except Exception as error:
                return await self.answer_for(request, mode, error)

        return level


def _finished(request: Request, result: object) -> Response:
    """What a handler returned, as a response. A file looks at the request first."""
    response = as_response(result)
    if response.negotiates:
        response.negotiate(request)
    return response


def _nesting(middleware: Callable[..., Any], inner: Level) -> Callable[..., Awaitable[object]]:
    """`middleware(request, call_next)`; `call_next(request)` is the response, to be awaited in an
    async one."""
    asynchronous = is_async(middleware)

    async def run(request: Request, mode: Mode) -> object:
        inside = mode.inside(asynchronous)

        def call_next(request: Request) -> Awaitable[Response] | Response:
            answer = inner(request, inside)
            return answer if asynchronous else drive(answer)

        return await mode.call(middleware, asynchronous, request, call_next)

    return run


def _stepping(middleware: Callable[..., Any], inner: Level) -> Callable[..., Awaitable[object]]:
    """`response = yield` in a generator stands for the levels within: written once, it runs
    without a change of thread on both protocols."""

    async def run(request: Request, mode: Mode) -> object:
        steps: Generator[None, Response, object] = middleware(request)
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        response = await inner(request, mode)
        try:
            steps.send(response)
        except StopIteration as end:
            return response if end.value is None else end.value
        raise RuntimeError(f"{middleware!r} yields more than once")

    return run
