"""What a fault explains of the requests that were lost, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from losses import explain
from traffic.recorder import Place, Recorder
from traffic.report import Report
from traffic.wire import Answer, Fault, LostError

FAULT = "host killed"


def report(client: str, fault: Fault = Fault.STATUS, *, host: str | None = None) -> Report:
    """Return the report of one failure, half a second after a fault that took a tenth."""
    recorder = Recorder([client])
    lost = LostError(fault, answer=Answer(502, {}))
    recorder.failed(client, "127.0.0.1:8080", recorder.started, lost, Place(host=host))
    marks = [
        (recorder.started_clock + at, text) for at, text in ((1, FAULT), (1.1, f"{FAULT}: done"))
    ]
    found = recorder.report("hello.localhost", ["127.0.0.1:8080"], marks)
    return replace(found, failures=[replace(one, at=1.5, seconds=0.2) for one in found.failures])


def explained(found: Report, *, sent_to: str = "app1") -> list[str]:
    losses = explain(found, FAULT, {"app1"}, lambda failure: sent_to)
    return [f"{loss.client} {loss.host}" for loss in losses]


@pytest.mark.parametrize("client", ["post", "post-kept"])
def test_a_post_in_flight_on_the_host_is_explained(client: str) -> None:
    assert explained(report(client)) == [f"{client} app1"]


@pytest.mark.parametrize("client", ["events", "websocket"])
def test_a_stream_of_the_host_is_explained(client: str) -> None:
    assert explained(report(client, Fault.TRUNCATED, host="app1"), sent_to="") == [f"{client} app1"]


@pytest.mark.parametrize("client", ["get", "get-kept", "slow"])
def test_a_get_is_not(client: str) -> None:
    with pytest.raises(AssertionError, match=f"host killed does not explain:\n.* {client} through"):
        explained(report(client))


def test_a_post_to_another_host_is_not() -> None:
    with pytest.raises(AssertionError, match="does not explain"):
        explained(report("post"), sent_to="app2")


@pytest.mark.parametrize("at", [0.9, 3.2])
def test_what_is_lost_at_another_time_is_not(at: float) -> None:
    found = report("post")
    with pytest.raises(AssertionError, match="does not explain"):
        explained(replace(found, failures=[replace(found.failures[0], at=at)]))


def test_a_request_that_took_too_long_is_not() -> None:
    found = report("post")
    with pytest.raises(AssertionError, match=r"a request of post took 6\.400 s"):
        explained(replace(found, failures=[replace(found.failures[0], seconds=6.4)]))


def test_failures_that_are_not_listed_are_not() -> None:
    with pytest.raises(AssertionError, match="too many"):
        explained(replace(report("post"), failed=2))
