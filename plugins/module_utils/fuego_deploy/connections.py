"""The connections that this host has open to others, as the kernel lists them."""

import ipaddress
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
# From linux/net/tcp_states.h: established, and about to be.
OPEN = {"01", "02"}
SETTLE = 0.5
"""Seconds for which no connection may be seen while former workers still finish requests: one of
them may be about to open another, for a request that it took before the reload."""


def resolve(address: str, port: int) -> set[IP]:
    """The IP addresses of a member, which may be named by a host name. Raises OSError."""
    try:
        return {ipaddress.ip_address(address)}
    except ValueError:
        names = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        return {ipaddress.ip_address(name[4][0]) for name in names}


def ends(address: str, port: int) -> frozenset[str]:
    """The far end of a connection to `address`, in all the ways in which the kernel writes it."""
    packed = {ip.packed for ip in resolve(address, port)}
    mapped = {bytes(10) + b"\xff\xff" + ip for ip in packed if len(ip) == 4}
    return frozenset(f"{_words(ip)}:{port:04X}" for ip in packed | mapped)


def _words(ip: bytes) -> str:
    """An address as words in the order of this machine's bytes."""
    words = struct.unpack(f"={len(ip) // 4}I", ip)
    return "".join(f"{word:08X}" for word in words)


def count(
    targets: Mapping[str, frozenset[str]], tables: tuple[Path, ...] = TABLES
) -> dict[str, int]:
    """How many connections are open to each target; those with none left out."""
    wanted = {end: name for name, found in targets.items() for end in found}
    # The kernel may tell twice of one while others come and go.
    found: set[tuple[str, str]] = set()
    for table in tables:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            _, local, remote, state, *_ = line.split(None, 4)
            if remote in wanted and state in OPEN:
                found.add((local, remote))
    return dict(Counter(wanted[remote] for _, remote in found))


def wait(
    targets: Mapping[str, frozenset[str]],
    timeout: float,
    is_quiet: Callable[[], bool],
    counted: Callable[[Mapping[str, frozenset[str]]], dict[str, int]] = count,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[float, dict[str, int]]:
    """Wait for all connections to the targets to end; the seconds it took, and what is left.

    `is_quiet` says that nobody is left who could open another.
    """
    start = clock()
    silent: float | None = None
    while True:
        left = counted(targets)
        spent = clock() - start
        if left:
            silent = None
        else:
            silent = spent if silent is None else silent
            if is_quiet() or spent - silent >= SETTLE:
                return spent, {}
        if spent >= timeout:
            return spent, left
        sleep(min(0.02 if spent < 1 else 0.1, max(timeout - spent, 0.001)))
