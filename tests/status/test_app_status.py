"""What a host tells of its apps, with a real app to ask."""

import json
from pathlib import Path
from typing import Any

import app_status
import pytest
from fuego_deploy import units
from fuego_deploy.layout import MARK, App, DeployError, claim, write_json
from fuego_deploy.units import State
from loopback import Running, app
from modules import call


class Host:
    """A host with one app in force, that listens on a port of this machine."""

    def __init__(self, root: Path, running: Running) -> None:
        self.app = App("fuego-test-shop", root)
        claim(self.app)
        self.app.units.mkdir(parents=True)
        for name in self.app.unit_names:
            (self.app.units / name).write_text(f"# {MARK}\n")
        self.folder = self.app.activations / "3"
        self.folder.mkdir()
        (self.folder / "release").symlink_to("../../releases/aaaaaaaaaaaa.py313")
        write_json(self.folder / ".activation.json", {"digest": "d"})
        self.app.current.symlink_to("activations/3")
        write_json(self.app.home / "serving.json", {"proved": 3, "committed": 3})
        self.gate("/healthz", running.port)
        self.running = running
        self.states = {name: State("active", "enabled", False, "success", 2, 17)
                       for name in self.app.unit_names}  # fmt: skip

    def gate(self, path: str, port: int) -> None:
        gate = {"address": "127.0.0.1", "port": port, "path": path, "headers": {}, "status": [],
                "deadline": 9.0, "body": "", "interval": 1.0}  # fmt: skip
        write_json(self.folder / ".gate.json", gate)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with app() as running:
        host = Host(tmp_path, running)
        monkeypatch.setattr(units, "states", lambda names: {n: host.states[n] for n in names})
        yield host


@pytest.fixture
def told(host: Host, capsys: pytest.CaptureFixture[str]) -> Any:
    def tell() -> Any:
        found = call(
            app_status.main, capsys, check=True, apps=[host.app.name], root=str(host.app.root),
            timeout=2,
        )  # fmt: skip
        assert found["changed"] is False
        return found["apps"][host.app.name] | {"changes": found["changes"]}

    return tell


def test_an_app_that_serves(host: Host, told: Any) -> None:
    found = told()
    assert (found["release"], found["uncommitted"]) == ("aaaaaaaaaaaa", False)
    assert found["units"]["fuego-test-shop.service"]["restarts"] == 2
    assert found["units"]["fuego-test-shop.socket"]["since"] == 17
    assert found["answer"] == {"path": "/healthz", "status": 200, "problem": "", "healthy": True}
    assert (found["hold"], found["lock"], found["changes"]) == (None, None, [])


def test_an_answer_that_is_not_healthy_and_none_at_all(host: Host, told: Any) -> None:
    host.gate("/broken", host.running.port)
    assert (told()["answer"]["status"], told()["answer"]["healthy"]) == (500, False)
    host.gate("/healthz", 1)
    answer = told()["answer"]
    assert (answer["status"], answer["healthy"]) == (None, False)
    assert "refused" in answer["problem"]


@pytest.mark.parametrize("active", ["inactive", "failed", "activating", "deactivating"])
def test_a_service_that_does_not_run_is_not_started_by_asking(
    host: Host, told: Any, active: str
) -> None:
    service = host.app.unit_names[0]
    host.states[service] = State(active, "enabled", False, "exit-code")
    assert told()["answer"] is None
    assert host.running.seen == []


def test_an_app_that_was_never_deployed(host: Host, told: Any) -> None:
    host.app.current.unlink()
    for name in host.app.unit_names:
        (host.app.units / name).unlink()
    found = told()
    assert (found["release"], found["units"], found["answer"]) == ("", {}, None)


def test_a_hold_a_lock_and_a_change_under_way(host: Host, told: Any) -> None:
    hold = {"release": "aaaaaaaaaaaa", "by": "al", "since": "now"}
    write_json(host.app.home / "serving.json", {"proved": 3, "committed": 2, "hold": hold})
    locks = host.app.root / "var/lib/fuego-deploy/locks"
    locks.mkdir(parents=True)
    write_json(locks / "fuego-test-shop.json", {"run": "r", "who": "al"})
    found = told()
    assert (found["hold"], found["uncommitted"]) == (hold, True)
    assert found["lock"] == {"run": "r", "who": "al"}


def test_what_cannot_be_read_is_told(
    host: Host, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(host.folder / ".gate.json", {"other": "shape"})
    assert "activation 3 cannot be read" in told()["problem"]
    (host.folder / ".gate.json").unlink()
    assert "never passed" in told()["problem"]

    def refuses(names: Any) -> Any:
        raise DeployError("systemctl show: Connection refused")

    monkeypatch.setattr(units, "states", refuses)
    assert "Connection refused" in told()["problem"]


def test_changes_are_those_of_these_apps_the_newest_first(host: Host, told: Any) -> None:
    log = host.app.root / "var/log/fuego-deploy/audit.jsonl"
    log.parent.mkdir(parents=True)
    lines = [{"app": app, "run": f"r{n}"} for n in range(80) for app in ("other", host.app.name)]
    text = "\n".join(map(json.dumps, lines)).encode() + b'\n\xff\xfe\n[7]\n{"app": '
    log.write_bytes(text)
    found = told()["changes"]
    assert [entry["run"] for entry in found[:2]] == ["r79", "r78"]
    assert {entry["app"] for entry in found} == {host.app.name}
