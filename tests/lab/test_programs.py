"""The programs that look at ports before a lab boots, and at its hosts after."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FILES = Path(__file__).resolve().parents[2] / "roles/lab/files"


@pytest.fixture
def greeter() -> Iterator[int]:
    """The port of a server that greets as one of SSH does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.sendall(b"SSH-2.0-test\r\n")
                connection.close()

        threading.Thread(target=greet, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def run(
    program: str, tmp_path: Path, said: str, host: dict[str, Any], *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a program with a podman that says something."""
    podman = tmp_path / "podman"
    podman.write_text(f"#!/bin/sh\n{said}\n")
    podman.chmod(0o755)
    command = [sys.executable, str(FILES / program), str(podman), *words]
    given = json.dumps([{"name": "app1", **host}])
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


def test_a_port_that_something_else_holds(greeter: int, tmp_path: Path) -> None:
    port = {"address": "127.0.0.1", "port": greeter, "mend": "set lab_http_port"}
    done = run("ports.py", tmp_path, "true", {"ports": [port]}, "label=a")
    assert done.stdout == (
        f"lab: port {greeter} on 127.0.0.1, which app1 needs, is held by something else on this "
        f"machine; end that, or move the lab: set lab_http_port\n"
    )
    own = run("ports.py", tmp_path, f"echo '127.0.0.1:{greeter}->22/tcp'", {"ports": [port]})
    assert (own.stdout, own.returncode) == ("", 0)
    free = run("ports.py", tmp_path, "true", {"ports": [{**port, "address": "127.0.0.9"}]})
    assert (free.stdout, free.returncode) == ("", 0)


@pytest.mark.parametrize("state", ["running", "degraded"])
def test_a_host_that_is_booted(greeter: int, tmp_path: Path, state: str) -> None:
    host = {"loopback": "127.0.0.1", "ssh_port": greeter}
    done = run("booted.py", tmp_path, f"echo {state}", host, "lab", "5")
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize(
    ("said", "address", "told"),
    [
        ("echo stopping; exit 1", "127.0.0.1", "app1 does not boot: stopping"),
        ("exit 124", "127.0.0.1", "app1 has not booted within 0.5 s"),
        ("echo running", "127.0.0.9", "app1 does not answer on SSH within 0.5 s"),
    ],
)
def test_a_host_that_does_not_come(
    greeter: int, tmp_path: Path, said: str, address: str, told: str
) -> None:
    host = {"loopback": address, "ssh_port": greeter}
    done = run("booted.py", tmp_path, said, host, "lab", "0.5")
    assert done.returncode == 1
    assert told in done.stderr
