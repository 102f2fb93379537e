"""The watch of a balancer for app hosts that vanish."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "nginx" / "files"))

import watch
from fuego_deploy import pool

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
OURS = "0100000A:9C40"
THEIRS = "0200000A:1F40"


def line(remote: str, state: str = "01", again: int = 0, local: str = OURS) -> str:
    """A connection, as Linux lists it (Documentation/networking/proc_net_tcp.rst)."""
    return f"   0: {local} {remote} {state} 00000064:00000000 01:00000020 {again:08X}    33  0 1\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "tcp"


def silent(table: Path, *lines: str) -> list[tuple[str, str]]:
    table.write_text(HEADER + "".join(lines))
    return list(watch.silent({THEIRS: ("10.0.0.2", 8000)}, [table, table.with_name("none")]))


def test_silent_is_what_is_sent_again_to_a_member(table: Path) -> None:
    found = silent(table, line(THEIRS, again=2), line(THEIRS), line(THEIRS, state="02", again=2),
                   line("0300000A:1F40", again=2), line("0200000A:1F41", again=2))  # fmt: skip
    assert found == [(f"{OURS} {THEIRS}", "10.0.0.2")]


def test_a_host_is_gone_once_one_connection_was_silent_for_so_long() -> None:
    seen = watch.Watch(after=1.0)
    one, other = ("a", "10.0.0.2"), ("b", "10.0.0.3")
    assert seen.look([one], now=5.0) == set()
    assert seen.look([one, other], now=5.9) == set()
    assert seen.look([one, other], now=6.0) == {"10.0.0.2"}
    assert seen.look([other], now=6.8) == set()
    assert seen.look([], now=6.9) == set(), "acknowledged"
    assert seen.look([other], now=7.0) == set(), "begins anew"


def test_members_are_those_of_all_pools(tmp_path: Path) -> None:
    file = tmp_path / "pools.json"
    assert watch.members(file) == set()
    sites = [
        {"name": "shop", "members": [{"name": "app1", "address": "10.0.0.2", "port": 8000}]},
        {"name": "blog", "members": [{"name": "app1", "address": "fe80::2", "port": 8001}]},
    ]
    pool.write(file, pool.State(pools=pool.wanted(sites, {}, 80)))  # fmt: skip
    assert watch.members(file) == {("10.0.0.2", 8000), ("fe80::2", 8001)}


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, int]]:
    """A connection over loopback, and the port of its far end."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as client:
            accepted, _ = server.accept()
            with closing(accepted):
                yield client, port


def test_the_kernels_own_table_is_read_so(connection: tuple[socket.socket, int]) -> None:
    client, port = connection
    (written,) = [end for end in watch.ends([("127.0.0.1", port)]) if len(end) == 13]
    local = client.getsockname()[1]
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()]
    assert [row[2] for row in rows if row[1].endswith(f":{local:04X}")] == [written]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("ss"), reason="wants root, and iproute2")
def test_connections_are_ended_for_good(connection: tuple[socket.socket, int]) -> None:
    client, port = connection
    assert watch.end("127.0.0.1", [port]) == 1
    with pytest.raises(ConnectionAbortedError):
        client.recv(1)
    assert watch.end("127.0.0.1", [port]) == 0
