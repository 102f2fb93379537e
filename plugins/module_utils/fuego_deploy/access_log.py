"""What the last minutes of nginx's access log say of each app and each host that it asked."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from . import tail

MOST = 32 * 1024 * 1024
"""Bytes of the log that are read at most."""
LONGEST = 1.0
"""Seconds that reading may take. Where either ends it, the figures are of less time."""
TRIED = re.compile(r", | : ")
"""Between the hosts that nginx tried for one request."""


@dataclass(slots=True)
class Figures:
    """What one host was asked. `slowest` is in seconds, to the first byte of an answer, so that
    streams and WebSockets do not count as slow."""

    requests: int = 0
    errors: int = 0
    slowest: float = 0.0

    def add(self, status: str, seconds: str) -> None:
        self.requests += 1
        self.errors += status.startswith("5")
        self.slowest = max(self.slowest, _number(seconds))


@dataclass(slots=True)
class Found:
    """`apps` has the figures of each app by the address that was asked, "" where nginx asked none;
    `seconds` is the time that they are about."""

    seconds: float
    apps: dict[str, dict[str, Figures]] = field(default_factory=dict)

    def add(self, entry: dict[str, Any]) -> None:
        app = entry.get("app")
        if not app or not isinstance(app, str):
            return  # a name that the balancer does not know, or what is no request at all
        hosts = self.apps.setdefault(app, {})
        addresses = _tried(entry.get("upstream_addr"))
        status = entry.get("upstream_status" if addresses[0] else "status")
        header, whole = entry.get("upstream_header_time"), entry.get("upstream_response_time")
        tries = zip_longest(addresses, *map(_tried, (status, header, whole)), fillvalue="")
        for address, answer, first, last in islice(tries, len(addresses)):
            if address not in hosts:
                hosts[address] = Figures()
            # A host that never answered has no first byte; then it is the time it was waited for.
            hosts[address].add(answer, first if _is_number(first) else last)

    def as_json(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {a: {host: asdict(f) for host, f in found.items()} for a, found in self.apps.items()}


def read(
    path: Path,
    seconds: float,
    now: float | None = None,
    most: int = MOST,
    longest: float = LONGEST,
) -> Found:
    """The figures of the last `seconds`, over a rotation. Raises OSError where there is no log."""
    now = time.time() if now is None else now
    since, end = now - seconds, time.monotonic() + longest
    found, left, oldest = Found(seconds), most, now
    for file in _files(path, since):
        size = file.stat().st_size
        late = False
        for entry in _entries(file, left):
            if entry["msec"] < since:
                return found
            late = time.monotonic() > end
            if late:
                break
            oldest = entry["msec"]
            found.add(entry)
        if late or size > left:
            found.seconds = max(0.0, now - oldest)
            return found
        left -= size
    return found


def _files(path: Path, since: float) -> Iterator[Path]:
    """The log, and the rotated ones that were written since then, the newest first. What is packed
    already is left alone; Debian's logrotate packs a day later."""
    if not path.exists():
        # Between a rotation and nginx's new file there is none for an instant.
        time.sleep(0.1)
    rotated = [
        file for file in path.parent.glob(f"{path.name}[.-]*")
        if file.suffix not in (".gz", ".bz2", ".xz", ".zst") and file.stat().st_mtime >= since
    ]  # fmt: skip
    if path.exists() or not rotated:
        yield path
    yield from sorted(rotated, key=lambda file: file.stat().st_mtime, reverse=True)


def _entries(path: Path, most: int) -> Iterator[dict[str, Any]]:
    """The lines that are a request, the newest first. A client may send any byte in a path, and
    nginx logs it as it is."""
    for line in tail.lines(path, most):
        try:
            entry = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("msec"), int | float):
            yield entry


def _tried(words: object) -> list[str]:
    """What a field says of each host that was tried."""
    text = str(words or "")
    return TRIED.split(text) if "," in text or " " in text else [text]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _number(text: str) -> float:
    return float(text) if _is_number(text) else 0.0
