"""Counts what clients saw, as it happens."""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from traffic.report import Event, Failure, Mark, Report, Second, Totals, clock
from traffic.wire import LostError

MOST_LISTED = 5000
"""Failures, repeats and reconnections that are listed one by one; all are counted."""


class Place(NamedTuple):
    """Who answered."""

    host: str | None = None
    release: str | None = None
    request_id: str | None = None


NOBODY = Place()


@dataclass(slots=True)
class Tally:
    """Of one kind of client."""

    failures: int = 0
    repeats: int = 0
    reopened: int = 0
    reconnections: int = 0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    longest: float = -1.0
    longest_at: float = 0.0


@dataclass(slots=True)
class Bucket:
    """Of one second."""

    requests: int = 0
    failures: int = 0
    repeats: int = 0
    hosts: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0


class Recorder:
    """Moments are those of time.monotonic; a report's are counted from the recorder's start."""

    def __init__(self, clients: list[str]) -> None:
        self.started = time.monotonic()
        self.started_clock = time.time()
        self.tallies = {client: Tally() for client in clients}
        self.buckets: dict[int, Bucket] = {}
        self.failures: list[Failure] = []
        self.repeats: list[Event] = []
        self.reconnections: list[Event] = []
        self.stopped: float | None = None
        self.unsent = 0
        self.behind = 0.0
        self._awaited = set(clients)
        self.heard = asyncio.Event()
        """Set once every kind of client had an outcome, good or bad."""

    def succeeded(self, client: str, began: float, place: Place) -> None:
        """Count a request that was answered as it should be."""
        at = time.monotonic()
        took = at - began
        bucket = self._ended(client, at, took)
        bucket.hosts[place.host or "unnamed"] += 1
        bucket.releases[place.release or "unnamed"] += 1
        tally = self.tallies[client]
        tally.latencies.append(took)
        if took > tally.longest:
            tally.longest, tally.longest_at = took, at - self.started

    def failed(
        self, client: str, balancer: str, began: float, lost: LostError, place: Place = NOBODY
    ) -> None:
        """Count a request that failed."""
        at = time.monotonic()
        took = at - began
        self._ended(client, at, took).failures += 1
        self.tallies[client].failures += 1
        if len(self.failures) < MOST_LISTED:
            moment, told = self._moment(at)
            self.failures.append(
                Failure(
                    at=moment,
                    time=told,
                    client=client,
                    fault=lost.fault.value,
                    detail=lost.detail,
                    status=None if lost.answer is None else lost.answer.status,
                    seconds=round(took, 4),
                    balancer=balancer,
                    request_id=place.request_id,
                    host=place.host,
                    release=place.release,
                    mark=None,
                )
            )

    def repeated(self, client: str, balancer: str, lost: LostError) -> None:
        """Count a request that is sent a second time."""
        at = time.monotonic()
        self.tallies[client].repeats += 1
        self._bucket(at).repeats += 1
        if len(self.repeats) < MOST_LISTED:
            self.repeats.append(self._event(at, client, balancer, lost.detail))

    def reopened(self, client: str) -> None:
        """Count a kept connection that was found closed in time."""
        self.tallies[client].reopened += 1

    def reconnected(self, client: str, balancer: str, detail: str) -> None:
        """Count a lasting connection that ended well and was made anew."""
        self.tallies[client].reconnections += 1
        if len(self.reconnections) < MOST_LISTED:
            self.reconnections.append(self._event(time.monotonic(), client, balancer, detail))

    def expect_no(self, client: str) -> None:
        """Do not wait for this kind of client before traffic counts as running."""
        self._awaited.discard(client)
        if not self._awaited:
            self.heard.set()

    def report(self, site: str, balancers: list[str], marks: list[tuple[float, str]]) -> Report:
        """Return what was counted. `marks` are Unix times and texts."""
        found = [
            Mark(round(moment - self.started_clock, 4), clock(moment), text)
            for moment, text in sorted(marks)
        ]
        moments = [mark.at for mark in found]

        def last_mark(at: float) -> str | None:
            index = bisect_right(moments, at)
            return found[index - 1].text if index else None

        totals = {client: _totals(tally) for client, tally in self.tallies.items()}
        last = max(self.buckets, default=-1)
        stopped = time.monotonic() if self.stopped is None else self.stopped
        return Report(
            site=site,
            balancers=balancers,
            started=clock(self.started_clock),
            seconds=round(stopped - self.started, 3),
            requests=sum(total.requests for total in totals.values()),
            failed=sum(total.failures for total in totals.values()),
            unsent=self.unsent,
            behind=round(self.behind, 4),
            processor_seconds=round(time.process_time(), 3),
            clients=totals,
            failures=[replace(one, mark=last_mark(one.at)) for one in self.failures],
            repeats=[replace(one, mark=last_mark(one.at)) for one in self.repeats],
            reconnections=[replace(one, mark=last_mark(one.at)) for one in self.reconnections],
            marks=found,
            timeline=[
                _second(number, self.buckets.get(number, Bucket())) for number in range(last + 1)
            ],
        )

    def _ended(self, client: str, at: float, took: float) -> Bucket:
        bucket = self._bucket(at)
        bucket.requests += 1
        bucket.longest = max(bucket.longest, took)
        if self._awaited:
            self.expect_no(client)
        return bucket

    def _bucket(self, at: float) -> Bucket:
        number = int(at - self.started)
        bucket = self.buckets.get(number)
        if bucket is None:
            bucket = self.buckets[number] = Bucket()
        return bucket

    def _moment(self, at: float) -> tuple[float, str]:
        since = at - self.started
        return round(since, 4), clock(self.started_clock + since)

    def _event(self, at: float, client: str, balancer: str, detail: str) -> Event:
        moment, told = self._moment(at)
        return Event(moment, told, client, detail, balancer, None)


def _totals(tally: Tally) -> Totals:
    ordered = sorted(tally.latencies)

    def rank(share: float) -> float | None:
        # Nearest rank: a latency that was measured, never one between two.
        return round(ordered[math.ceil(share * len(ordered)) - 1], 4) if ordered else None

    return Totals(
        requests=len(ordered) + tally.failures,
        failures=tally.failures,
        repeats=tally.repeats,
        reopened=tally.reopened,
        reconnections=tally.reconnections,
        median=rank(0.5),
        p99=rank(0.99),
        p999=rank(0.999),
        longest=rank(1.0),
        longest_at=round(tally.longest_at, 4) if ordered else None,
    )


def _second(number: int, bucket: Bucket) -> Second:
    return Second(
        second=number,
        requests=bucket.requests,
        failures=bucket.failures,
        repeats=bucket.repeats,
        hosts=dict(bucket.hosts),
        releases=dict(bucket.releases),
        longest=round(bucket.longest, 4),
    )
