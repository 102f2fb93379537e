"""`make dev`: each app starts by its development command, answers, and ends at Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/dev.py"
SECONDS = 90  # the first start fetches what the app requires
APPS = ("hello", "flask", "django", "django-asgi", "fastapi")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        number: int = held.getsockname()[1]
        return number


def answer(process: subprocess.Popen[str], port: int) -> httpx.Response:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5)
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail("it does not answer")


@pytest.mark.parametrize("arguments", [["nope"], []])
def test_an_unknown_app_is_refused_with_those_there_are(arguments: list[str]) -> None:
    refused = subprocess.run(
        [sys.executable, TOOL, *arguments], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.endswith(f"one of {', '.join(APPS)}\n")


@pytest.mark.parametrize("app", APPS)
def test_it_starts_answers_and_ends(app: str, tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, TOOL, app, f"--port={port}"],
            env=os.environ | {"DATABASE_PATH": str(tmp_path / "db.sqlite3")},
            stdout=output,
            stderr=output,
            text=True,
        )
        try:
            assert answer(process, port).status_code == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.terminate()
            process.wait(20)
            print(log.read_text())
    assert "Traceback" not in log.read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
