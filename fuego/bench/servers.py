"""Starts the servers under test on loopback, one worker each, and stops them by their pid."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

from environment import BENCH, PACKAGE

SECONDS_TO_START = 20
SECONDS_TO_STOP = 10


def wsgi_command(python: Path, app: str, port: int) -> list[str]:
    return [
        *(str(python), "-m", "gunicorn", f"{app}()", f"--bind=127.0.0.1:{port}"),
        *("--workers=1", "--worker-class=gthread", "--threads=4"),
        *("--log-level=warning", "--no-control-socket"),
    ]


def asgi_command(python: Path, app: str, port: int, *, ws: str = "none") -> list[str]:
    return [
        *(str(python), "-m", "uvicorn", "--factory", app, "--host=127.0.0.1", f"--port={port}"),
        *("--workers=1", "--loop=uvloop", "--http=httptools", f"--ws={ws}"),
        *("--no-access-log", "--log-level=warning"),
    ]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def cores(chosen: set[int]) -> Iterator[None]:
    """What starts within runs on these alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def split_cores() -> tuple[set[int], set[int]]:
    """One for the server and the others for the client; both the same on a single core."""
    *others, last = sorted(os.sched_getaffinity(0))
    return {last}, set(others) or {last}


@contextlib.contextmanager
def running(command: list[str], port: int, on: set[int]) -> Iterator[int]:
    """A server that accepts connections, by its pid; stopped at the end."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join((str(PACKAGE / "src"), str(BENCH)))}
    with TemporaryFile() as log:
        with cores(on):
            process = subprocess.Popen(
                command, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        try:
            _wait(process, port)
            yield process.pid
        except Exception as error:
            log.seek(0)
            error.add_note(f"{' '.join(command[1:4])} wrote:\n{log.read().decode()[-2000:]}")
            raise
        finally:
            _stop(process)


def processor_seconds(pid: int) -> float:
    """What a process and those it started have used so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return used + sum(processor_seconds(int(child)) for child in children)


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server did not listen within {SECONDS_TO_START} s")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(SECONDS_TO_STOP)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its own session: the server and its workers
        process.wait(SECONDS_TO_STOP)
