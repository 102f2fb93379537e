import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fuego import Fuego, Request, WebSocket, development

# Runs until its file changes, then ends well: what it does in turn is what `supervise` saw.
COUNTING = """\
import os, pathlib, sys, time
runs = pathlib.Path(__file__).with_name("runs")
runs.write_text(runs.read_text() + os.environ["FUEGO_RELOADED"])
"""


@pytest.fixture(autouse=True)
def _restore_signal() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "runs").write_text("")
    path = tmp_path / "main.py"
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.setattr(development, "POLL", 0.01)
    return path


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_serves(app: Fuego, host: str) -> None:
    @app.get("/")
    async def handler(request: Request) -> str:
        return f"{request.client}"

    with development.make_server(app.wsgi, host, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        shown = f"[{host}]" if ":" in host else host
        with urllib.request.urlopen(f"http://{shown}:{server.server_port}/") as response:
            assert response.read() == host.encode()
        server.shutdown()
        thread.join()


def test_answers_for_a_websocket(app: Fuego) -> None:
    """wsgiref fails on the Upgrade header that comes with 426."""

    @app.websocket("/ws")
    async def handler(socket: WebSocket) -> None:
        await socket.accept()

    with development.make_server(app.wsgi, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/ws")
        caught.value.close()
        assert caught.value.code == 426
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_run_ends_quietly(
    app: Fuego, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(development.Server, "serve_forever", interrupted)
    app.run(host, 0)
    shown = f"[{host}]" if ":" in host else host
    assert f"Fuego serves http://{shown}:" in capsys.readouterr().out


def test_reload_starts_the_same_command_again(app: Fuego, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def supervise(command: list[str]) -> int:
        commands.append(command)
        return 5

    monkeypatch.setattr(development, "supervise", supervise)
    monkeypatch.delenv(development.CHILD, raising=False)
    with pytest.raises(SystemExit) as end:
        app.run(reload=True)
    assert end.value.code == 5
    assert commands == [[sys.executable, *sys.orig_argv[1:]]]


def test_a_child_that_ends_well_is_the_end(main: Path) -> None:
    main.write_text(COUNTING)
    assert development.supervise([sys.executable, str(main)]) == 0
    assert (main.parent / "runs").read_text() == "1"


@pytest.mark.parametrize("last", ["time.sleep(60)", "sys.exit(1)"], ids=["serving", "failed"])
def test_a_change_starts_it_again(main: Path, last: str) -> None:
    main.write_text(f"{COUNTING}{last}\n")
    runs = main.parent / "runs"

    def mend() -> None:
        deadline = time.monotonic() + 10
        while not runs.read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        main.write_text(COUNTING)

    thread = threading.Thread(target=mend)
    thread.start()
    assert development.supervise([sys.executable, str(main)]) == 0
    thread.join()
    assert runs.read_text() == "11"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_the_child_ends_with_its_supervisor(
    main: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    children: list[subprocess.Popen[bytes]] = []

    def start(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        children.append(popen(*args, **options))
        return children[-1]

    def signalled(seconds: float) -> None:
        signal.raise_signal(getattr(signal, name))

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(development, "time", SimpleNamespace(sleep=signalled))
    main.write_text("import time\ntime.sleep(60)\n")
    # A shell starts what it puts into the background with SIGINT ignored.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = development.supervise([sys.executable, str(main)])
    except SystemExit as end:
        code = int(str(end.code))
    finally:
        signal.signal(signal.SIGINT, former)
    assert code == 0
    assert [child.returncode for child in children] == [-signal.SIGTERM]


def test_what_is_watched(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = main.parent / "pkg" / "module.py"
    hidden = main.parent / ".venv" / "lib.py"
    for path in (main, below, hidden):
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    gone = SimpleNamespace(__file__=str(main.parent / "gone.py"))
    monkeypatch.setitem(sys.modules, "gone", gone)
    files = development.watched()
    assert {main, below, Path(development.__file__)} <= files.keys()
    assert files.keys().isdisjoint({hidden, Path(os.__file__), Path(gone.__file__)})
