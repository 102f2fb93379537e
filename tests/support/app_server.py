"""Servers of the sample apps as processes of their own, on a port that is free."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from traffic import Traffic

COMMANDS = {
    "gunicorn": ("gunicorn", "--bind=fd://{fd}", "--threads=8", "--no-control-socket"),
    "uvicorn": ("uvicorn", "--fd={fd}", "--log-level=warning"),
}

WRAPPER = Path(__file__).resolve().parents[2] / "roles/app/servers"
WRAPPED = {"gunicorn"}
"""Started as the role starts it, by its wrapper."""


@contextmanager
def served(folder: Path, server: str, target: str, environment: Mapping[str, str]) -> Iterator[str]:
    """Serve what `target` names in `folder`; yield its address:port."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        words = (word.format(fd=held.fileno()) for word in COMMANDS[server])
        wrapped = {"APP_CALLABLE": target, "APP_PROTOCOL": "wsgi", "PYTHONPATH": str(WRAPPER)}
        process = subprocess.Popen(
            [sys.executable, "-m", *words, "served:app" if server in WRAPPED else target],
            cwd=folder,
            env=os.environ | environment | (wrapped if server in WRAPPED else {}),
            pass_fds=[held.fileno()],
        )
        try:
            yield f"127.0.0.1:{held.getsockname()[1]}"  # connections wait until it accepts them
        finally:
            process.terminate()
            process.wait(30)


def asked_under_traffic(
    folder: Path, server: str, target: str, environment: Mapping[str, str], balancers: str
) -> dict[str, Any]:
    """Serve it, and return what /whoami says to one who claims to be a balancer, of a client that
    claims to be another one. Every client of a deployment's traffic has to be content meanwhile."""
    claimed = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Forwarded-Proto": "https"}
    settings = {**environment, "FORWARDED_ALLOW_IPS": balancers, "APP_RELEASE": "r-1"}
    lasting = ("websocket", "events") if server == "gunicorn" else ()
    with served(folder, server, target, settings) as address:
        answer = httpx.get(f"http://{address}/whoami", headers=claimed, timeout=30)
        with Traffic("localhost", address, rate=50, lasting=1, without=lasting) as traffic:
            traffic.mark("look at it")
    report = traffic.report()
    assert not report.failed, report.summary()
    assert report.releases == {"r-1": report.requests}
    seen: dict[str, Any] = answer.json()
    assert seen["server"] == server
    return seen
