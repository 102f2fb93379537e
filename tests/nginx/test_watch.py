"""The watch of a balancer for app hosts that vanish."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "nginx" / "files"))

import watch
from fuego_deploy import pool


def connection(ip: str, port: int = 8000, identity: str = "a") -> watch.Connection:
    return watch.Connection(socket.AF_INET, ip, port, 2, identity.encode())


def test_a_host_is_gone_once_one_connection_was_silent_for_so_long() -> None:
    seen = watch.Watch(after=1.0)
    one, other = connection("10.0.0.2"), connection("10.0.0.3", identity="b")
    assert seen.look([one], now=5.0) == set()
    assert seen.look([one, other], now=5.9) == set()
    assert seen.look([one, other], now=6.0) == {"10.0.0.2"}
    assert seen.look([other], now=6.8) == set()
    assert seen.look([], now=6.9) == set(), "acknowledged"
    assert seen.look([other], now=7.0) == set(), "begins anew"


def test_members_are_those_of_all_pools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pools.json"
    pools = watch.Pools(file)
    assert pools.ends(now=0) == set()
    sites = [
        {"name": "shop", "members": [{"name": "app1", "address": "10.0.0.2", "port": 8000}]},
        {"name": "blog", "members": [{"name": "app1", "address": "fe80::2", "port": 8001}]},
    ]
    pool.write(file, pool.State(pools=pool.wanted(sites, {}, 80)))  # fmt: skip
    both = {("10.0.0.2", 8000), ("fe80::2", 8001)}
    assert pools.ends(now=1) == both
    file.write_text("{")
    assert pools.ends(now=2) == both
    assert f"{file} cannot be read: JSONDecodeError" in capsys.readouterr().out
    assert pools.ends(now=3) == both
    assert capsys.readouterr().out == "", "said once"
    assert watch.ends([("10.0.0.2", 80), ("::1", 81), ("no-such-host.invalid", 82)]) == {
        ("10.0.0.2", 80), ("::1", 81),
    }  # fmt: skip


@pytest.fixture(params=["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def far(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, int, str]]:
    """One end of a connection over loopback, the port of the other, and its address as told."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    dual = request.param.startswith("::ffff")
    with closing(socket.socket(family)) as server:
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual))
        server.bind((request.param, 0))
        server.listen()
        port = server.getsockname()[1]
        with closing(socket.create_connection((request.param, port), timeout=5)) as client:
            accepted, _ = server.accept()
            with closing(accepted):
                yield client, port, request.param.removeprefix("::ffff:")


@pytest.fixture
def kernel() -> Iterator[watch.Kernel]:
    with closing(watch.Kernel()) as kernel:
        yield kernel


def test_the_kernel_tells_of_what_stands(
    kernel: watch.Kernel, far: tuple[socket.socket, int, str]
) -> None:
    _, port, ip = far
    assert [(c.ip, c.again) for c in kernel.connections() if c.port == port] == [(ip, 0)]
    assert [c for c in kernel.connections(silent=True) if c.port == port] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may end connections")
def test_connections_are_ended_for_good(
    kernel: watch.Kernel, far: tuple[socket.socket, int, str]
) -> None:
    client, port, _ = far
    (found,) = (c for c in kernel.connections() if c.port == port)
    assert kernel.end(found)
    with pytest.raises(ConnectionAbortedError):
        client.recv(1)
    assert not kernel.end(found)
    assert not [c for c in kernel.connections() if c.port == port]
