"""Async code from threads: one event loop in a thread of its own, kept between requests."""

import os
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

T = TypeVar("T")


class LoopThread:
    """Starts with its first use, and again in a forked child, which inherits no threads:
    a server may load the app before it forks its workers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._loop: AbstractEventLoop

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Blocks the calling thread alone; its context variables go along."""
        return run_on(self.loop(), coroutine)

    def loop(self) -> "AbstractEventLoop":
        with self._lock:
            if self._pid != os.getpid():
                import asyncio

                self._loop = asyncio.new_event_loop()
                run = self._loop.run_forever
                threading.Thread(target=run, name="fuego-loop", daemon=True).start()
                self._pid = os.getpid()
            return self._loop


# All apps of a process share it.
SHARED = LoopThread()


def run_on(loop: "AbstractEventLoop", coroutine: Coroutine[Any, Any, T]) -> T:
    import asyncio

    return asyncio.run_coroutine_threadsafe(_contain(coroutine), loop).result()


async def _contain(coroutine: Coroutine[Any, Any, T]) -> T:
    """These two would end the loop, and every request after this one would wait for ever."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"an async handler raised {error!r}") from error
