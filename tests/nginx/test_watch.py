"""The watch of a balancer for app hosts that vanish."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "roles" / "nginx" / "files"))

import watch
from ansible.errors import AnsibleError
from fuego_deploy import pool
from nginx_tree import variables_of

APP1, APP2 = "10.0.0.2", "10.0.0.3"


def connection(
    ip: str, port: int = 8000, identity: str = "a", again: int = 2, acknowledged: float = 9.0
) -> watch.Connection:
    return watch.Connection(socket.AF_INET, ip, port, again, identity.encode(), acknowledged)


def test_a_host_is_gone_once_one_connection_was_silent_for_so_long() -> None:
    seen = watch.Watch(after=1.0)
    one, other = connection("10.0.0.2"), connection("10.0.0.3", identity="b")
    assert seen.look([one], now=5.0) == set()
    assert seen.look([one, other], now=5.9) == set()
    assert seen.look([one, other], now=6.0) == {"10.0.0.2"}
    assert seen.look([other], now=6.8) == set()
    assert seen.look([], now=6.9) == set(), "acknowledged"
    assert seen.look([other], now=7.0) == set(), "begins anew"
    assert seen.look([other], now=8.5) == set(), "nobody looked for a while"


def test_a_host_that_acknowledges_anything_is_not_gone() -> None:
    standing = [connection(APP1), connection(APP1, acknowledged=0.4), connection(APP2)]
    assert watch.gone({APP1}, standing, after=1.0) == (set(), "")


def test_a_balancer_that_is_cut_off_ends_nothing() -> None:
    lonely, why = watch.gone({APP1}, [connection(APP1), connection(APP2)], after=1.0)
    assert lonely == set()
    assert why.endswith("10.0.0.2 included")
    alive = connection(APP2, acknowledged=0.2)
    assert watch.gone({APP1}, [connection(APP1), alive], after=1.0) == ({APP1}, "")


class Fake(watch.Kernel):
    """A kernel with these connections, one of which it does not end."""

    def __init__(self, *standing: watch.Connection) -> None:
        self.standing, self.ended = standing, list[bytes]()

    def connections(self, silent: bool = False) -> Iterator[watch.Connection]:
        yield from (one for one in self.standing if one.again or not silent)

    def end(self, connection: watch.Connection) -> bool:
        if connection.identity == b"mine":
            raise PermissionError("not mine")
        self.ended.append(connection.identity)
        return True


def test_all_connections_to_a_host_that_is_gone_are_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kernel = Fake(
        connection(APP1, identity="silent"), connection(APP1, identity="waiting", again=0),
        connection(APP1, identity="mine"), connection(APP1, port=22, identity="ssh"),
        connection(APP2, identity="alive", again=0, acknowledged=0.1),
    )  # fmt: skip
    rounds = watch.Rounds(kernel, watch.Watch(after=1.0))
    for now in (5.0, 5.5, 6.0):
        rounds.look({(APP1, 8000), (APP2, 8000)}, now)
        assert kernel.ended == ([b"silent", b"waiting"] if now == 6.0 else [])
    said = capsys.readouterr().out
    assert "a connection to 10.0.0.2 cannot be ended: not mine" in said
    assert "10.0.0.2 has acknowledged nothing for 1 s; ended 2 connections to it" in said


@pytest.mark.parametrize(("given", "good"), [(0, True), (1, True), (2.5, True), (0.5, False)])
def test_the_silence_that_is_allowed(given: float, good: bool) -> None:
    variables, templar = variables_of(nginx_vanished_after=given)
    if good:
        assert float(templar.template(variables["__nginx_vanished_after"])) == given
    else:
        with pytest.raises(AnsibleError, match="it is 0, which turns it off, or at least 1 second"):
            templar.template(variables["__nginx_vanished_after"])


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


def test_a_name_that_nobody_knows_now_keeps_its_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pools.json"
    site = {"name": "shop", "members": [{"name": "a", "address": "localhost", "port": 80}]}
    pool.write(file, pool.State(pools=pool.wanted([site], {}, 80)))
    pools = watch.Pools(file)
    before = pools.ends(now=0)
    assert ("127.0.0.1", 80) in before

    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    assert pools.ends(now=watch.RESOLVE + 1) == before


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
    (found,) = (c for c in kernel.connections() if c.port == port)
    assert (found.ip, found.again) == (ip, 0)
    assert 0 <= found.acknowledged < 5
    time.sleep(0.1)
    (later,) = (c for c in kernel.connections() if c.port == port)
    assert later.acknowledged > found.acknowledged
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
