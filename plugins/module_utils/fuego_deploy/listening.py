"""Whether a host can listen where an app is to: asked before anything is switched."""

import errno
import re
import socket
from collections.abc import Iterable
from pathlib import Path

from .layout import App, DeployError, is_ours

STREAM = re.compile(r"^(?:X-)?ListenStream=\[?([0-9a-fA-F.:]+?)\]?:(\d+)$", re.MULTILINE)


def read_stream(unit: str) -> tuple[str, int] | None:
    """The address and port in the text of a socket unit, or of a service that opens its own."""
    match = STREAM.search(unit)
    return (match[1], int(match[2])) if match else None


def check_listening(app: App, units: Iterable[str]) -> None:
    """Refuse an address that is none of the host's, and a port that somebody else holds.

    systemd's FreeBind, which lets sockets open before the network is up, would hide the first;
    the second would only show up once the old socket is closed.
    """
    wanted = next(filter(None, map(read_stream, units)), None)
    if wanted is None:
        return
    address, port = wanted
    if _bind(address, 0) == errno.EADDRNOTAVAIL:
        raise DeployError(
            f"apps.{app.name}: app_bind is {address}, which is no address of this host; set "
            f"app_bind (or app_address, its default) to one that it has"
        )
    for name in app.unit_names:
        installed = app.units / name
        if installed.is_file() and read_stream(installed.read_text("utf-8", "replace")) == wanted:
            return  # ours already
    if _bind(address, port) == errno.EADDRINUSE:
        raise DeployError(
            f"apps.{app.name}.port: {port} on {address} is in use on this host"
            f"{_holder(app.units, address, port)}; or take another port"
        )


def _bind(address: str, port: int) -> int:
    """The error number of listening there for a moment, or 0."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
            probe.listen(1)
    except OSError as problem:
        return problem.errno or 0
    return 0


def _holder(units: Path, address: str, port: int) -> str:
    """Which app of ours holds the port, where one does."""
    for unit in sorted([*units.glob("*.socket"), *units.glob("*.service")]):
        if is_ours(unit) and read_stream(unit.read_text("utf-8", "replace")) == (address, port):
            return f" by {unit.name}, another app of yours: move or stop that one first"
    return " by something else: end that first"
