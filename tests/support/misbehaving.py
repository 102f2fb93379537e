"""A server that answers as apps/hello does but where it is told to misbehave, and traffic to it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from traffic.clients import Client, Clients, Plan
from traffic.recorder import Recorder
from traffic.report import Report

WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class Request:
    """What came, and the how-manieth on its connection: 0 is the first."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    number: int


Fault = Callable[[Request], str | None]
"""Chooses how to treat a request: None well, else the name of a misbehaviour below."""


class Server:
    """`hits` counts misbehaviours, `served` all requests. Calls `enough` with each."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.hits = 0
        self.served = 0
        self.enough: Callable[[], None] = lambda: None
        self.address = ""
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        """Serve on a port of its own."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        number = 0
        try:
            while await self._request(reader, writer, number):
                number += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        """Serve one request; return whether the connection is kept."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        path, _, query = target.partition("?")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(method, path, query, headers, body, number)
        fault = self.fault(request)
        self.served += 1
        self.hits += fault is not None
        self.enough()
        if request.path == "/ws":
            kept = await self._websocket(request, reader, writer, fault)
        elif request.path == "/events":
            kept = await self._events(request, writer, fault)
        else:
            kept = await self._whoami(request, writer, fault)
        return kept and headers.get("connection") != "close"

    async def _whoami(
        self, request: Request, writer: asyncio.StreamWriter, fault: str | None
    ) -> bool:
        said: dict[str, object] = {
            "host": "app1",
            "release": "r-1",
            "request_id": "id-1",
            "method": request.method,
            "received": len(request.body),
            "seconds": float(request.query.partition("=")[2] or 0),
        }
        status = 200
        match fault:
            case "close":
                return False
            case "reset":
                return self._reset(writer)
            case "garbage":
                writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")
                return False
            case "silent":
                await asyncio.sleep(60)
            case "slow headers":
                writer.write(b"HTTP/1.1 200 OK\r\n")
                await asyncio.sleep(60)
            case "503":
                status, said = 503, {}
            case "500 of the app":
                status = 500
            case "nobody":
                del said["host"]
            case "another's answer":
                said["received"] = 1
            case "another's id":
                said["request_id"] = "id-2"
        content = b"<h1>Welcome" if fault == "no JSON" else json.dumps(said).encode()
        start = f"HTTP/1.1 {status} Told\r\nX-Request-ID: id-1\r\n"
        if fault in ("chunked", "cut chunk"):
            half, rest = content[:9], content[9:]
            chunks = b"9;ext=1\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (half, len(rest), rest)
            answer = f"{start}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks
            writer.write(answer[:-20] if fault == "cut chunk" else answer)
            return fault == "chunked"
        if fault == "endless":
            writer.write(f"{start}\r\n".encode() + content)
            return False
        answer = f"{start}Content-Length: {len(content)}\r\n\r\n".encode() + content
        if fault in ("cut", "reset in the middle"):
            writer.write(answer[:-20])
            return fault == "reset in the middle" and self._reset(writer)
        writer.write(answer)
        await writer.drain()
        return fault != "close when idle"

    async def _events(
        self, request: Request, writer: asyncio.StreamWriter, fault: str | None
    ) -> bool:
        if fault == "503":
            writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
            return True
        first = int(request.headers["last-event-id"]) + 1
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        counts = {"skip": [first, first + 2], "empty": []}.get(fault or "", [first, first + 1])
        for count in counts:
            event = json.dumps({"host": "app1", "release": "r-1", "count": count})
            data = f"id: {count}\ndata: {event}\n\n".encode()
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
            await asyncio.sleep(0.01)
        match fault:
            case "cut":
                writer.write(b"ff\r\ndata: ")
            case "reset in the middle":
                self._reset(writer)
            case "half an event":
                writer.write(b"5\r\ndata:\r\n0\r\n\r\n")
            case "silent":
                await asyncio.sleep(60)
            case _:
                writer.write(b"0\r\n\r\n")
        return False

    async def _websocket(
        self,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        fault: str | None,
    ) -> bool:
        match fault:
            case "503":
                writer.write(b"HTTP/1.1 503 No\r\nX-Request-ID: id-1\r\nContent-Length: 0\r\n\r\n")
                return False
            case "close":
                return False
            case "late":
                await asyncio.sleep(0.5)
        key = request.headers["sec-websocket-key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET).digest()).decode()
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\nX-Request-ID: id-1\r\n\r\n".encode()
        )
        greeting = {"host": "app1", "release": "r-1", "request_id": "id-1"}
        writer.write(frame(1, json.dumps(greeting).encode()))
        for _ in range(3):
            opcode, message = await received(reader)
            if opcode == 8:
                writer.write(frame(8, message))
                return False
            writer.write(frame(1, b"no" if fault == "wrong echo" else message))
            if fault == "silent":
                await asyncio.sleep(60)
        if fault == "drop":
            return False
        if fault == "reset":
            return self._reset(writer)
        writer.write(frame(8, struct.pack("!H", int(fault or 1012))))
        await writer.drain()
        await received(reader)
        return False

    def _reset(self, writer: asyncio.StreamWriter) -> bool:
        held = writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a frame as a server sends it, of at most 125 bytes."""
    return bytes([0x80 | opcode, len(payload)]) + payload


async def received(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read a client's frame: opcode and payload."""
    first, size = await reader.readexactly(2)
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size & 0x7F)
    return first & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def drive(
    server: Server,
    *kinds: Client,
    hits: int = 0,
    served: int = 0,
    seconds: float | None = None,
    address: str | None = None,
    rate: float = 300,
    timeout: float = 20,
    kept: int = 2,
) -> Report:
    """Send until the server misbehaved and served so often, or for so long.

    Goes to another address than the server's where told.
    """

    async def both() -> Report:
        stop = asyncio.Event()

        def enough() -> None:
            if seconds is None and server.hits >= hits and server.served >= served:
                stop.set()

        server.enough = enough
        recorder = Recorder(list(kinds))
        async with asyncio.timeout(60), server.running():
            if seconds is not None:
                asyncio.get_running_loop().call_later(seconds, stop.set)
            where = address or server.address
            plan = Plan("site", (where,), kinds, rate, timeout, kept, lasting=1)
            await Clients(plan, recorder, stop).run()
            return recorder.report("site", [where], [])

    return asyncio.run(both())
