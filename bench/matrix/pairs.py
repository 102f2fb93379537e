"""Which framework runs on which server, and what was measured of each pair."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "fuego" / "bench"), str(ROOT / "plugins")]

import contenders  # type: ignore[import-not-found]  # noqa: E402
from fleet.catalogue import read_server  # noqa: E402

SERVERS = {
    path.stem: read_server(path) for path in sorted((ROOT / "roles/app/servers").glob("*.yml"))
}
Latency = tuple[float, float, float]
"""Requests a second, median and 99th percentile in milliseconds."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A framework on a server."""

    protocol: str
    framework: str
    server: str
    factory: str
    port: int
    path: ClassVar[str] = "/items/7"

    @property
    def name(self) -> str:
        """The app's name in the inventory."""
        framework = re.sub(r"\W+", "-", self.framework.lower())
        letters = {"gunicorn": "gu", "uvicorn": "uv"}
        server = re.sub(r"gunicorn|uvicorn", lambda m: letters[m[0]], self.server)
        return f"{self.protocol.lower()}-{framework}-{server}"[:31]

    @property
    def inherits(self) -> bool:
        """Whether systemd holds its socket."""
        return bool(SERVERS[self.server]["socket"]["inherit"])

    @property
    def speaks_http(self) -> bool:
        """Whether it can be asked past nginx."""
        return bool(SERVERS[self.server].get("upstream_protocol", "http") == "http")

    def entry(self) -> dict[str, object]:
        """What the inventory says of it."""
        return {
            "source": {"path": "fuego/bench", "packages": ["fuego"]},
            "callable": f"contenders:{self.factory}()",
            "protocol": self.protocol.lower(),
            "server": self.server,
            "port": self.port,
            "domains": [f"{self.name}.localhost"],
            "health": {"path": self.path, "status": [200]},
            **({"workers": 1} if "workers" in SERVERS[self.server]["settings"] else {}),
        }


@dataclass(slots=True)
class Figures:
    """What the rounds gave, a value for each."""

    starts: list[float] = field(default_factory=list)
    """Seconds until the first answer."""
    memory: list[float] = field(default_factory=list)
    """Bytes, shared pages in proportion (Pss), after the bursts."""
    past: list[Latency] = field(default_factory=list)
    """Past nginx; none over the uwsgi protocol."""
    through: list[Latency] = field(default_factory=list)


def pairs() -> list[Pair]:
    """Every framework on every server that speaks its protocol."""
    frameworks = {"WSGI": contenders.WSGI, "ASGI": contenders.ASGI}
    wanted = [
        (protocol, framework, server, factory)
        for protocol, made in frameworks.items()
        for framework, factory in made.items()
        for server, data in SERVERS.items()
        if protocol.lower() in data["protocols"]
    ]
    return [Pair(*each, port=9000 + number) for number, each in enumerate(wanted)]
