"""Whether a member of a pool is healthy: asked directly, and asked through the balancer itself."""

import contextlib
import http.client
import json
import os
import random
import re
import time
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any

from . import health
from .connections import resolve
from .pool import Member, Pool, where

AGENT = "fuego-deploy health check"
LOOPBACK = ("127.0.0.1", "::1")
PAUSE = 0.02
"""Seconds between two requests: through a pool, as many are needed as it has members."""
TIMES = 20
"""How often a member's turn has to come within the deadline. Between the requests of clients it
comes by chance, and once in so many it is missed one time in e^20."""
LOGGED = 0.5
"""Seconds within which nginx logs a request that it has answered."""
BODY = 4096
"""Bytes of an answer that are read; its status is what counts."""


def gate(pool: Pool, member: Member, deadline: float) -> health.Gate:
    """What the member itself is asked, as requests of the site would reach it."""
    headers = {
        # As in production, so that frameworks that check hosts or redirect to HTTPS answer alike.
        "Host": host_of(pool, where(member)),
        "X-Forwarded-Proto": "http",
        "User-Agent": AGENT,
        "Connection": "close",
    }
    return health.Gate(
        member["address"],
        member["port"],
        path_of(pool),
        headers,
        statuses(pool),
        deadline,
        pool["health"].get("body") or "",
        protocol=pool.get("upstream_protocol", "http"),
    )


def host_of(pool: Pool, otherwise: str) -> str:
    return pool["domains"][0] if pool["domains"] else otherwise


def path_of(pool: Pool) -> str:
    return pool["health"].get("path") or "/"


def statuses(pool: Pool) -> tuple[int, ...]:
    """What counts as healthy; none for any status below 500."""
    return tuple(map(int, pool["health"].get("status") or ()))


def ask(pool: Pool, member: Member, seconds: float, patient: bool) -> str | None:
    """Why the member is not healthy, or None where it is.

    `seconds` is what one answer may take, or where `patient`, what all attempts may.
    """
    wanted = gate(pool, member, seconds)
    outcome = health.wait(wanted, lambda: not patient)
    if outcome.healthy:
        return None
    if outcome.answer.status is None:
        return f"GET {wanted.path}: {outcome.answer.text}"
    return f"GET {wanted.path} answered {outcome.answer.status}, expected {wanted.expected}"


class AccessLog:
    """nginx's access log from its present end on, through a rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._open()
        self._file.seek(0, os.SEEK_END)
        self._rest = ""

    def __enter__(self) -> "AccessLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._file.close()

    def _open(self) -> TextIOWrapper:
        return self._path.open(encoding="utf-8", errors="replace")

    def _lines(self) -> list[str]:
        """The lines that are new."""
        rotated = False
        with contextlib.suppress(FileNotFoundError):
            now, mine = self._path.stat(), os.fstat(self._file.fileno())
            rotated = (now.st_ino, now.st_dev) != (mine.st_ino, mine.st_dev)
        text = self._rest + self._file.read()
        if rotated:
            self._file.close()
            self._file = self._open()
            text += self._file.read()
        *lines, self._rest = text.split("\n")
        return lines

    def find(self, request_id: str, seconds: float) -> dict[str, Any] | None:
        """The entry of a request; None where there is none within `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self._lines():
                if request_id in line:
                    with contextlib.suppress(ValueError):
                        entry: dict[str, Any] = json.loads(line)
                        return entry
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.005)


def logged_as(member: Member) -> set[str]:
    """The member's address and port in nginx's log, which has no host names."""
    port = member["port"]
    return {
        f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
        for ip in resolve(member["address"], port)
    }


def answered(entry: dict[str, Any]) -> tuple[str, int] | None:
    """Which member answered a request in the end, and how; None where none was reached."""
    address = re.split(r", | : ", entry.get("upstream_addr") or "")[-1]
    status = re.split(r", | : ", entry.get("upstream_status") or "")[-1]
    return (address, int(status)) if status.isdigit() else None


def pause(pool: Pool, member: Member, seconds: float) -> float:
    """Seconds between two requests, less where the member gets a small share of them."""
    weights = [one.get("weight", 1) for one in pool["members"] if not one.get("backup")]
    return min(PAUSE, seconds / TIMES * member.get("weight", 1) / max(sum(weights), 1))


def caller(pool: Pool) -> tuple[str, int] | None:
    """Where a request comes from: where the client's address says which member it gets, from
    another one each time. All of 127.0.0.0/8 is this host."""
    if pool.get("sticky") != "ip_hash":
        return None
    return ".".join(["127", *(str(random.randint(1, 254)) for _ in range(3))]), 0


def request(pool: Pool, timeout: float) -> str:
    """Ask this balancer for the health path as a client that it does not know, and return nginx's
    id of the request.

    Raises OSError or HTTPException where it does not answer.
    """
    problem: OSError | None = None
    for address in LOOPBACK:
        source = caller(pool) if ":" not in address else None
        connection = http.client.HTTPConnection(
            address, pool["listen"], timeout=timeout, source_address=source
        )
        try:
            connection.connect()
        except OSError as error:
            problem = problem or error
            continue
        with contextlib.closing(connection):
            # A default site without a name of its own answers to any address.
            host = host_of(pool, LOOPBACK[0])
            headers = {"Host": host, "User-Agent": AGENT, "Connection": "close"}
            connection.request("GET", path_of(pool), headers=headers)
            response = connection.getresponse()
            response.read(BODY)
            return response.headers.get("X-Request-ID") or ""
    raise problem or OSError("no address")


def through_balancer(pool: Pool, member: Member, log: Path, timeout: float) -> str | None:
    """Why the member answered no request through this balancer well, or None where it did."""
    wanted, addresses = statuses(pool), logged_as(member)
    asked, last, rest = 0, "none was logged", pause(pool, member, timeout)
    deadline = time.monotonic() + timeout
    with AccessLog(log) as entries:
        while True:
            try:
                request_id = request(pool, health.ATTEMPT)
            except (OSError, http.client.HTTPException) as error:
                last = f"the balancer itself does not answer: {error or type(error).__name__}"
            else:
                asked += 1
                entry = entries.find(request_id, LOGGED) if request_id else None
                found = answered(entry) if entry else None
                if found:
                    address, status = found
                    if address in addresses and (status in wanted if wanted else status < 500):
                        return None
                    last = f"the last was answered {status} by {address}"
            if time.monotonic() >= deadline:
                break
            time.sleep(rest)
    return (
        f"answered none of {asked} requests for {path_of(pool)} through this balancer "
        f"({last}; its log is {log})"
    )
