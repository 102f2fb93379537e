"""The command `fuego`, and what `app.run` starts."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fuego import Fuego, cli, development, project

MAIN = """
from fuego import Fuego
app = Fuego()
app.get("/items/{id:int}")(lambda request, id: {})
@app.route("/form", methods=("GET", "POST"), name="form")
def form(request): ...
other = 7
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.delenv(development.CHILD, raising=False)
    (tmp_path / "project.py").write_text(MAIN)
    monkeypatch.delitem(sys.modules, "project", raising=False)


def test_routes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["routes", "project:app"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["METHODS", "PATH", "NAME"],
        ["GET", "/items/{id:int}", "<lambda>"],
        ["GET,", "POST", "/form", "form"],
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["routes", "project:other"], "'project:other' is not a Fuego app"),
        (["routes", "nothing:app"], "No module named 'nothing'"),
        (["new", "Bad Name"], "'Bad Name' will not do"),
    ],
)
def test_what_fails_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_run_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def run(app: Fuego, *args: Any, **kwargs: Any) -> None:
        calls.append((app.debug, args, kwargs))

    monkeypatch.setattr(development, "run", run)
    assert cli.main(["run", "project", "--port", "0", "--no-reload"]) == 0
    monkeypatch.setenv(development.CHILD, "1")
    assert cli.main(["run", "project:app", "--protocol", "asgi"]) == 0
    assert calls == [
        (True, ("127.0.0.1", 0), {"reload": False, "protocol": "wsgi"}),
        (True, ("127.0.0.1", 8000), {"reload": True, "protocol": "asgi"}),
    ]


def test_run_with_reload_supervises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands: list[list[str]] = []

    def supervise(command: list[str]) -> int:
        commands.append(command)
        return 3

    monkeypatch.setattr(development, "supervise", supervise)
    with pytest.raises(SystemExit) as end:
        cli.main(["run", "broken:app"])
    assert end.value.code == 3
    assert commands == [[sys.executable, *sys.orig_argv[1:]]]
    assert Path(sys.argv[0]).parent == tmp_path


def test_run_over_asgi_takes_uvicorn(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    app = Fuego()
    uvicorn = SimpleNamespace(run=lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setitem(sys.modules, "uvicorn", uvicorn)
    app.run(port=1, protocol="asgi")
    assert calls == [((app.asgi,), {"host": "127.0.0.1", "port": 1})]
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"fuego-web\[asgi\]"):
        app.run(protocol="asgi")


def test_a_new_project_passes_its_own_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["new", "my-shop"]) == 0
    assert "fuego run main:app" in capsys.readouterr().out
    folder = tmp_path / "my-shop"
    assert {path.name for path in folder.iterdir()} == {
        "main.py",
        "test_main.py",
        "requirements.txt",
        "apps.yml",
    }
    entry = (folder / "apps.yml").read_text()
    assert re.search(
        r"^apps:\n  my-shop:\n    source: \{path: .*my-shop, packages: \[.*\]\}\n",
        entry,
        re.MULTILINE,
    )
    assert (folder / "requirements.txt").read_text().startswith("fuego-web==")
    source = str(Path(cli.__file__).parents[1])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": source}, check=True)
    assert cli.main(["new", "my-shop"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_new_project_of_an_installed_fuego(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "CHECKOUT", tmp_path / "site-packages")
    entry = (project.create("shop", tmp_path) / "apps.yml").read_text()
    assert f"source: {{path: {tmp_path / 'shop'}}}\n" in entry


def test_as_a_module(tmp_path: Path) -> None:
    source = str(Path(cli.__file__).parents[1])
    command = [sys.executable, "-m", "fuego", "routes", "project:app"]
    env = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True)
    assert b"/items/{id:int}" in done.stdout
