#!/usr/bin/python3
"""Managed by fuego-deploy; edits are lost. End connections to app hosts that have vanished.

A host whose network or power is cut says no word. What nginx has just sent it on a connection that
stood already is sent again and again by the kernel, for a quarter of an hour, and to nginx the host
looks like an app that takes its time. nginx cannot limit that (TCP_USER_TIMEOUT, RFC 5482), and the
kernel only for all connections, those to clients included.

So this looks at the balancer's connections to the hosts of its pools, several times a second. Where
a host acknowledges nothing on any of them for so long, while others do, all to that host are ended,
and nginx asks another host at once wherever that is safe. An app that takes its time is not
concerned: its host's kernel acknowledges what it is sent.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PAUSE = 0.25
"""Seconds between two looks."""
RESOLVE = 60.0
"""Seconds after which host names are looked up anew."""
AGAIN = 10.0
"""Seconds until it asks again a kernel that refused: one without tcp_diag, or without the right."""
LATE = 1.0
"""Seconds after the look before, after which one says nothing of the time between."""

Ends = set[tuple[str, int]]
"""The IP address and the port of each member."""

# From linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h; see sock_diag(7).
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY, SOCK_DESTROY = 20, 21
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
ESTABLISHED = 1
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
REQUEST = struct.Struct("=BBBxI48s")  # family, protocol, extensions, states, socket
FOUND = struct.Struct("=BBBB48s")  # family, state, timer, how often sent again, socket
SOCKET = struct.Struct("!HH16s16s")  # ports and addresses of both ends, of what are 48 bytes
MESSAGE = 72  # bytes of a whole struct inet_diag_msg, before the attributes
INET_DIAG_INFO = 2
LAST_ACK_RECV = 56  # where struct tcp_info has tcpi_last_ack_recv, in milliseconds


@dataclass(frozen=True, slots=True)
class Connection:
    """One that stands."""

    family: int
    ip: str
    """The far end's address; of IPv4 in IPv6 the former."""
    port: int
    again: int
    """How often the kernel has sent again what was not acknowledged."""
    identity: bytes
    """The kernel's name of it, different from that of any later one."""
    acknowledged: float = 0.0
    """Seconds since its far end last acknowledged anything; 0 where nobody asked for it."""


class Kernel:
    """The connections of this host, as the kernel tells of them over netlink."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)

    def close(self) -> None:
        self._socket.close()

    def connections(self, silent: bool = False) -> Iterator[Connection]:
        """Each that stands, with what it last acknowledged; or quickly the `silent` alone, on which
        something is sent again and again."""
        details = 0 if silent else 1 << (INET_DIAG_INFO - 1)
        for family in (socket.AF_INET, socket.AF_INET6):
            self._send(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family, bytes(48), details)
            for body in self._answers():
                family, _, _, again, identity = FOUND.unpack_from(body)
                if again or not silent:
                    _, port, _, far = SOCKET.unpack_from(identity)
                    ip = address(family, far)
                    yield Connection(family, ip, port, again, identity, acknowledged(body))

    def end(self, connection: Connection) -> bool:
        """End it, as if its far end had reset it; False where it has ended already.

        Raises OSError.
        """
        self._send(SOCK_DESTROY, NLM_F_ACK, connection.family, connection.identity)
        try:
            list(self._answers())
        except FileNotFoundError:
            return False
        return True

    def _send(self, kind: int, flags: int, family: int, identity: bytes, details: int = 0) -> None:
        body = REQUEST.pack(family, socket.IPPROTO_TCP, details, 1 << ESTABLISHED, identity)
        length = HEADER.size + len(body)
        self._socket.send(HEADER.pack(length, kind, NLM_F_REQUEST | flags, 0, 0) + body)

    def _answers(self) -> Iterator[bytes]:
        while True:
            data = self._socket.recv(1 << 18)
            while data:
                length, kind, _, _, _ = HEADER.unpack_from(data)
                body, data = data[HEADER.size : length], data[(length + 3) & ~3 :]
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    (number,) = struct.unpack_from("=i", body)
                    if number:
                        raise OSError(-number, os.strerror(-number))
                    return
                yield body


def acknowledged(body: bytes) -> float:
    """Seconds since the last acknowledgement, of a message's attributes; 0 where it has none."""
    rest = body[MESSAGE:]
    while len(rest) >= 4:
        length, kind = struct.unpack_from("=HH", rest)
        if kind == INET_DIAG_INFO and length >= LAST_ACK_RECV + 8:
            (milliseconds,) = struct.unpack_from("=I", rest, 4 + LAST_ACK_RECV)
            return float(milliseconds) / 1000
        rest = rest[max(4, (length + 3) & ~3) :]
    return 0.0


def address(family: int, packed: bytes) -> str:
    """An IP address as text."""
    if family == socket.AF_INET:
        return socket.inet_ntop(family, packed[:4])
    found = ipaddress.IPv6Address(packed)
    return str(found.ipv4_mapped or found)


def members(state_file: Path) -> set[tuple[str, int]]:
    """The address and port of every member of a pool."""
    pools = json.loads(state_file.read_text(encoding="utf-8"))["pools"].values()
    return {(one["address"], int(one["port"])) for pool in pools for one in pool["members"]}


def resolve(name: str, port: int) -> set[str]:
    """The addresses of a member. Raises OSError where it has a name that nobody knows now."""
    try:
        return {str(ipaddress.ip_address(name))}
    except ValueError:
        names = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        return {str(ipaddress.ip_address(found[4][0])) for found in names}


class Watch:
    """Which connections are silent since when."""

    def __init__(self, after: float) -> None:
        self.after = after
        self._since: dict[bytes, float] = {}
        self._last = 0.0

    def look(self, silent: Iterable[Connection], now: float) -> set[str]:
        """The hosts, by IP address, with a connection that was silent for so long."""
        if now - self._last > LATE:
            self._since = {}
        self._last = now
        present = {one.identity: one.ip for one in silent}
        self._since = {one: self._since.get(one, now) for one in present}
        return {present[one] for one, since in self._since.items() if now - since >= self.after}


class Pools:
    """Where the members of all pools are, read again when the state changes."""

    def __init__(self, state_file: Path) -> None:
        self._file = state_file
        self._read = (-1.0, 0.0)  # the file's time, and when it was read
        self._known: dict[tuple[str, int], set[str]] = {}

    def ends(self, now: float) -> Ends:
        """Where they are. Keeps what it knows where the state cannot be read, and says so."""
        try:
            changed = self._file.stat().st_mtime
            before, when = self._read
            if changed != before or now - when > RESOLVE:
                self._read = changed, now
                self._known = {one: self._addresses(*one) for one in members(self._file)}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            tell(f"{self._file} cannot be read: {error!r}")
        return {(ip, port) for (_, port), found in self._known.items() for ip in found}

    def _addresses(self, name: str, port: int) -> set[str]:
        """Those of a member; the former ones while nobody knows its name."""
        try:
            return resolve(name, port)
        except OSError:
            return self._known.get((name, port), set())


def tell(text: str) -> None:
    """A line for the journal."""
    print(text, flush=True)


def gone(
    suspects: Iterable[str], standing: Iterable[Connection], after: float
) -> tuple[set[str], str]:
    """Of the hosts with a silent connection, those that acknowledge nothing on any; or none, and
    why: where no other host acknowledges anything either, it may be this balancer that is cut off,
    and nobody is there to be asked instead."""
    latest: dict[str, float] = {}
    for one in standing:
        latest[one.ip] = min(latest.get(one.ip, one.acknowledged), one.acknowledged)
    silent = {ip for ip in suspects if latest.get(ip, 0.0) >= after}
    if silent and not any(ago < after for ago in latest.values()):
        return set(), f"nobody acknowledges anything here, {', '.join(sorted(silent))} included"
    return silent, ""


class Rounds:
    """One look after the other, and what is done of each."""

    def __init__(self, kernel: Kernel, watch: Watch) -> None:
        self._kernel, self._watch = kernel, watch
        self._told = ""

    def look(self, wanted: Ends, now: float) -> None:
        """End the connections to hosts that have vanished. Raises OSError."""
        silent = [c for c in self._kernel.connections(silent=True) if (c.ip, c.port) in wanted]
        suspects = self._watch.look(silent, now)
        if not suspects:
            return
        standing = [c for c in self._kernel.connections() if (c.ip, c.port) in wanted]
        ending, why_not = gone(suspects, standing, self._watch.after)
        if why_not and why_not != self._told:
            tell(why_not)
        self._told = why_not
        for ip in sorted(ending):
            count = sum(self._end(one) for one in standing if one.ip == ip)
            tell(
                f"{ip} has acknowledged nothing for {self._watch.after:g} s; "
                f"ended {count} connections to it"
            )

    def _end(self, one: Connection) -> bool:
        try:
            return self._kernel.end(one)
        except OSError as error:
            tell(f"a connection to {one.ip} cannot be ended: {error}")
            return False


def main() -> None:
    """Watch until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--state", type=Path, default=Path("/var/lib/fuego-deploy/pools.json"))
    parser.add_argument("--after", type=float, default=1.0, help="seconds of silence; 0: never")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if not options.after:
        tell("it is switched off: nginx_vanished_after is 0")
        signal.pause()
    pools, watch = Pools(options.state), Watch(options.after)
    while True:
        # What is left of an answer that went wrong goes with its socket.
        with contextlib.closing(Kernel()) as kernel:
            rounds = Rounds(kernel, watch)
            try:
                while True:
                    wanted = pools.ends(time.monotonic())
                    rounds.look(wanted, time.monotonic())
                    time.sleep(PAUSE)
            except OSError as error:
                tell(f"the kernel does not do as it is asked ({error}); once more in {AGAIN:g} s")
        time.sleep(AGAIN)


if __name__ == "__main__":
    main()
