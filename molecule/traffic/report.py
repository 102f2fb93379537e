"""What a run of traffic found: as JSON for a plot, as text for a person."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

COLUMNS = (
    *("client", "requests", "failed", "repeated", "reopened", "reconnected"),
    *("median", "99 %", "99.9 %", "longest", "at"),
)
SHOWN = 20
"""Failures that the summary tells one by one."""


def clock(moment: float) -> str:
    """Return a Unix time as hosts' journals show it, in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the test did. `at`, here and below, is seconds since the start of the run."""

    at: float
    time: str
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that failed, and what is known of its answer."""

    at: float
    time: str
    client: str
    fault: str
    detail: str
    status: int | None
    seconds: float
    """From the start of the request to its failure."""
    balancer: str
    request_id: str | None
    host: str | None
    release: str | None
    mark: str | None
    """The last one before `at`."""

    @property
    def how(self) -> str:
        """The fault, with the status where there was one."""
        return self.fault if self.status is None else f"{self.fault} {self.status}"

    def __str__(self) -> str:
        answered = [
            f"{name} {value}"
            for name, value in (
                ("host", self.host),
                ("release", self.release),
                ("X-Request-ID", self.request_id),
            )
            if value
        ]
        return (
            f"{self.time[11:]} +{self.at:.3f} s {self.client} through {self.balancer}: "
            f"{self.how}{f', {self.detail}' if self.detail else ''}, after {self.seconds:.3f} s"
            f"{', '.join(['', *answered])}{f'; last mark: {self.mark}' if self.mark else ''}"
        )


@dataclass(frozen=True, slots=True)
class Event:
    """A repeat or a reconnection."""

    at: float
    time: str
    client: str
    detail: str
    balancer: str
    mark: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one kind of client. Latencies are seconds, of requests that were answered well."""

    requests: int
    failures: int
    repeats: int
    reopened: int
    """Kept connections found closed before anything was sent: nothing had to be repeated."""
    reconnections: int
    median: float | None
    p99: float | None
    p999: float | None
    longest: float | None
    longest_at: float | None


@dataclass(frozen=True, slots=True)
class Second:
    """What ended in one second of the run."""

    second: int
    requests: int
    failures: int
    repeats: int
    hosts: dict[str, int]
    releases: dict[str, int]
    longest: float


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run."""

    site: str
    balancers: list[str]
    started: str
    seconds: float
    """Until it was told to stop; the timeline goes on until the last answer."""
    requests: int
    failed: int
    unsent: int
    """Requests due that the tool did not send: it was held up, or too many were in flight."""
    behind: float
    """Seconds that a request was sent late at most: the tool's own doing, in no latency."""
    processor_seconds: float
    """Of the tool itself."""
    clients: dict[str, Totals]
    failures: list[Failure]
    """The first ones; `failed` counts all."""
    repeats: list[Event]
    reconnections: list[Event]
    marks: list[Mark]
    timeline: list[Second]

    @property
    def hosts(self) -> Counter[str]:
        """How many requests each host answered."""
        return sum((Counter(second.hosts) for second in self.timeline), Counter())

    @property
    def releases(self) -> Counter[str]:
        """How many requests each release answered."""
        return sum((Counter(second.releases) for second in self.timeline), Counter())

    def json(self) -> str:
        """Return all of it; `from_json` reads it."""
        return json.dumps(dataclasses.asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Read what `json` wrote."""
        data: dict[str, Any] = json.loads(text)
        data["clients"] = {name: Totals(**totals) for name, totals in data["clients"].items()}
        for name, kind in (
            ("failures", Failure),
            ("repeats", Event),
            ("reconnections", Event),
            ("marks", Mark),
            ("timeline", Second),
        ):
            data[name] = [kind(**one) for one in data[name]]
        return cls(**data)

    def summary(self) -> str:
        """Tell what failed, when and how; then everything else, briefly."""
        rate = self.requests / self.seconds if self.seconds else 0
        lines = [
            f"{self.failed:,} of {self.requests:,} requests to {self.site} failed in "
            f"{self.seconds:.1f} s, {rate:.0f} a second, through {', '.join(self.balancers)}",
            *self._failures(),
            "",
            *self._clients(),
            "",
            f"answered by host: {counts(self.hosts)}; by release: {counts(self.releases)}",
            f"this tool: {self.processor_seconds:.1f} s of processor time, "
            f"{self.behind * 1000:.0f} ms late at most, {self.unsent:,} requests not sent",
        ]
        if self.failed or self.repeats:
            lines += ["", *self._story()]
        return "\n".join(lines)

    def _failures(self) -> list[str]:
        groups: dict[tuple[str, str], list[Failure]] = {}
        for failure in self.failures:
            groups.setdefault((failure.client, failure.how), []).append(failure)
        lines = [
            f"  {len(found):6,} {client}: {how}, +{found[0].at:.3f} to +{found[-1].at:.3f} s"
            for (client, how), found in groups.items()
        ]
        lines += [f"  {failure}" for failure in self.failures[:SHOWN]]
        if self.failed > SHOWN:
            lines.append(f"  and {self.failed - min(SHOWN, len(self.failures)):,} more")
        return lines

    def _clients(self) -> list[str]:
        rows: list[tuple[str, ...]] = [COLUMNS]
        for name, total in self.clients.items():
            numbers = (
                total.requests,
                total.failures,
                total.repeats,
                total.reopened,
                total.reconnections,
            )
            spans = (total.median, total.p99, total.p999, total.longest)
            rows.append(
                (
                    name,
                    *(f"{number:,}" for number in numbers),
                    *("-" if span is None else f"{span * 1000:.0f} ms" for span in spans),
                    "-" if total.longest_at is None else f"+{total.longest_at:.1f} s",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                cell.rjust(width) if index else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]

    def _story(self) -> list[str]:
        """Marks, and the seconds in which something failed, was repeated or reconnected."""
        told: list[tuple[float, str]] = [(mark.at, f"mark: {mark.text}") for mark in self.marks]
        told += [
            (event.at, f"{event.client} repeated: {event.detail}") for event in self.repeats[:SHOWN]
        ]
        told += [
            (event.at, f"{event.client} reconnected: {event.detail}")
            for event in self.reconnections[:SHOWN]
        ]
        told += [
            (
                second.second,
                f"{second.failures} of {second.requests} failed within this second; answered: "
                f"{counts(second.hosts)}",
            )
            for second in [second for second in self.timeline if second.failures][:SHOWN]
        ]
        return [f"+{at:.3f} s {text}" for at, text in sorted(told)]


def counts(counted: dict[str, int]) -> str:
    """Return names and numbers as text."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counted.items())) or "nobody"
