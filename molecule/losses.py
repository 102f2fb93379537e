"""Which of the requests that traffic lost a fault explains, and which not.

A balancer repeats on another host what a failed one did not answer. It must not repeat a POST that
was sent, since it may have been carried out (RFC 9110 section 9.2.2), and it cannot repeat an
answer that had begun: an event stream, a WebSocket. Those in flight on the host that failed, in the
moment that it did, are lost; whatever else is, is a fault of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from traffic import Report
from traffic.clients import SLOW
from traffic.report import Failure

AFTER = 2.0
"""Seconds after the fault within which a request that it cost has ended."""
LONGEST = 6.0
"""Seconds that a fault may hold up a request, beyond what most of its kind take and what the
machine held up the tool itself. Below 2 s is the aim, and what docs/faults.md has measured; three
times as much is for machines that are busy, and still far below a request that hangs."""
UNREPEATABLE = {
    "post": "a POST in flight, which may have been carried out",
    "post-kept": "a POST in flight, which may have been carried out",
    "events": "a stream that had begun",
    "websocket": "a WebSocket that was open",
}

Answerer = Callable[[Failure], str | None]
"""Failure → the host that the request was sent to last, as its balancer logged it."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A request that was lost, and rightly so."""

    client: str
    after: float
    """Seconds from the fault's beginning to its end."""
    host: str
    why: str

    def __str__(self) -> str:
        return f"{self.client} {self.after:+.3f} s on {self.host}: {self.why}"


def explain(report: Report, fault: str, hosts: set[str], answerer: Answerer) -> list[Loss]:
    """Return what the fault, a mark of the report, cost on `hosts`.

    Raises AssertionError where a request was lost that it does not explain, or took too long.
    """
    moment = span(report, fault)
    assert report.failed == len(report.failures), "too many failures to be listed one by one"
    losses = [loss_of(failure, moment, hosts, answerer) for failure in report.failures]
    unexplained = [
        str(failure) for failure, loss in zip(report.failures, losses, strict=True) if loss is None
    ]
    assert not unexplained, "\n".join([f"{fault} does not explain:", *unexplained])
    check_longest(report, report.failures)
    return [loss for loss in losses if loss is not None]


def span(report: Report, fault: str) -> tuple[float, float]:
    """Return when the fault was begun and when it was done, by its marks."""
    begun, done = (
        [mark.at for mark in report.marks if mark.text == text]
        for text in (fault, f"{fault}: done")
    )
    assert len(begun) == len(done) == 1, f"{fault!r} is marked {len(begun)} times"
    return begun[0], done[0]


def loss_of(
    failure: Failure, fault: tuple[float, float], hosts: set[str], answerer: Answerer
) -> Loss | None:
    """Return what the fault explains of a failure, or None."""
    begun, done = fault
    why = UNREPEATABLE.get(failure.client)
    if why is None or not begun <= failure.at <= done + AFTER:
        return None
    host = failure.host or answerer(failure)
    if host is None or host not in hosts:
        return None
    return Loss(failure.client, failure.at - begun, host, why)


def check_longest(report: Report, failures: list[Failure]) -> None:
    """Raise AssertionError where a request was held up for too long, answered or not."""
    for client, total in report.clients.items():
        seconds = [one.seconds for one in failures if one.client == client]
        longest = max([*seconds, total.longest or 0.0])
        # A slow one may be begun anew on another host.
        again = SLOW if client == "slow" else 0.0
        most = (total.median or 0.0) + LONGEST + again + report.behind
        assert longest < most, f"a request of {client} took {longest:.3f} s\n{report.summary()}"
