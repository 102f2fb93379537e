"""The health gate: ask the app itself until it answers as expected, or the deadline passes."""

import http.client
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PAUSES = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Seconds between attempts; the last one holds on. A quick app is not waited for, and one that
fails does not fill its journal."""
ATTEMPT = 5.0
"""Seconds one request may take, at most; never past the deadline."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What to ask, and what counts as healthy: these statuses, or any below 500."""

    address: str
    port: int
    path: str
    headers: dict[str, str]
    status: Sequence[int]
    deadline: float

    def passes(self, status: int) -> bool:
        return status in self.status if self.status else status < 500

    @property
    def expected(self) -> str:
        return " or ".join(map(str, self.status)) if self.status else "any status below 500"


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


def ask(gate: Gate, timeout: float) -> Answer:
    connection = http.client.HTTPConnection(gate.address, gate.port, timeout=timeout)
    try:
        connection.request("GET", gate.path, headers=gate.headers)
        response = connection.getresponse()
        body = response.read(4096).decode(errors="replace")
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
        if answer.status is not None and gate.passes(answer.status):
            return Outcome(True, answer, spent, attempts)
        pause = PAUSES[min(attempts, len(PAUSES)) - 1]
        if spent + pause >= gate.deadline or given_up():
            return Outcome(False, answer, spent, attempts)
        sleep(pause)
