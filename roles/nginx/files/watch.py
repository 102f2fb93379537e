#!/usr/bin/python3
"""Managed by fuego-deploy; edits are lost. End connections to app hosts that have vanished.

A host whose network or power is cut says no word. What nginx has just sent it on a connection that
stood already is sent again and again by the kernel, for a quarter of an hour, and to nginx the host
looks like an app that takes its time. nginx cannot limit that (TCP_USER_TIMEOUT, RFC 5482), and the
kernel only for all connections, those to clients included.

So this looks at the balancer's connections to the hosts of its pools, several times a second. Where
a host has acknowledged nothing on one of them for so long, all to that host are ended, and nginx
asks another host at once wherever that is safe. An app that takes its time is not concerned: its
host's kernel acknowledges what it is sent.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ESTABLISHED = "01"
PAUSE = 0.25
"""Seconds between two looks."""
RESOLVE = 60.0
"""Seconds after which host names are looked up anew."""

Ends = dict[str, tuple[str, int]]
"""The far end of a connection, as the kernel writes it → the IP address and the port."""


def members(state_file: Path) -> set[tuple[str, int]]:
    """The address and port of every member of a pool; none where there are no pools."""
    try:
        state = json.loads(state_file.read_text(encoding="utf-8"))
        pools = state["pools"].values()
        return {(one["address"], int(one["port"])) for pool in pools for one in pool["members"]}
    except FileNotFoundError:
        return set()


def ends(found: Iterable[tuple[str, int]]) -> Ends:
    """How the kernel writes these members; of those with a name, every address that it has now."""
    written: Ends = {}
    for address, port in found:
        try:
            names = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        except OSError:
            continue
        for name in names:
            ip = ipaddress.ip_address(name[4][0])
            mapped = [bytes(10) + b"\xff\xff" + ip.packed] if ip.version == 4 else []
            for packed in (ip.packed, *mapped):
                words = struct.unpack(f"={len(packed) // 4}I", packed)
                text = "".join(f"{word:08X}" for word in words)
                written[f"{text}:{port:04X}"] = str(ip), port
    return written


def silent(wanted: Ends, tables: Iterable[Path] = TABLES) -> Iterator[tuple[str, str]]:
    """The connections to these ends on which something is being sent again: each one's identity,
    and the IP address of its far end."""
    for table in tables:
        try:
            lines = table.read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            continue  # a kernel without IPv6
        for line in lines:
            _, local, remote, state, *rest = line.split(None, 7)
            if remote in wanted and state == ESTABLISHED and int(rest[2], 16) > 0:
                yield f"{local} {remote}", wanted[remote][0]


class Watch:
    """Which connections are silent since when."""

    def __init__(self, after: float) -> None:
        self.after = after
        self._since: dict[str, float] = {}

    def look(self, found: Iterable[tuple[str, str]], now: float) -> set[str]:
        """The hosts, by IP address, that have been silent for so long."""
        present = dict(found)
        self._since = {one: self._since.get(one, now) for one in present}
        return {present[one] for one, since in self._since.items() if now - since >= self.after}


def end(ip: str, ports: Iterable[int]) -> int:
    """End the connections to these ports of a host; how many there were."""
    count = 0
    for port in sorted(ports):
        condition = ["dst", f"[{ip}]" if ":" in ip else ip, "and", "dport", "=", f":{port}"]
        command = ["ss", "--kill", "--no-header", "--tcp", "--numeric", "state", "established"]
        done = subprocess.run([*command, *condition], capture_output=True, text=True, check=False)
        if done.returncode or done.stderr:
            print(f"ss: {done.stderr.strip()}", file=sys.stderr, flush=True)
        count += len(done.stdout.splitlines())
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--state", type=Path, default=Path("/var/lib/fuego-deploy/pools.json"))
    parser.add_argument("--after", type=float, default=1.0, help="seconds of silence")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    watch = Watch(options.after)
    known: set[tuple[str, int]] = set()
    wanted: Ends = {}
    stamp, looked_up = 0.0, -RESOLVE
    while True:
        now = time.monotonic()
        changed = options.state.stat().st_mtime if options.state.exists() else 0.0
        if changed != stamp or now - looked_up > RESOLVE:
            known, stamp, looked_up = members(options.state), changed, now
            wanted = ends(known)
        for ip in watch.look(silent(wanted), now):
            ports = {port for there, port in wanted.values() if there == ip}
            print(
                f"{ip} has acknowledged nothing for {options.after:g} s; "
                f"ended {end(ip, ports)} connections to it",
                flush=True,
            )
        time.sleep(PAUSE)


if __name__ == "__main__":
    main()
