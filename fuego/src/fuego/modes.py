"""How sync and async functions call each other, on either protocol.

What runs is always a coroutine, but where it is driven differs. On a loop (ASGI) async functions
are awaited and sync ones go to a thread. In a thread (WSGI) sync functions are called and async
ones go to a loop; there the coroutine never suspends, and `drive` runs it like a function.
"""

import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .loop import SHARED, run_on

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")
Function = Callable[..., Any]

THREADS = 40  # sync handlers that can wait at once in one process under ASGI


class Mode(Protocol):
    on_loop: bool
    """Where async functions need no `call`; elsewhere sync ones do not."""

    async def call(self, function: Function, is_async: bool, /, *args: Any, **kwargs: Any) -> Any:
        """The function's result, or its exception."""

    def inside(self, is_async: bool) -> "Mode":
        """The mode in which a function that `call` called finds itself."""


class OnLoop:
    """`nested`: a thread of the pool waits for us. Another one might never come free, so sync
    functions get threads of their own."""

    __slots__ = ("_nested",)
    on_loop = True

    def __init__(self, nested: bool = False) -> None:
        self._nested = nested

    async def call(self, function: Function, is_async: bool, /, *args: Any, **kwargs: Any) -> Any:
        if is_async:
            return await function(*args, **kwargs)
        if self._nested:
            return await _in_new_thread(lambda: function(*args, **kwargs))
        return await in_pool(lambda: function(*args, **kwargs))

    def inside(self, is_async: bool) -> Mode:
        if is_async:
            return self
        import asyncio

        return InThread(asyncio.get_running_loop(), pooled=True)


class InThread:
    """`loop` is where async functions run; the shared one where there is no other."""

    __slots__ = ("_loop", "_pooled")
    on_loop = False

    def __init__(self, loop: "AbstractEventLoop | None" = None, pooled: bool = False) -> None:
        self._loop = loop
        self._pooled = pooled

    async def call(self, function: Function, is_async: bool, /, *args: Any, **kwargs: Any) -> Any:
        if is_async:
            return run_on(self._loop or SHARED.loop(), function(*args, **kwargs))
        return function(*args, **kwargs)

    def inside(self, is_async: bool) -> Mode:
        return OnLoop(nested=self._pooled) if is_async else self


ON_LOOP = OnLoop()
IN_THREAD = InThread()


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that does not suspend, which in a thread ours never do."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine without a loop tried to wait")


_pool: "ThreadPoolExecutor | None" = None


async def in_pool(function: Callable[[], T]) -> T:
    """Calls a function in a thread, with the caller's context variables."""
    global _pool
    import asyncio
    from contextvars import copy_context

    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor

        _pool = ThreadPoolExecutor(THREADS, "fuego")
    context = copy_context()
    loop = asyncio.get_running_loop()
    return _opened(await loop.run_in_executor(_pool, context.run, _boxed, function))


async def _in_new_thread(function: Callable[[], T]) -> T:
    import asyncio
    from contextvars import copy_context

    loop, context = asyncio.get_running_loop(), copy_context()
    future: asyncio.Future[tuple[T | None, BaseException | None]] = loop.create_future()

    def run() -> None:
        outcome = context.run(_boxed, function)
        loop.call_soon_threadsafe(future.set_result, outcome)

    threading.Thread(target=run, daemon=True).start()
    return _opened(await future)


def _boxed(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """A StopIteration cannot leave a thread through a future: its awaiter would wait for ever."""
    try:
        return function(), None
    except BaseException as error:
        return None, error


def _opened(outcome: tuple[T | None, BaseException | None]) -> T:
    result, error = outcome
    if isinstance(error, StopIteration):
        raise RuntimeError("the handler raised StopIteration") from error
    if error is not None:
        raise error
    return result  # type: ignore[return-value]
