"""`make dev`: each app starts by its development command, answers, follows what is written to it,
and ends at Ctrl-C."""

from __future__ import annotations

import os
import shutil
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
HANDLER = '\n\n@app.get("/reloaded")\ndef reloaded({}):\n    return {}\n\n\n'
URLS = ("guestbook/urls.py", "urlpatterns = [", 'urlpatterns = [path("reloaded", views.healthz),')
EDITS = {
    "hello": (
        "main.py",
        "\n\nif __name__",
        HANDLER.format("request", 'Response(b"yes")') + "if __name__",
    ),
    "flask": ("main.py", "\n\ndef told(", HANDLER.format("", '"yes"') + "def told("),
    "django": URLS,
    "django-asgi": URLS,
    "fastapi": (
        "main.py",
        "\n\nasync def told(",
        HANDLER.format("", '"yes"') + "async def told(",
    ),
}
"""File, text that it has once, and what is written in its place, which answers /reloaded."""


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    """The tool of a copy of the checkout, as far as it uses it."""
    copy = tmp_path / "checkout"
    for name in ("apps", "fuego/src", "roles/app/servers"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "tools").mkdir()
    shutil.copy(TOOL, copy / "tools")
    return copy / "tools/dev.py"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        number: int = held.getsockname()[1]
        return number


def wait_for(process: subprocess.Popen[str], port: int, path: str) -> None:
    """Wait until it answers with 200 there; between two starts nobody listens."""
    deadline = time.monotonic() + SECONDS
    found: object = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            found = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code
        except httpx.TransportError as error:
            found = error
        if found == 200:
            return
        time.sleep(0.2)
    pytest.fail(f"{path}: {found}")


@pytest.mark.parametrize("arguments", [["nope"], []])
def test_an_unknown_app_is_refused_with_those_there_are(arguments: list[str]) -> None:
    refused = subprocess.run(
        [sys.executable, TOOL, *arguments], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.endswith(f"one of {', '.join(APPS)}\n")


@pytest.mark.parametrize("app", APPS)
def test_it_starts_follows_its_source_and_ends(app: str, tool: Path, tmp_path: Path) -> None:
    port = free_port()
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, tool, app, f"--port={port}"],
            env=os.environ | {"DATABASE_PATH": str(tmp_path / "db.sqlite3")},
            stdout=output,
            stderr=output,
            text=True,
        )
        try:
            wait_for(process, port, "/healthz")
            assert httpx.get(f"http://127.0.0.1:{port}/reloaded", timeout=5).status_code == 404
            name, known, edited = EDITS[app]
            folder = "django" if app == "django-asgi" else app
            source = tool.parents[1] / "apps" / folder / name
            text = source.read_text()
            assert text.count(known) == 1
            source.write_text(text.replace(known, edited))
            wait_for(process, port, "/reloaded")
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.terminate()
            process.wait(20)
            print(log.read_text())
    assert "Traceback" not in log.read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
