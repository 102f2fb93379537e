"""How sync and async functions call each other, on either protocol.

What runs is always a coroutine, but where it is driven differs. On a loop (ASGI) async functions
are awaited and sync ones go to a thread. In a thread (WSGI) sync functions are called and async
ones go to a loop; there the coroutine never suspends, and `drive` runs it like a function.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from .loop import SHARED, run_on

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")
Function = Callable[..., Any]

THREADS = 40  # sync handlers that can wait at once in one process under ASGI


@dataclass(slots=True)
class OnLoop:
    """`nested`: a thread of the pool waits for us. Another one might never come free, so sync
    functions get threads of their own."""

    nested: bool = False

    on_loop = True  # where async functions need no `call`; elsewhere sync ones do not

    async def call(self, function: Function, is_async: bool, /, *args: Any, **kwargs: Any) -> Any:
        if is_async:
            return await function(*args, **kwargs)
        if self.nested:
            return await _in_new_thread(lambda: function(*args, **kwargs))
        return await in_pool(lambda: function(*args, **kwargs))

    def inside(self, is_async: bool) -> "Mode":
        return self if is_async else InThread(self.loop, pooled=True)

    @property
    def loop(self) -> "AbstractEventLoop":
        import asyncio

        return asyncio.get_running_loop()


@dataclass(slots=True)
class InThread:
    """`loop` is where async functions run; the shared one where there is no other."""

    loop: "AbstractEventLoop | None" = None
    pooled: bool = False

    on_loop = False

    async def call(self, function: Function, is_async: bool, /, *args: Any, **kwargs: Any) -> Any:
        if is_async:
            return run_on(self.loop or SHARED.loop(), function(*args, **kwargs))
        return function(*args, **kwargs)

    def inside(self, is_async: bool) -> "Mode":
        return OnLoop(nested=self.pooled) if is_async else self


Mode = OnLoop | InThread
"""`call` gives the function's result, or its exception; `inside` is the mode in which a function
that `call` called finds itself."""

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


@cache
def _shared_pool() -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(THREADS, "fuego")


async def in_pool(function: Callable[[], T], pool: "ThreadPoolExecutor | None" = None) -> T:
    """Calls a function in a thread, with the caller's context variables."""
    import asyncio
    from contextvars import copy_context

    run, loop = copy_context().run, asyncio.get_running_loop()
    result, error = await loop.run_in_executor(pool or _shared_pool(), run, _boxed, function)
    if error is not None:
        raise error  # a StopIteration as the RuntimeError that Python makes of it
    return result  # type: ignore[return-value]


async def _in_new_thread(function: Callable[[], T]) -> T:
    from concurrent.futures import ThreadPoolExecutor

    own = ThreadPoolExecutor(1)
    try:
        return await in_pool(function, own)
    finally:
        own.shutdown(wait=False)


def _boxed(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    """A StopIteration cannot leave a thread through a future: its awaiter would wait for ever."""
    try:
        return function(), None
    except BaseException as error:
        return None, error
