"""From startup to shutdown: hooks, background tasks, readiness."""

import atexit
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from .modes import IN_THREAD, ON_LOOP, Mode, drive
from .response import JSONResponse
from .routing import is_async

if TYPE_CHECKING:
    from asyncio import Future, Task

    from .request import Request

log = logging.getLogger("fuego")

Hook = Callable[[], Any]


class Lifecycle:
    """ASGI servers tell of startup and shutdown. Under WSGI the first request and the end of the
    process stand for them."""

    def __init__(self) -> None:
        self.startup_hooks: list[Hook] = []
        self.shutdown_hooks: list[Hook] = []
        self.started = False
        self.stopping = False
        self.ended = False
        self._lock = threading.Lock()
        self._tasks: set[Task[None]] = set()
        self._waiting: set[Future[None]] = set()

    async def start(self, mode: Mode) -> None:
        if self.ended:  # not where the signal came before the first request
            self.stopping = self.ended = False
        watch_sigterm(self)
        await _call_all(mode, self.startup_hooks)
        self.started = True

    async def stop(self, mode: Mode) -> None:
        """Waits for background tasks, then calls the hooks, the last registered first."""
        self.begin_stop()
        self.started, self.ended = False, True
        await mode.call(self._finish_tasks, True)
        await _call_all(mode, reversed(self.shutdown_hooks))

    def begin_stop(self) -> None:
        """In any thread, and within a handler of signals."""
        self.stopping = True
        for future in tuple(self._waiting):
            with suppress(RuntimeError):  # its loop is closed
                future.get_loop().call_soon_threadsafe(future.cancel)

    @contextmanager
    def awaited_stop(self) -> "Iterator[Future[None]]":
        """A future that is cancelled, and so done, once the app is to stop."""
        import asyncio

        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        if self.stopping:
            future.cancel()
        try:
            yield future
        finally:
            self._waiting.discard(future)

    def start_in_thread(self, again: bool = False) -> None:
        """Once, however many requests come first together; a failure is tried again. A request
        that comes after the end finds it ended, unless `again`."""
        with self._lock:
            if not self.started and (again or not self.ended):
                drive(self.start(IN_THREAD))
                atexit.register(self.stop_in_thread)

    def stop_in_thread(self) -> None:
        atexit.unregister(self.stop_in_thread)
        if self.started:
            drive(self.stop(IN_THREAD))

    async def spawn(self, request: "Request") -> None:
        """Starts the background tasks of a request, on the loop that runs this."""
        import asyncio

        task = asyncio.create_task(_run_tasks(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish_tasks(self) -> None:
        import asyncio

        while self._tasks:
            await asyncio.wait(self._tasks)


async def _run_tasks(request: "Request") -> None:
    for function, args, kwargs in request.tasks or ():
        try:
            await ON_LOOP.call(function, is_async(function), *args, **kwargs)
        except Exception:
            log.exception("request %s: background task %r failed", request.id, function)
    request.release()


async def _call_all(mode: Mode, hooks: Iterable[Hook]) -> None:
    for hook in hooks:
        await mode.call(hook, is_async(hook))


def watch_sigterm(lifecycle: Lifecycle) -> None:
    """Servers tell of the end once the last connection is closed; readiness and event streams end
    before, with the signal: we listen along. Where nobody handles it, it ends the process, and we
    leave it alone."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    if isinstance(before, _Listening):
        before.lifecycles.add(lifecycle)
    elif callable(before):
        signal.signal(signal.SIGTERM, _Listening(before, {lifecycle}))


@dataclass(frozen=True, slots=True)
class _Listening:
    before: Callable[[int, FrameType | None], Any]
    lifecycles: set[Lifecycle]

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for lifecycle in self.lifecycles:
            lifecycle.begin_stop()
        self.before(number, frame)


def health_handler(lifecycle: Lifecycle, checks: Mapping[str, Hook]) -> Callable[["Request"], Any]:
    """A check passes unless it returns False or raises."""
    uncached = {"Cache-Control": "no-store"}

    async def health(request: "Request") -> JSONResponse:
        if lifecycle.stopping:
            return JSONResponse({"status": "stopping"}, 503, uncached)
        results: dict[str, str] = {}
        for name, check in checks.items():
            try:
                passed = await ON_LOOP.call(check, is_async(check)) is not False
            except Exception:
                log.exception("request %s: health check %r failed", request.id, name)
                passed = False
            results[name] = "ok" if passed else "failed"
        failed = "failed" in results.values()
        report: dict[str, Any] = {"status": "failed" if failed else "ok"}
        if results:
            report["checks"] = results
        return JSONResponse(report, 503 if failed else 200, uncached)

    return health
