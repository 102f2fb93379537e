"""The health gate: ask the app itself until it answers as expected, or the deadline passes."""

import http.client
import io
import socket
import struct
import time
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between the first attempts, so that a quick app is not waited for; the gate's own
interval holds from then on, so that one that fails does not fill its journal."""
BODY = 64 * 1024
"""Bytes of an answer that are looked at."""
ATTEMPT = 5.0
"""Seconds one request may take, at most; never past the deadline."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What to ask, and what counts as healthy: these statuses, or any below 500, and a body that
    has the text `body` in it. `interval` and `deadline` are in seconds."""

    address: str
    port: int
    path: str
    headers: dict[str, str]
    status: Sequence[int]
    deadline: float
    body: str = ""
    interval: float = 1.0
    protocol: str = "http"
    """How it is asked: `http`, or `uwsgi` as nginx's `uwsgi_pass` does."""

    def passes(self, answer: "Answer") -> bool:
        status = answer.status
        if status is None or self.body not in answer.text:
            return False
        return status in self.status if self.status else status < 500

    @property
    def expected(self) -> str:
        status = " or ".join(map(str, self.status)) if self.status else "any status below 500"
        return (
            f"{status} with {self.body!r} in its first {BODY // 1024} KiB" if self.body else status
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The last thing that was seen: a status and a body, or why there was none."""

    status: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    healthy: bool
    answer: Answer
    seconds: float
    attempts: int

    def told(self, gate: Gate) -> str:
        """What went wrong, for an operator."""
        said = self.answer.text[:1000]
        if self.answer.status:
            said = f"{self.answer.status}\n{said}"
        return (
            f"not healthy after {self.seconds:.0f} s and {self.attempts} requests for {gate.path} "
            f"at {gate.address}:{gate.port}; expected is {gate.expected}, "
            f"the last answer was {said}"
        )


LOCAL = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where an app that listens everywhere is asked on its own host."""


def read_gate(given: Mapping[str, Any]) -> Gate:
    """The gate as a module is given it, asked on the app's own host."""
    return Gate(
        LOCAL.get(given["address"], given["address"]),
        int(given["port"]),
        given["path"],
        {name: str(value) for name, value in given["headers"].items()},
        tuple(given["status"]),
        float(given["deadline"]),
        given["body"],
        float(given["interval"]),
        given["protocol"],
    )


def ask(gate: Gate, timeout: float) -> Answer:
    """One request, answered within `timeout` seconds or not."""
    return ask_uwsgi(gate, timeout) if gate.protocol == "uwsgi" else ask_http(gate, timeout)


class _Received:
    """Bytes that were received, as http.client reads a response from a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def ask_uwsgi(gate: Gate, timeout: float) -> Answer:
    """The same over the uwsgi protocol: a block of variables, answered as HTTP and then closed
    (https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html)."""
    path, _, query = gate.path.partition("?")
    host = gate.headers.get("Host", gate.address)
    name, _, port = host.partition(":")
    variables = {
        "REQUEST_METHOD": "GET", "REQUEST_URI": gate.path, "QUERY_STRING": query,
        "PATH_INFO": urllib.parse.unquote(path, "latin-1"), "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": name, "SERVER_PORT": port or "80", "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "", "CONTENT_LENGTH": "", "HTTP_HOST": host,
    }  # fmt: skip
    for header, value in gate.headers.items():
        variables["HTTP_" + header.upper().replace("-", "_")] = value
    if gate.headers.get("X-Forwarded-Proto") == "https":
        variables["HTTPS"] = "on"
    block = b"".join(
        struct.pack("<H", len(part)) + part
        for pair in variables.items()
        for part in (item.encode("latin-1", "replace") for item in pair)
    )
    deadline = time.monotonic() + timeout
    try:
        with socket.create_connection((gate.address, gate.port), timeout) as connection:
            connection.sendall(struct.pack("<BHB", 0, len(block), 0) + block)
            data = b""
            while len(data) < 2 * BODY:
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                chunk = connection.recv(BODY)
                if not chunk:
                    break
                data += chunk
        response = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]
        response.begin()
        return Answer(response.status, response.read(BODY).decode(errors="replace"))
    except (OSError, http.client.HTTPException) as problem:
        return Answer(None, f"no answer: {problem or type(problem).__name__}")


def ask_http(gate: Gate, timeout: float) -> Answer:
    connection = http.client.HTTPConnection(gate.address, gate.port, timeout=timeout)
    try:
        connection.request("GET", gate.path, headers=gate.headers)
        response = connection.getresponse()
        body = response.read(BODY).decode(errors="replace")
        return Answer(response.status, body)
    except (OSError, http.client.HTTPException) as problem:
        return Answer(None, f"no answer: {problem or type(problem).__name__}")
    finally:
        connection.close()


def wait(
    gate: Gate,
    given_up: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Ask until the gate passes; stop early where `given_up` says that waiting is in vain."""
    start = clock()
    attempts = 0
    while True:
        left = gate.deadline - (clock() - start)
        answer = ask(gate, max(0.1, min(ATTEMPT, left)))
        attempts += 1
        spent = clock() - start
        if gate.passes(answer):
            return Outcome(True, answer, spent, attempts)
        pause = min(
            PAUSES[attempts - 1] if attempts <= len(PAUSES) else gate.interval, gate.interval
        )
        if spent + pause >= gate.deadline or given_up():
            return Outcome(False, answer, spent, attempts)
        sleep(pause)
