"""An open event stream does not hold up the end of a real server."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

for name in ("uvicorn", "gunicorn", "uvicorn_worker"):
    pytest.importorskip(name)

PACKAGE = Path(__file__).parents[1]
PATIENCE = 20.0  # seconds; under the 30 that gunicorn waits, and the day that uvicorn would

MAIN = """
import asyncio
from fuego import EventStream, Fuego

app = Fuego()
app.health("/healthz")

@app.get("/events")
async def events(request):
    async def none():
        yield "first"
        await asyncio.sleep(86400)
    return EventStream(none())

wsgi, asgi = app.wsgi, app.asgi
"""

UVICORN = ["uvicorn", "main:asgi", "--fd={}"]
GUNICORN = ["gunicorn", "main:wsgi", "--threads=2", "--bind=fd://{}"]
BOTH = [
    *("gunicorn", "main:asgi", "--worker-class=uvicorn_worker.UvicornWorker"),
    "--bind=fd://{}",
]


@pytest.mark.parametrize(
    "command", [UVICORN, GUNICORN, BOTH], ids=["uvicorn", "gunicorn", "gunicorn-uvicorn"]
)
def test_an_open_event_stream(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(MAIN)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(listener.fileno()) for part in command)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(PACKAGE / "src")},
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with socket.create_connection(listener.getsockname(), PATIENCE) as client:
                client.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
                received = b""
                while b"data: first" not in received:
                    received += client.recv(1000) or pytest.fail("the server ended")
                process.terminate()
                while more := client.recv(1000):
                    received += more
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
    assert received.endswith(b"0\r\n\r\n")
