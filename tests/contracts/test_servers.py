"""Each server is one file of data that the specification knows, with a lock that stands alone."""

import os
import re
import runpy
from pathlib import Path

import pytest
from fleet.catalogue import read_server
from tree import ROOT, options

FOLDER = ROOT / "roles" / "app" / "servers"
SERVERS = sorted(FOLDER.glob("*.yml"), key=lambda path: path.stem)
ENTRY = options(ROOT / "roles" / "app")["app_spec"]["options"]
KEYS = {"protocols", "requirements", "settings", "bind", "socket", "type", "command"}
KEYS |= {"environment", "files"}
OPTIONAL = {"based_on", "fixed", "own_config", "upstream_protocol"}
COMMAND = {"venv", "config", "callable", "protocol"}
LISTENING = {"address", "port", "listen"}

every_server = pytest.mark.parametrize("path", SERVERS, ids=lambda path: path.stem)


def test_choices_are_the_files() -> None:
    assert ENTRY["server"]["choices"] == [path.stem for path in SERVERS]


@every_server
def test_file_has_the_keys_of_a_server(path: Path) -> None:
    server = read_server(path)
    assert set(server) - OPTIONAL == KEYS
    assert set(server["protocols"]) <= set(ENTRY["protocol"]["choices"])
    assert set(server["socket"]) == {"inherit", "no_delay"}
    assert set(server["bind"]) <= {"port", "bind"}
    assert server["type"] in {"notify", "exec"}
    named = set(re.findall(r"\{(\w+)\}", server["command"]))
    assert named <= COMMAND | LISTENING
    assert server["socket"]["inherit"] is not bool(named & LISTENING)
    assert all(isinstance(value, str) for value in server["environment"].values())
    assert all((FOLDER / name).is_file() for name in server["files"])


@every_server
def test_settings_are_keys_of_the_entry(path: Path) -> None:
    for key, setting in read_server(path)["settings"].items():
        assert ENTRY[key]["type"] == "int"
        assert set(setting) - {"default", "also", "jitter", "maximum"} == {"env", "minimum"}
        default = setting.get("default", setting["minimum"])
        assert default == "processors" or default >= setting["minimum"]


@every_server
def test_lock_is_pinned_hashed_and_names_no_index(path: Path) -> None:
    lock = (FOLDER / read_server(path)["requirements"]).read_text(encoding="utf-8")
    packages = re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", lock, flags=re.MULTILINE).strip())
    assert packages != [""]
    for package in packages:
        assert re.match(r"[\w.-]+==\S+ ", package), package
        assert "--hash=sha256:" in package, package
    assert not re.search(r"https?://|^-|--index|--find-links", lock, re.MULTILINE)


@every_server
def test_lock_holds_what_its_source_names(path: Path) -> None:
    lock = (FOLDER / read_server(path)["requirements"]).read_text(encoding="utf-8")
    source = (
        (FOLDER / read_server(path)["requirements"]).with_suffix(".in").read_text(encoding="utf-8")
    )
    for requirement in source.split():
        name, _, version = requirement.partition("==")
        assert re.search(rf"^{re.escape(name)}=={re.escape(version)}", lock, re.MULTILINE)


def configured(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict[str, object]:
    for name in [name for name in os.environ if name.startswith("GUNICORN_")]:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"APP_NAME": "shop", **environment}.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(FOLDER / "gunicorn.conf.py"))


def test_gunicorn_takes_its_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configured(monkeypatch, GUNICORN_WORKERS="7", GUNICORN_TIMEOUT="0")
    assert (settings["workers"], settings["timeout"]) == (7, 0)


@pytest.mark.parametrize("server", ["gunicorn", "gunicorn-uvicorn"])
def test_gunicorn_has_the_defaults_of_the_data(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(monkeypatch)
    for key, setting in read_server(FOLDER / f"{server}.yml")["settings"].items():
        if isinstance(setting.get("default"), int):
            assert settings[key] == setting["default"]
    assert "max_requests" not in settings


def test_gunicorn_spreads_the_end_of_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configured(monkeypatch, GUNICORN_MAX_REQUESTS="500")
    assert (settings["max_requests"], settings["max_requests_jitter"]) == (500, 50)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("GUNICORN_WORKERS", "two", "GUNICORN_WORKERS: 'two' is not a whole number"),
        ("GUNICORN_THREADS", "0", "GUNICORN_THREADS: 0 is below 1"),
        ("GUNICORN_TIMEOUT", "-1", "GUNICORN_TIMEOUT: '-1' is not a whole number"),
    ],
)
def test_gunicorn_refuses_a_wrong_value(
    name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=re.escape(reason)) as refusal:
        configured(monkeypatch, **{name: value})
    assert "/etc/shop/env.local" in str(refusal.value)
