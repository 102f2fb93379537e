"""Responses whose body comes in parts, from sync or async iterables."""

import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from .headers import HeaderInput
from .lifecycle import Lifecycle
from .modes import IN_THREAD, ON_LOOP, Mode, drive, in_pool
from .response import Response, encode_json

if TYPE_CHECKING:
    from .request import Request

Chunk = bytes | str
Chunks = Iterable[Chunk] | AsyncIterable[Chunk]

_END: Any = object()


class StreamResponse(Response):
    """`chunks` is closed at the end, also where the client left early."""

    __slots__ = ("_length", "chunks")

    streams: ClassVar[bool] = True

    def __init__(self, chunks: Chunks, status: int = 200, headers: HeaderInput = ()) -> None:
        super().__init__(b"", status, headers)
        self.chunks = chunks
        self._length: int | None = None

    @property
    def length(self) -> int | None:
        return self._length

    def in_thread(self, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Iterator[bytes]:
        """For WSGI; `run` runs a coroutine to its end."""
        return map(_encoded, as_sync(self.chunks, run))

    async def on_loop(self) -> AsyncGenerator[bytes, None]:
        """For ASGI; a sync iterable takes its steps in a thread."""
        chunks, self.chunks = self.chunks, ()  # which are closed here from now on
        async with aclosing(as_async(chunks)) as source:
            async for chunk in source:
                yield _encoded(chunk)

    async def close(self, mode: Mode) -> None:
        """What `on_loop` did not begin with."""
        chunks, self.chunks = self.chunks, ()
        await close(chunks, mode)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event. `retry` is in milliseconds.

    >>> Event("a\\nb", event="news", id="7").encode()
    b'event: news\\nid: 7\\ndata: a\\ndata: b\\n\\n'
    """

    data: str = ""
    event: str | None = None
    id: str | None = None
    retry: int | None = None

    def encode(self) -> bytes:
        lines = []
        for name, value in (("event", self.event), ("id", self.id), ("retry", self.retry)):
            if value is not None:
                if any(character in str(value) for character in "\r\n\0"):
                    raise ValueError(f"the {name} of an event is one line, not {value!r}")
                lines.append(f"{name}: {value}")
        data = self.data.replace("\r\n", "\n").replace("\r", "\n")
        lines += [f"data: {line}" for line in data.split("\n")]
        return ("\n".join(lines) + "\n\n").encode(errors="replace")


Events = Iterable[Event | str | dict[str, Any]] | AsyncIterable[Event | str | dict[str, Any]]


class EventStream(StreamResponse):
    """Server-sent events from an iterable, sync or async, of Event, str or dict (as JSON).

    After `keep_alive` seconds without one a comment is sent, so that no proxy ends the
    connection and a client that left is noticed. `retry`, in milliseconds, tells the client
    when to come back. The stream ends when the server is told to.
    """

    __slots__ = ("_events", "_keep_alive", "_retry")
    content_type = "text/event-stream"
    negotiates: ClassVar[bool] = True

    def __init__(
        self,
        events: Events,
        *,
        keep_alive: float = 15.0,
        retry: int | None = None,
        headers: HeaderInput = (),
    ) -> None:
        super().__init__((), 200, headers)
        self._events, self._keep_alive, self._retry = events, keep_alive, retry
        if "cache-control" not in self.headers:
            self.headers["cache-control"] = "no-store"
        self.headers["x-accel-buffering"] = "no"  # nginx would hold events back

    def negotiate(self, request: "Request") -> None:
        lifecycle = request.core.lifecycle
        self.chunks = _event_chunks(self._events, self._keep_alive, self._retry, lifecycle)


async def _event_chunks(
    events: Events, keep_alive: float, retry: int | None, lifecycle: Lifecycle
) -> AsyncGenerator[bytes, None]:
    import asyncio

    if retry is not None:
        yield f"retry: {retry}\n\n".encode()
    iterator = as_async(events)
    waiting: asyncio.Task[Any] | None = None
    with lifecycle.awaited_stop() as stop:
        try:
            while not stop.done():
                waiting = waiting or asyncio.ensure_future(_anext(iterator))
                await asyncio.wait(
                    {waiting, stop}, timeout=keep_alive, return_when=asyncio.FIRST_COMPLETED
                )
                if waiting.done():
                    event, waiting = waiting.result(), None
                    if event is _END:
                        return
                    if not isinstance(event, Event):
                        event = Event(event if isinstance(event, str) else encode_json(event))
                    yield event.encode()
                elif not stop.done():
                    yield b": keep-alive\n\n"
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.wait({waiting})
            await iterator.aclose()


def as_sync(chunks: Any, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Iterator[Any]:
    """An iterator over any iterable; `run` runs a coroutine to its end."""
    if not isinstance(chunks, AsyncIterable):
        return iter(chunks)
    iterator = aiter(chunks)
    return iter(lambda: run(_anext(iterator)), _END)


async def as_async(chunks: Any) -> Any:
    """An async generator over any iterable; closing it closes the source."""
    if isinstance(chunks, AsyncIterable):
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await close(chunks, ON_LOOP)
        return
    iterator, lock = iter(chunks), threading.Lock()

    def step() -> Any:
        with lock:  # closed only between two steps, also where we were cancelled within one
            return next(iterator, _END)

    def close_between() -> None:
        with lock:
            drive(close(chunks, IN_THREAD))

    try:
        while (chunk := await in_pool(step)) is not _END:
            yield chunk
    finally:
        await in_pool(close_between)


async def _anext(iterator: Any) -> Any:
    return await anext(iterator, _END)


def _encoded(chunk: Chunk) -> bytes:
    return chunk.encode(errors="replace") if isinstance(chunk, str) else chunk


async def close(chunks: Any, mode: Mode) -> None:
    """Closes an iterable, where it can be."""
    asynchronous = isinstance(chunks, AsyncIterable)
    closing = getattr(chunks, "aclose" if asynchronous else "close", None)
    if closing is not None:
        await mode.call(closing, asynchronous)
