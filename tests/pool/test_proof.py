"""What a member answers, asked directly and as the access log of a balancer tells."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuego_deploy import pool, proof
from fuego_deploy.pool import Member, Pool
from loopback import Running, app


@pytest.fixture
def shop() -> Iterator[Running]:
    with app() as running:
        yield running


def a_pool(**health: Any) -> Pool:
    site = {"name": "shop", "domains": ["shop.example.com"], "health": health, "members": []}
    return pool.wanted([site], {}, 80)["shop"]


def member(port: int, address: str = "127.0.0.1") -> Member:
    return {"name": "app1", "address": address, "port": port}


def test_a_healthy_member_is_asked_under_the_sites_name(shop: Running) -> None:
    assert proof.ask(a_pool(path="/healthz"), member(shop.port), 2, patient=False) is None
    assert shop.seen == ["shop.example.com"]


def test_a_site_without_a_name_is_asked_under_the_members_address(shop: Running) -> None:
    nameless = a_pool(path="/healthz") | {"domains": []}
    assert proof.ask(nameless, member(shop.port), 2, patient=False) is None
    assert shop.seen == [f"127.0.0.1:{shop.port}"]


@pytest.mark.parametrize(
    ("health", "reason"),
    [
        ({}, "GET / answered 500, expected any status below 500"),
        (
            {"path": "/teapot", "status": [200, 204]},
            "GET /teapot answered 418, expected 200 or 204",
        ),
        (
            {"path": "/healthz", "body": "all is well"},
            "GET /healthz answered 200, expected any status below 500 with 'all is well' in its "
            "first 64 KiB",
        ),
    ],
)
def test_why_a_member_is_not_healthy(shop: Running, health: dict[str, Any], reason: str) -> None:
    assert proof.ask(a_pool(**health), member(shop.port), 2, patient=False) == reason
    assert len(shop.seen) == 1


def test_a_member_that_does_not_listen() -> None:
    reason = proof.ask(a_pool(path="/healthz"), member(1), 2, patient=False)
    assert reason is not None
    assert reason.startswith("GET /healthz: no answer: ")


def test_a_member_that_was_just_started_is_waited_for() -> None:
    with app() as found:
        port = found.port
    with threading_app(port, after=0.4):
        assert proof.ask(a_pool(path="/healthz"), member(port), 10, patient=True) is None


class threading_app:  # noqa: N801 - a context manager
    """An app that listens on `port` after so many seconds."""

    def __init__(self, port: int, after: float) -> None:
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(port, after))

    def run(self, port: int, after: float) -> None:
        time.sleep(after)
        with app(port=port):
            self.over.wait()

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()


def entry(request_id: str, **keys: str) -> str:
    return json.dumps({"request_id": request_id, **keys}) + "\n"


def test_the_log_is_read_from_its_end_and_through_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(entry("a"))
    with proof.AccessLog(path) as log, path.open("a") as old:
        assert log.find("a", 0) is None
        old.write(entry("b")[:9])
        old.flush()
        assert log.find("b", 0) is None
        old.write(entry("b")[9:] + "no json b\n")
        old.flush()
        assert log.find("b", 0) == {"request_id": "b"}
        path.rename(tmp_path / "access.log.1")
        old.write(entry("c"))
        old.flush()
        assert log.find("c", 0) == {"request_id": "c"}
        path.write_text(entry("d"))
        assert log.find("d", 0) == {"request_id": "d"}


@pytest.mark.parametrize(
    ("address", "status", "found"),
    [
        ("10.0.0.1:8000", "200", ("10.0.0.1:8000", 200)),
        ("10.0.0.1:8000, 10.0.0.2:8000", "502, 200", ("10.0.0.2:8000", 200)),
        ("10.0.0.1:8000 : [::1]:8000", "502 : 200", ("[::1]:8000", 200)),
        ("10.0.0.1:8000", "-", None),
        ("", "", None),
    ],
)
def test_who_answered_in_the_end(address: str, status: str, found: tuple[str, int] | None) -> None:
    assert proof.answered({"upstream_addr": address, "upstream_status": status}) == found


def test_how_the_log_writes_a_member() -> None:
    assert proof.logged_as(member(80, "2001:DB8:0::1")) == {"[2001:db8::1]:80"}
    assert "127.0.0.1:80" in proof.logged_as(member(80, "localhost"))


def test_a_balancer_that_does_not_answer_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / "access.log").touch()
    deaf: Pool = a_pool() | {"listen": 1}
    reason = proof.through_balancer(deaf, member(8000), tmp_path / "access.log", 0.1)
    assert reason is not None
    assert "the balancer itself does not answer" in reason


@pytest.mark.parametrize(
    ("weights", "seconds", "rest"), [((1, 1), 30, 0.02), ((1, 99), 30, 0.015), ((1, 499), 5, 5e-4)]
)
def test_a_small_share_of_the_requests_is_asked_for_more_often(
    weights: tuple[int, int], seconds: float, rest: float
) -> None:
    """Twenty turns within the time, however seldom they come."""
    found = a_pool() | {"members": [{**member(n), "weight": w} for n, w in enumerate(weights)]}
    spare: Member = {**member(9), "weight": 1000, "backup": True}
    assert proof.pause(found, found["members"][0], seconds) == pytest.approx(rest)
    found["members"].append(spare)
    assert proof.pause(found, found["members"][0], seconds) == pytest.approx(rest)


def test_clients_of_a_pool_that_goes_by_address_have_one_each() -> None:
    assert proof.caller(a_pool()) is None
    found: Pool = a_pool() | {"sticky": "ip_hash"}
    assert len({proof.caller(found) for _ in range(20)}) > 15
