"""Connections as the kernel lists them: real ones on loopback, and tables of other machines."""

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock import Clock
from fuego_deploy import connections
from fuego_deploy.connections import count, ends, wait


@contextlib.contextmanager
def connected(host: str, to: str | None = None) -> Iterator[int]:
    """The port of a listener with one connection to it, which `to` names in another way."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError as problem:
        pytest.skip(f"no {host} here: {problem}")
    with listener:
        port: int = listener.getsockname()[1]
        family = socket.AF_INET6 if ":" in (to or host) else socket.AF_INET
        with socket.socket(family) as client:
            client.connect((to or host, port))
            yield port


@pytest.mark.parametrize(
    ("host", "to"), [("127.0.0.1", None), ("::1", None), ("127.0.0.1", "::ffff:127.0.0.1")]
)
def test_a_connection_counts_while_it_is_open(host: str, to: str | None) -> None:
    with connected(host, to) as port:
        targets = {"shop": ends(host, port), "blog": ends(host, port + 1)}
        assert count(targets) == {"shop": 1}
    assert count(targets) == {}


def test_host_names_are_resolved() -> None:
    assert ends("127.0.0.1", 80) <= ends("localhost", 80)


@pytest.mark.skipif(sys.byteorder != "little", reason="the table is one of such a machine")
def test_only_the_far_end_counts_and_only_what_is_open(tmp_path: Path) -> None:
    table = tmp_path / "tcp"
    rows = ["0100007F:1F40 0200000A:1F40 01", "0200000A:1F40 0100007F:1F40 01",
            "0100007F:0001 0200000A:1F40 02", "0100007F:0002 0200000A:1F40 06",
            "0100007F:0003 0200000A:1F41 01"]  # fmt: skip
    rest = "00000000:00000000 00:00000000 00000000 0 0 1"
    table.write_text("header\n" + "".join(f" {n}: {row} {rest}\n" for n, row in enumerate(rows)))
    tables = (table, tmp_path / "no-tcp6")
    assert count({"shop": ends("10.0.0.2", 8000)}, tables) == {"shop": 2}


def waited(
    open_until: float, timeout: float, quiet_from: float = 0
) -> tuple[float, dict[str, int]]:
    clock = Clock()
    return wait(
        {"shop": frozenset()},
        timeout,
        lambda: clock.now >= quiet_from,
        lambda _: {"shop": 2} if clock.now < open_until else {},
        clock,
        clock.sleep,
    )


def test_nothing_open_is_not_waited_for() -> None:
    assert waited(0, 30) == (0, {})
    assert waited(0, 0) == (0, {})


def test_waits_until_the_last_one_ends_or_the_deadline() -> None:
    seconds, left = waited(7, 30)
    assert 7 <= seconds < 7.2
    assert left == {}
    seconds, left = waited(99, 30)
    assert 30 <= seconds < 30.2
    assert left == {"shop": 2}


def test_former_workers_may_open_one_more() -> None:
    seconds, _ = waited(0, 30, quiet_from=0.1)
    assert 0.1 <= seconds < 0.2
    seconds, _ = waited(0, 30, quiet_from=99)
    assert connections.SETTLE <= seconds < connections.SETTLE + 0.1
