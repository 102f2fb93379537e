"""The kinds of clients, all at once. What they ask for, apps/hello answers.

GET and POST /whoami: JSON with host, release, request_id, method and received, the body's size.
GET /slow?seconds=1.5: JSON with host, release and seconds. GET /events?count=4: server-sent events,
JSON with host, release and count, which goes on from Last-Event-ID. /ws: greets with JSON that has
host, release and request_id, then echoes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from traffic.recorder import NOBODY, Place, Recorder
from traffic.wire import Answer, Fault, LostError, Wire, lost_by

SLOW = 1.5  # seconds that a slow request takes
EVENTS = 4  # in a stream, one a second
ECHO = 0.5  # seconds between two messages
PAUSE = 0.2  # seconds after a failure of a lasting client, which would otherwise spin
RECONNECT = 10.0  # seconds after a good close within which a WebSocket must be back: one that is
# slow on a busy machine is no loss, one that finds nobody is
GOOD_CLOSES = {1000, 1001, 1012}  # normal, going away, service restart (RFC 6455 section 7.4, IANA)
LOOK = 0.1  # seconds after which a stop is noticed at the latest
CATCH_UP = 1.0  # seconds behind that are made up for; what was due before is not sent
MOST_IN_FLIGHT = 4000


class Client(StrEnum):
    """A kind of client."""

    GET = "get"
    GET_KEPT = "get-kept"
    POST = "post"
    POST_KEPT = "post-kept"
    SLOW = "slow"
    WEBSOCKET = "websocket"
    EVENTS = "events"


PACED = (Client.GET, Client.GET_KEPT, Client.POST, Client.POST_KEPT)
"""They share the rate; the others last."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, and where."""

    site: str
    balancers: tuple[str, ...]
    """address:port, or [address]:port."""
    clients: tuple[Client, ...] = tuple(Client)
    rate: float = 400
    """Requests a second of the paced clients together."""
    timeout: float = 10
    """Seconds for connecting, and again for an answer; a slow one has SLOW on top."""
    kept: int = 16
    """Kept connections to each balancer, for each kind of client that keeps them."""
    lasting: int = 3
    """Slow requests, WebSockets and event streams, of each so many through each balancer."""
    body: int = 2048
    """Bytes of a POST, and up to 99 more, so that an answer to another one is noticed."""


def endpoint(balancer: str) -> tuple[str, int]:
    """Split address:port."""
    host, colon, port = balancer.rpartition(":")
    if not (colon and host and port.isdecimal()):
        raise ValueError(f"{balancer!r} is not address:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


class Clients:
    """All clients of a plan; `run` them until told to stop."""

    def __init__(self, plan: Plan, recorder: Recorder, stop: asyncio.Event) -> None:
        self.plan = plan
        self.recorder = recorder
        self.stop = stop
        self._endpoints = {balancer: endpoint(balancer) for balancer in plan.balancers}
        # A slot is a connection that is free, or None for one to be opened. First in, first out:
        # all are in use, and each has been idle for a while.
        self._kept: dict[tuple[Client, str], deque[Wire | None]] = {
            (client, balancer): deque([None] * plan.kept)
            for client in (Client.GET_KEPT, Client.POST_KEPT)
            for balancer in plan.balancers
        }
        self._sizes = itertools.cycle(range(plan.body, plan.body + 100))
        self._in_flight = 0

    async def run(self) -> None:
        """Send until `stop` is set, then let what is in flight finish."""
        lasting = {
            Client.SLOW: self._slow,
            Client.WEBSOCKET: self._websocket,
            Client.EVENTS: self._events,
        }
        endless: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as group:
            for client, start in lasting.items():
                if client not in self.plan.clients:
                    continue
                for balancer, number in itertools.product(
                    self.plan.balancers, range(self.plan.lasting)
                ):
                    task = group.create_task(start(balancer, number))
                    if client is not Client.SLOW:
                        endless.append(task)
            if Client.SLOW in self.plan.clients:
                self.recorder.expect_no(Client.SLOW)
            await self._pace(group)
            await self.stop.wait()
            self.recorder.stopped = time.monotonic()
            for task in endless:
                task.cancel()
        for wire in itertools.chain.from_iterable(self._kept.values()):
            if wire is not None:
                wire.close()

    async def _pace(self, group: asyncio.TaskGroup) -> None:
        """Start requests at the plan's rate, whether or not earlier ones were answered.

        A client that waited for answers would send less while a service is slow, and so hide it.
        """
        paced = [client for client in PACED if client in self.plan.clients]
        if not paced:
            return
        turns = itertools.cycle(itertools.product(self.plan.balancers, paced))
        interval = 1 / self.plan.rate
        due = time.monotonic()
        while not self.stop.is_set():
            now = time.monotonic()
            self.recorder.behind = max(self.recorder.behind, now - due)
            if now - due > CATCH_UP:
                missed = int((now - due) / interval)
                self.recorder.unsent += missed
                due += missed * interval
            while due <= now:
                due += interval
                balancer, client = next(turns)
                if self._in_flight >= MOST_IN_FLIGHT:
                    self.recorder.unsent += 1
                else:
                    self._in_flight += 1
                    group.create_task(self._whoami(client, balancer))
            await asyncio.sleep(min(due - time.monotonic(), LOOK))

    def _request(self, method: str, path: str, *headers: str, body: bytes | None = None) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.plan.site}", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode() + (body or b"")

    async def _whoami(self, client: Client, balancer: str) -> None:
        """Send one paced request."""
        kept = client in (Client.GET_KEPT, Client.POST_KEPT)
        headers = () if kept else ("Connection: close",)
        if client in (Client.POST, Client.POST_KEPT):
            method, size = "POST", next(self._sizes)
            request = self._request(method, "/whoami", *headers, body=b"x" * size)
        else:
            method, size = "GET", 0
            request = self._request(method, "/whoami", *headers)
        expected = {"method": method, "received": size}
        try:
            await self._ask(client, balancer, request, expected, self.plan.timeout, kept=kept)
        finally:
            self._in_flight -= 1

    async def _slow(self, balancer: str, number: int) -> None:
        # Spread over the time that one takes, so that the next one starts while others last.
        with suppress(TimeoutError):
            async with asyncio.timeout(number * SLOW / self.plan.lasting):
                await self.stop.wait()
        request = self._request("GET", f"/slow?seconds={SLOW}", "Connection: close")
        while not self.stop.is_set():
            good = await self._ask(
                Client.SLOW, balancer, request, {"seconds": SLOW}, SLOW + self.plan.timeout
            )
            if not good:
                await asyncio.sleep(PAUSE)

    async def _ask(
        self,
        client: Client,
        balancer: str,
        request: bytes,
        expected: dict[str, object],
        seconds: float,
        *,
        kept: bool = False,
    ) -> bool:
        """Send a request, check its answer and record it. Return whether all was well."""
        began = time.monotonic()
        try:
            if kept:
                answer = await self._exchange_kept(client, balancer, request, seconds)
            else:
                answer = await self._exchange(balancer, request, seconds)
            place = checked(answer, expected)
        except LostError as lost:
            self.recorder.failed(client, balancer, began, lost, told_by(lost.answer))
            return False
        self.recorder.succeeded(client, began, place)
        return True

    async def _open(self, balancer: str) -> Wire:
        return await Wire.open(*self._endpoints[balancer], self.plan.timeout)

    async def _exchange(self, balancer: str, request: bytes, seconds: float) -> Answer:
        """On a connection of its own."""
        wire = await self._open(balancer)
        try:
            answer = await wire.exchange(request, seconds)
        except BaseException:
            wire.close()
            raise
        wire.linger()
        return answer

    async def _exchange_kept(
        self, client: Client, balancer: str, request: bytes, seconds: float
    ) -> Answer:
        """On a kept connection.

        A server may close one that is idle just as a request is on its way. Where a connection that
        served before ends without one byte of an answer, the request is sent again, once, on a new
        one (RFC 9110 section 9.2.2, which allows it for a GET; a POST's repeats are counted apart).
        """
        slots = self._kept[client, balancer]
        wire = slots.popleft() if slots else None
        if wire is not None and not wire.usable:
            self.recorder.reopened(client)
            wire.close()
            wire = None
        answer: Answer | None = None
        try:
            if wire is not None:
                try:
                    answer = await wire.exchange(request, seconds)
                except LostError as lost:
                    if not lost.unanswered:
                        raise
                    self.recorder.repeated(client, balancer, lost)
                    wire.close()
            if wire is None or answer is None:
                wire = await self._open(balancer)
                answer = await wire.exchange(request, seconds)
            return answer
        finally:
            stays = answer is not None and answer.headers.get("connection", "").lower() != "close"
            if wire is not None and not (stays and len(slots) < self.plan.kept):
                wire.close()
                wire = None
            if len(slots) < self.plan.kept:
                slots.append(wire)

    async def _events(self, balancer: str, number: int) -> None:
        """Follow event streams; an exchange is the wait for one event."""
        last = 0
        ended: str | None = None
        while True:
            began = time.monotonic()
            place = NOBODY
            wire: Wire | None = None
            head: Answer | None = None
            try:
                wire = await self._open(balancer)
                headers = (f"Last-Event-ID: {last}", "Connection: close")
                wire.send(
                    self._request("GET", f"/events?count={EVENTS}", *headers), self.plan.timeout
                )
                head = await wire.head()
                if head.status != 200:
                    raise LostError(Fault.STATUS)
                place = told_by(head)
                async for data in events(wire.body(head)):
                    said = decoded(data, head)
                    place = placed(head, said)
                    if said.get("count") != last + 1:
                        raise LostError(Fault.BODY, f"event {said.get('count')} came after {last}")
                    last += 1
                    self.recorder.succeeded(Client.EVENTS, began, place)
                    if ended is not None:
                        self.recorder.reconnected(Client.EVENTS, balancer, ended)
                        ended = None
                    began = time.monotonic()
                    wire.allow(self.plan.timeout)
                if place.host is None:
                    raise LostError(Fault.BODY, "a stream without an event")
                ended = f"a clean end by {place.host} after event {last}"
            except LostError as lost:
                lost.answer = head
                self.recorder.failed(Client.EVENTS, balancer, began, lost, place)
                last, ended = 0, None
                await asyncio.sleep(PAUSE)
            finally:
                if wire is not None:
                    wire.close()

    async def _websocket(self, balancer: str, number: int) -> None:
        """Keep a WebSocket; an exchange is an echo, or the handshake with its greeting."""
        closed: tuple[float, str] | None = None
        while True:
            began = time.monotonic()
            place = NOBODY
            awaited = "greeting"
            try:
                async with AsyncExitStack() as stack:
                    async with asyncio.timeout(self.plan.timeout):
                        socket = await stack.enter_async_context(self._connected(balancer))
                        place = await greeted(socket)
                    if closed is not None:
                        (when, how), closed = closed, None
                        if began - when > RECONNECT or time.monotonic() - when > RECONNECT:
                            raise LostError(
                                Fault.TIMEOUT, f"not back within {RECONNECT:g} s of {how}"
                            )
                        self.recorder.reconnected(Client.WEBSOCKET, balancer, how)
                    self.recorder.succeeded(Client.WEBSOCKET, began, place)
                    awaited = "echo"
                    for count in itertools.count():
                        began = time.monotonic()
                        async with asyncio.timeout(self.plan.timeout):
                            await echoed(socket, f"{number}: {count}")
                        self.recorder.succeeded(Client.WEBSOCKET, began, place)
                        with suppress(TimeoutError):
                            async with asyncio.timeout(ECHO):
                                await socket.wait_closed()
            except ConnectionClosed as error:
                code = None if error.rcvd is None else error.rcvd.code
                if code in GOOD_CLOSES and awaited == "echo":
                    closed = time.monotonic(), f"a close with {code} by {place.host}"
                    continue
                lost = LostError(
                    Fault.ABNORMAL, "1006, no close frame" if code is None else str(code)
                )
            except TimeoutError:
                lost = LostError(Fault.TIMEOUT, f"no {awaited} within {self.plan.timeout:g} s")
            except LostError as error:
                lost = error
            closed = None
            if place is NOBODY:
                place = told_by(lost.answer)
            self.recorder.failed(Client.WEBSOCKET, balancer, began, lost, place)
            await asyncio.sleep(PAUSE)

    @asynccontextmanager
    async def _connected(self, balancer: str) -> AsyncIterator[ClientConnection]:
        host, port = self._endpoints[balancer]
        try:
            socket = await connect(
                f"ws://{self.plan.site}/ws",
                host=host,
                port=port,
                proxy=None,  # whatever the environment says
                compression=None,
                ping_interval=None,  # the echoes show whether it lives
                open_timeout=None,  # ours holds for the greeting too
                close_timeout=1,
            )
        except OSError as error:
            raise lost_by(error, "while connecting") from None
        except InvalidStatus as error:
            answer = Answer(error.response.status_code, lower(error.response.headers))
            raise LostError(Fault.STATUS, answer=answer) from None
        except InvalidHandshake as error:
            cut = isinstance(error.__cause__, EOFError)
            raise LostError(Fault.CLOSED if cut else Fault.MALFORMED, str(error)) from None
        async with socket:
            yield socket


def lower(headers: Headers) -> dict[str, str]:
    """Return headers by name in lower case."""
    return {name.lower(): value for name, value in headers.raw_items()}


async def greeted(socket: ClientConnection) -> Place:
    """Wait for the greeting, which says who it is."""
    response = socket.response
    answer = Answer(101, lower(response.headers) if response is not None else {})
    return placed(answer, decoded(await socket.recv(), answer))


async def echoed(socket: ClientConnection, message: str) -> None:
    """Send a message and wait for it to come back."""
    await socket.send(message)
    echo = await socket.recv()
    if echo != message:
        raise LostError(Fault.BODY, f"{echo[:80]!r} is the echo of {message!r}")


async def events(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the data of each event of a stream."""
    left = b""
    async for part in parts:
        *whole, left = (left + part).split(b"\n\n")
        for event in whole:
            for line in event.split(b"\n"):
                if line.startswith(b"data:"):
                    yield line.removeprefix(b"data:")
    if left:
        raise LostError(Fault.BODY, f"half an event at the end: {left[:80]!r}")


def decoded(body: bytes | str, answer: Answer) -> dict[str, Any]:
    """Return the JSON object that an app said."""
    try:
        said = json.loads(body)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise LostError(Fault.BODY, f"{body[:80]!r} is no JSON object", answer=answer)
    return said


def placed(answer: Answer, said: dict[str, Any]) -> Place:
    """Return who answered; one who does not say it is no answer of the app."""
    request_id = answer.headers.get("x-request-id")
    if not (isinstance(said.get("host"), str) and "release" in said):
        raise LostError(Fault.BODY, "tells no host and release", answer=answer)
    if request_id is not None and said.get("request_id", request_id) != request_id:
        raise LostError(
            Fault.BODY, "answers another request: its request_id differs", answer=answer
        )
    return Place(said["host"], said["release"], request_id)


def checked(answer: Answer, expected: dict[str, object]) -> Place:
    """Return who answered, where the answer is the one to this request."""
    if answer.status != 200:
        raise LostError(Fault.STATUS, answer=answer)
    said = decoded(answer.body, answer)
    for name, value in expected.items():
        if said.get(name) != value:
            detail = f"{name} is {said.get(name)!r}, not {value!r}"
            raise LostError(Fault.BODY, detail, answer=answer)
    return placed(answer, said)


def told_by(answer: Answer | None) -> Place:
    """Return what an answer tells of who sent it, if anything."""
    if answer is None:
        return NOBODY
    try:
        said = decoded(answer.body, answer)
    except LostError:
        said = {}
    host, release = (said.get(name) for name in ("host", "release"))
    return Place(host, release, answer.headers.get("x-request-id"))
