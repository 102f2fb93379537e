"""Each way to lose a GET or a POST is found and named, and only what may be repeated is."""

from __future__ import annotations

import itertools
import socket
import time

import pytest
from misbehaving import Fault, Request, Server, drive
from traffic.clients import PACED, Client
from traffic.report import Report

KEPT = (Client.GET_KEPT, Client.POST_KEPT)
FRESH = (Client.GET, Client.POST)


def one_in_three(fault: str) -> Fault:
    """Misbehave at every third request on a reused connection, or on new ones where all are new."""
    count = itertools.count(1)

    def choose(request: Request) -> str | None:
        new = request.number == 0 and "connection" not in request.headers
        return None if new or next(count) % 3 else fault

    return choose


def how(report: Report) -> set[str]:
    return {failure.how for failure in report.failures}


def test_good_answers_are_no_failures() -> None:
    server = Server(lambda request: None if request.number % 2 else "chunked")
    report = drive(server, *PACED, served=200)
    # A chunked answer counts as a misbehaviour of the server, and is none.
    assert server.hits > 0
    assert (report.failed, report.repeats, report.unsent) == (0, [], 0)
    assert report.requests == server.served == report.hosts["app1"] == report.releases["r-1"]
    shares = [report.clients[client].requests for client in PACED]
    assert max(shares) - min(shares) <= 1
    assert all(totals.longest is not None for totals in report.clients.values())


def test_kept_connections_are_kept_and_others_are_not() -> None:
    connections = dict.fromkeys(PACED, 0)

    def count(request: Request) -> None:
        kept = "-kept" if "connection" not in request.headers else ""
        connections[Client(request.method.lower() + kept)] += request.number == 0

    report = drive(Server(count), *PACED, served=400)
    for client in FRESH:
        assert connections[client] == report.clients[client].requests
    for client in KEPT:
        assert connections[client] < report.clients[client].requests / 2


ANSWERED_BADLY = [
    ("reset in the middle", "reset 200"),
    ("cut", "truncated 200"),
    ("cut chunk", "truncated 200"),
    ("garbage", "malformed"),
    ("endless", "malformed 200"),
    ("503", "bad status 503"),
    ("500 of the app", "bad status 500"),
    ("no JSON", "wrong body 200"),
    ("nobody", "wrong body 200"),
    ("another's id", "wrong body 200"),
]


@pytest.mark.parametrize("client", PACED)
@pytest.mark.parametrize(("fault", "named"), ANSWERED_BADLY)
def test_bad_answer_is_a_failure_with_its_name(client: Client, fault: str, named: str) -> None:
    server = Server(one_in_three(fault))
    report = drive(server, client, hits=3)
    assert report.failed == len(report.failures) == server.hits >= 3
    assert how(report) == {named}
    assert report.repeats == []
    for failure in report.failures:
        assert (failure.client, failure.balancer) == (client, server.address)
        assert failure.request_id == (None if named == "malformed" else "id-1")


def test_answer_to_another_request_is_noticed() -> None:
    server = Server(one_in_three("another's answer"))
    report = drive(server, Client.POST, hits=3)
    assert report.failed == server.hits
    assert "received is 1, not 2" in report.failures[0].detail
    assert (report.failures[0].host, report.failures[0].release) == ("app1", "r-1")


@pytest.mark.parametrize("client", FRESH)
@pytest.mark.parametrize(("fault", "named"), [("close", "closed"), ("reset", "reset")])
def test_no_answer_on_a_new_connection_is_a_failure(client: Client, fault: str, named: str) -> None:
    server = Server(one_in_three(fault))
    report = drive(server, client, hits=3)
    assert report.failed == server.hits
    assert how(report) == {named}
    assert report.repeats == []


@pytest.mark.parametrize("client", KEPT)
@pytest.mark.parametrize("fault", ["close", "reset"])
def test_no_answer_on_a_reused_connection_is_repeated_and_counted(
    client: Client, fault: str
) -> None:
    server = Server(one_in_three(fault))
    report = drive(server, client, hits=3)
    assert report.failures == []
    assert report.clients[client].repeats == len(report.repeats) == server.hits
    assert sum(second.repeats for second in report.timeline) == server.hits
    assert report.requests == server.served - server.hits


@pytest.mark.parametrize("client", KEPT)
def test_request_is_repeated_once_and_never_from_a_new_connection(client: Client) -> None:
    count = itertools.count(1)
    closed = {"new": 0, "reused": 0}

    def close_after_ten(request: Request) -> str | None:
        if next(count) <= 10:
            return None
        closed["reused" if request.number else "new"] += 1
        return "close"

    report = drive(Server(close_after_ten), client, hits=20)
    assert len(report.repeats) == closed["reused"] > 0
    assert report.failed == closed["new"]
    assert how(report) == {"closed"}


@pytest.mark.parametrize("client", KEPT)
def test_connection_closed_while_idle_is_opened_anew(client: Client) -> None:
    server = Server(one_in_three("close when idle"))
    report = drive(server, client, hits=5, rate=100)
    assert report.failures == []
    totals = report.clients[client]
    # The last ones may be noticed by nobody. Under load, one may be noticed by a repeat.
    assert totals.reopened + totals.repeats in range(server.hits - 2, server.hits + 1)
    assert totals.reopened > 0


@pytest.mark.parametrize("client", PACED)
@pytest.mark.parametrize(
    ("fault", "where"),
    [("silent", "before the answer"), ("slow headers", "after 17 bytes of the answer")],
)
def test_answer_that_takes_too_long_is_a_timeout(client: Client, fault: str, where: str) -> None:
    server = Server(one_in_three(fault))
    report = drive(server, client, hits=2, timeout=0.5)
    assert report.failed >= 2
    assert how(report) == {"timeout"}
    assert report.repeats == []
    # On a machine that is held up, connecting may take too long as well.
    assert f"0.5 s passed {where}" in {failure.detail for failure in report.failures}


@pytest.mark.parametrize("client", Client)
def test_refused_connection_is_named(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    server = Server(lambda request: None)
    report = drive(server, client, address=address, seconds=0.3)
    assert report.failed == report.requests > 0
    assert how(report) == {"refused"}
    assert report.hosts == {}


def test_rate_is_kept_though_nothing_is_answered() -> None:
    started = time.monotonic()
    report = drive(Server(lambda request: "silent"), Client.GET, seconds=1, rate=100, timeout=3)
    assert 90 <= report.failed + report.unsent <= 110 * report.seconds
    assert how(report) == {"timeout"}
    assert time.monotonic() - started < 10
