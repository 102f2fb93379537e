"""HTTP/1.1 for a client that must know how a connection ended, and after which byte.

No library tells "closed before one byte of the answer" from "cut in the middle of it" for kept
connections, and that is what decides whether a request may be sent again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

LONGEST_HEAD = 64 * 1024  # bytes
LINGER = 2.0
"""Seconds for the server to close a connection that is done. The side that closes first keeps the
port in TIME_WAIT: were it this one, 500 connections a second would use up all ports in a minute."""


class Fault(StrEnum):
    """How a request failed."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    CLOSED = "closed"  # without one byte of an answer
    TRUNCATED = "truncated"  # closed in the middle of an answer
    TIMEOUT = "timeout"
    STATUS = "bad status"
    BODY = "wrong body"
    MALFORMED = "malformed"  # no HTTP
    ABNORMAL = "abnormal close"  # of a WebSocket: without a close frame, or with an error's code


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes = b""


class LostError(Exception):
    """A request failed."""

    def __init__(
        self,
        fault: Fault,
        detail: str = "",
        *,
        answer: Answer | None = None,
        unanswered: bool = False,
    ) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault
        self.detail = detail
        self.answer = answer
        """What came, where something did."""
        self.unanswered = unanswered
        """The connection ended before one byte of the answer."""


def lost_by(error: OSError, doing: str) -> LostError:
    """Name what the system reports."""
    what = str(error) if error.errno is None else os.strerror(error.errno)
    detail = f"{what or 'too long'} {doing}"
    match error:
        case ConnectionRefusedError():
            return LostError(Fault.REFUSED, detail)
        case ConnectionError():  # reset, broken pipe, aborted
            return LostError(Fault.RESET, detail)
        case TimeoutError():
            return LostError(Fault.TIMEOUT, detail)
        case _:
            return LostError(Fault.UNREACHABLE, detail)


class Wire(asyncio.Protocol):
    """One connection, and at most one request on it at a time."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.answered = 0
        """Bytes of the present answer that came."""
        self._received = bytearray()
        self._ended: EOFError | OSError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(cls, host: str, port: int, seconds: float) -> Wire:
        """Connect, within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                _, wire = await asyncio.get_running_loop().create_connection(cls, host, port)
        except OSError as error:
            raise lost_by(error, "while connecting") from None
        return wire

    @property
    def usable(self) -> bool:
        """Whether another request may be sent: open, and nothing came that was not asked for."""
        return self._ended is None and not self._received

    def send(self, request: bytes, seconds: float) -> None:
        """Send a whole request, and allow so long for its answer."""
        self.answered = 0
        self.allow(seconds)
        self.transport.write(request)

    def allow(self, seconds: float | None) -> None:
        """Give up waiting `seconds` from now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None:
            late = TimeoutError(f"{seconds:g} s passed")
            self._timer = asyncio.get_running_loop().call_later(seconds, self._end, late)

    async def exchange(self, request: bytes, seconds: float) -> Answer:
        """Send a whole request and wait for its whole answer."""
        self.send(request, seconds)
        head = await self.head()
        try:
            body = b"".join([part async for part in self.body(head)])
        except LostError as lost:
            lost.answer = head
            raise
        self.allow(None)
        return Answer(head.status, head.headers, body)

    async def head(self) -> Answer:
        """Wait for the status line and the headers."""
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if len(self._received) > LONGEST_HEAD:
                raise LostError(Fault.MALFORMED, "endless headers")
            await self._more()
        first, *lines = self._take(end + 4)[:-4].decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        status = rest[:3]
        pairs = [line.partition(":") for line in lines]
        if version != "HTTP/1.1" or not status.isdecimal():
            raise LostError(Fault.MALFORMED, repr(first[:80]))
        return Answer(int(status), {name.lower(): value.strip() for name, _, value in pairs})

    async def body(self, head: Answer) -> AsyncIterator[bytes]:
        """Yield the body's parts as they come; what is left of it after an error is lost."""
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := self._number(await self._line(), 16):
                yield (await self._exactly(size + 2))[:-2]
            while await self._line():  # trailers
                pass
        elif "content-length" in head.headers:
            yield await self._exactly(self._number(head.headers["content-length"], 10))
        else:
            raise LostError(Fault.MALFORMED, "neither Content-Length nor chunked: may end anywhere")

    def close(self) -> None:
        """Close at once, with a reset where something is still under way."""
        self.allow(None)
        self.transport.abort()

    def linger(self) -> None:
        """Let the server close, as it was asked to."""
        if self._ended is None:
            asyncio.get_running_loop().call_later(LINGER, self.transport.abort)

    @staticmethod
    def _number(text: str, base: int) -> int:
        digits = text.partition(";")[0].strip()
        try:
            return int(digits, base)
        except ValueError:
            raise LostError(Fault.MALFORMED, f"{text[:80]!r} is no length") from None

    async def _line(self) -> str:
        while (end := self._received.find(b"\r\n")) < 0:
            await self._more()
        return self._take(end + 2)[:-2].decode("latin-1")

    async def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            await self._more()
        return self._take(size)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    async def _more(self) -> None:
        """Wait until something came; raise LostError where nothing will."""
        if self._ended is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
            return
        nothing = self.answered == 0
        where = "before the answer" if nothing else f"after {self.answered} bytes of the answer"
        if isinstance(self._ended, OSError):
            lost = lost_by(self._ended, where)
            lost.unanswered = nothing and lost.fault is Fault.RESET
            raise lost
        raise LostError(
            Fault.CLOSED if nothing else Fault.TRUNCATED, f"closed {where}", unanswered=nothing
        )

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.answered += len(data)
        self._received += data
        self._wake()

    def eof_received(self) -> None:  # None closes the transport
        self._end(EOFError())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc if isinstance(exc, OSError) else EOFError())

    def _end(self, reason: EOFError | OSError) -> None:
        self._ended = self._ended or reason
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
