"""What lasts and comes back: slow requests, event streams and WebSockets."""

from __future__ import annotations

import pytest
from misbehaving import Fault, Request, Server, drive
from traffic import clients
from traffic.clients import Client
from traffic.report import Report


def first(fault: str, *then: str | None) -> Fault:
    """Misbehave at the first requests, and no more."""
    faults = iter((fault, *then))
    return lambda request: next(faults, None)


def how(report: Report) -> list[str]:
    return [failure.how for failure in report.failures]


def test_a_slow_request_is_always_in_flight_and_its_failure_counts() -> None:
    server = Server(first("cut"))
    report = drive(server, Client.SLOW, served=5)
    assert report.requests == server.served
    assert how(report) == ["truncated 200"]


def test_event_streams_go_on_where_they_ended() -> None:
    asked: list[str] = []

    def remember(request: Request) -> None:
        asked.append(request.headers["last-event-id"])

    report = drive(Server(remember), Client.EVENTS, served=4)
    assert report.failures == []
    assert asked == ["0", "2", "4", "6"]
    assert report.clients["events"].reconnections == 2  # and the fourth was just asked for
    assert report.reconnections[0].detail == "a clean end by app1 after event 2"
    assert report.releases == {"r-1": 6}


@pytest.mark.parametrize(
    ("fault", "named", "detail"),
    [
        ("cut", "truncated 200", "closed after"),
        ("reset in the middle", "reset 200", "after"),
        ("half an event", "wrong body 200", "half an event"),
        ("skip", "wrong body 200", "event 3 came after 1"),
        ("empty", "wrong body 200", "without an event"),
        ("silent", "timeout 200", "0.5 s passed after"),
        ("503", "bad status 503", ""),
    ],
)
def test_event_stream_that_ends_badly_is_a_failure(fault: str, named: str, detail: str) -> None:
    report = drive(Server(first(fault)), Client.EVENTS, served=4, timeout=0.5)
    assert how(report) == [named]
    assert detail in report.failures[0].detail
    # What follows a failure is no reconnection.
    assert [event.detail for event in report.reconnections] == ["a clean end by app1 after event 2"]


@pytest.mark.parametrize("code", ["1000", "1001", "1012"])
def test_websocket_that_is_closed_well_comes_back(code: str) -> None:
    report = drive(Server(first(code)), Client.WEBSOCKET, served=3)
    assert report.failures == []
    assert report.reconnections[0].detail == f"a close with {code} by app1"
    assert report.clients["websocket"].reconnections == 1  # the third handshake was just begun
    assert report.releases == {"r-1": 8}  # twice a greeting and three echoes


@pytest.mark.parametrize(
    ("fault", "named", "detail"),
    [
        ("drop", "abnormal close", "1006, no close frame"),
        ("reset", "abnormal close", "1006, no close frame"),
        ("1011", "abnormal close", "1011"),
        ("wrong echo", "wrong body", "'no' is the echo of '0: 0'"),
        ("silent", "timeout", "no echo within 0.5 s"),
        ("close", "closed", "did not receive a valid HTTP response"),
        ("503", "bad status 503", ""),
    ],
)
def test_websocket_that_ends_badly_is_a_failure(fault: str, named: str, detail: str) -> None:
    report = drive(Server(first(fault)), Client.WEBSOCKET, served=2, timeout=0.5)
    assert how(report) == [named]
    assert detail in report.failures[0].detail
    assert report.failures[0].host == (None if fault in ("close", "503") else "app1")
    assert report.reconnections == []
    if fault == "503":
        assert report.failures[0].request_id == "id-1"


def test_websocket_that_comes_back_late_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "RECONNECT", 0.2)
    report = drive(Server(first("1012", "late")), Client.WEBSOCKET, served=3)
    assert how(report) == ["timeout"]
    assert report.failures[0].detail == "not back within 0.2 s of a close with 1012 by app1"
    assert report.reconnections == []


def test_websocket_that_is_refused_on_its_way_back_is_a_failure() -> None:
    report = drive(Server(first("1012", "503")), Client.WEBSOCKET, served=3)
    assert how(report) == ["bad status 503"]
    assert report.reconnections == []
