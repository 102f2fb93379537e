"""A change of an app: in which order, what is told when it fails, and the way back."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fuego_deploy import activation, change, health, units
from fuego_deploy.activation import Wanted
from fuego_deploy.layout import App, DeployError
from fuego_deploy.units import State

HEADER = "# Managed by fuego-deploy; edits are lost.\n"
RUN = {
    "id": "run-1",
    "who": "alice@desk",
    "purpose": "deploy",
    "host": "app1",
    "hosts": "app1,app2",
}
GATE = health.Gate("127.0.0.1", 8000, "/healthz", {"Host": "shop.example"}, (200,), 5)


class Systemd:
    """Takes down what it is told, and answers the health check as long as nothing is broken."""

    def __init__(self, app: str) -> None:
        self.app = app
        self.told: list[str] = []
        self.broken: set[str] = set()
        self.restarts = 0
        self.enabled = "enabled"

    def states(self, names: tuple[str, ...]) -> dict[str, State]:
        return {name: State("active", self.enabled, False, "success", self.restarts)
                for name in names}  # fmt: skip

    def control(self, verb: str, *names: str) -> None:
        self.told += [f"{verb} {name.removeprefix(self.app).removeprefix('.')}" for name in names]
        if verb in self.broken:
            raise DeployError(f"systemctl {verb}: Job failed")


@pytest.fixture(autouse=True)
def systemd(monkeypatch: pytest.MonkeyPatch, app: App) -> Systemd:
    fake = Systemd(app.name)
    monkeypatch.setattr(units, "states", fake.states)
    monkeypatch.setattr(units, "control", fake.control)
    monkeypatch.setattr(units, "reload", lambda: fake.told.append("daemon-reload"))
    monkeypatch.setattr(units, "reset_failed", lambda _: None)
    monkeypatch.setattr(units, "journal", lambda *_: "ModuleNotFoundError: No module named 'shop'")

    def answers() -> Iterator[health.Answer]:
        while True:
            now = activation.current(app)
            broken = now is None or now.release.startswith("bad")
            yield health.Answer(500, "boom") if broken else health.Answer(200, "ok")

    given = answers()
    monkeypatch.setattr(health, "ask", lambda *_: next(given))
    monkeypatch.setattr(health, "PAUSES", (0.01,))
    return fake


def wanted(app: App, release: str) -> Wanted:
    service, socket = app.unit_names
    return Wanted(
        release,
        {},
        {service: f"{HEADER}[Service]\n", socket: f"{HEADER}[Socket]\nListenStream=80\n"},
    )


def lay(app: App, release: str) -> int:
    return activation.lay(app, wanted(app, release)).number


def activate(app: App, number: int, gate: health.Gate = GATE, **hooks: list[str]) -> Any:
    progress = change.Progress()
    change.activate(app, number, gate, progress, RUN, hooks)
    return progress


def in_force(app: App) -> int:
    now = activation.current(app)
    return now.number if now else 0


def audit(app: App) -> list[dict[str, Any]]:
    path = app.root / "var/log/fuego-deploy/audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_in_order(app: App, systemd: Systemd) -> None:
    progress = activate(app, lay(app, "aaaaaaaaaaaa"))
    assert systemd.told == [
        "daemon-reload", "stop service", "restart socket", "restart service",
    ]  # fmt: skip
    assert list(progress.seconds) == ["switch", "restart", "health check"]
    assert activation.is_proved(app, 1)
    activation.commit(app)
    systemd.told.clear()
    activate(app, lay(app, "bbbbbbbbbbbb"))
    assert systemd.told == ["start socket", "restart service"], "requests wait on the open socket"


def test_a_start_that_fails_tells_the_journal(app: App, systemd: Systemd) -> None:
    systemd.broken = {"restart"}
    with pytest.raises(DeployError, match=r"(?s)Job failed.*No module named 'shop'"):
        activate(app, lay(app, "aaaaaaaaaaaa"))
    assert not activation.is_proved(app, 1)
    assert [line["action"] for line in audit(app)] == ["deploy failed"]


def test_a_gate_that_fails_tells_the_answer(app: App) -> None:
    gate = replace(GATE, deadline=0.1)
    with pytest.raises(DeployError, match=r"(?s)expected is 200, the last answer was 500\nboom"):
        activate(app, lay(app, "bad000000000"), gate)


def test_a_service_that_systemd_keeps_starting_is_given_up(app: App, systemd: Systemd) -> None:
    systemd.restarts = change.RESTARTS
    with pytest.raises(DeployError, match="and 1 requests"):
        activate(app, lay(app, "bad000000000"))


def test_the_way_back_and_its_audit(app: App) -> None:
    """With the gate of that time, though the new one asks for what the old release lacks."""
    activate(app, lay(app, "aaaaaaaaaaaa"))
    activation.commit(app)
    newer = lay(app, "bad000000000")
    gate = replace(GATE, path="/new", status=(299,), deadline=0.1)
    with pytest.raises(DeployError):
        activate(app, newer, gate)
    assert change.undo(app, gate, change.Progress(), RUN) == (1, True)
    assert in_force(app) == 1
    assert activation.is_proved(app, 1)
    assert change.undo(app, gate, change.Progress(), RUN) == (1, False), "a second time is nothing"
    assert [(line["action"], line.get("release")) for line in audit(app)] == [
        ("deploy", "aaaaaaaaaaaa"), ("deploy failed", "bad000000000"), ("undo", "aaaaaaaaaaaa"),
    ]  # fmt: skip
    assert {line["who"] for line in audit(app)} == {"alice@desk"}


def test_the_way_back_of_a_first_one_takes_it_out(app: App, systemd: Systemd) -> None:
    with pytest.raises(DeployError):
        activate(app, lay(app, "bad000000000"), replace(GATE, deadline=0))
    assert change.undo(app, GATE, change.Progress(), RUN) == (None, True)
    assert activation.current(app) is None
    assert not [unit for unit in app.unit_names if (app.units / unit).exists()]
    assert "stop service" in systemd.told
    assert change.undo(app, GATE, change.Progress(), RUN) == (None, False)


def test_a_socket_that_is_no_more_is_closed(app: App, systemd: Systemd) -> None:
    activate(app, lay(app, "aaaaaaaaaaaa"))
    service = app.unit_names[0]
    alone = Wanted("bbbbbbbbbbbb", {}, {service: f"{HEADER}[Service]\n"})
    systemd.told.clear()
    activate(app, activation.lay(app, alone).number)
    assert systemd.told[:3] == ["disable socket", "stop socket", "daemon-reload"]
    assert not (app.units / app.unit_names[1]).exists()


def beside(app: App, release: str, *names: str) -> int:
    """An activation with further units."""
    texts = {f"{app.name}_{name}": f"{HEADER}[Unit]\n" for name in names}
    base = wanted(app, release)
    return activation.lay(app, replace(base, units={**base.units, **texts})).number


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "SETTLED", 0.0)


@pytest.mark.usefixtures("_at_once")
def test_processes_start_and_stop_with_the_deploy(app: App, systemd: Systemd) -> None:
    """A job does not: its timer does, and what runs goes on."""
    systemd.enabled = "disabled"
    further = ("worker.service", "tidy.service", "tidy.timer")
    progress = activate(app, beside(app, "aaaaaaaaaaaa", *further))
    assert "start of the processes" in progress.seconds
    assert [told for told in systemd.told if told.startswith("enable")] == [
        "enable service", "enable socket", "enable _tidy.timer", "enable _worker.service",
    ]  # fmt: skip
    assert [told for told in systemd.told if told.startswith("restart")] == [
        "restart socket", "restart service", "restart _tidy.timer", "restart _worker.service",
    ]  # fmt: skip
    assert set(app.installed_units()) >= {
        f"{app.name}_worker.service", f"{app.name}_tidy.timer",
    }  # fmt: skip
    systemd.told.clear()
    activate(app, beside(app, "bbbbbbbbbbbb", "tidy.service", "tidy.timer"))
    assert systemd.told[:3] == ["disable _worker.service", "stop _worker.service", "daemon-reload"]
    change.withdraw(app)
    assert app.installed_units() == []


@pytest.mark.usefixtures("_at_once")
def test_a_process_that_became_a_job_stops(app: App, systemd: Systemd) -> None:
    """Its service stays, without an [Install]; systemd would start it at each boot otherwise."""
    activate(app, beside(app, "aaaaaaaaaaaa", "tidy.service"))
    link = app.units / "multi-user.target.wants" / f"{app.name}_tidy.service"
    link.parent.mkdir()
    link.symlink_to(f"../{link.name}")
    systemd.told.clear()
    activate(app, beside(app, "bbbbbbbbbbbb", "tidy.service", "tidy.timer"))
    assert systemd.told[:2] == ["stop _tidy.service", "daemon-reload"]
    assert not link.is_symlink()
    stamp = app.stamp(f"{app.name}_tidy.timer")
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    activate(app, beside(app, "cccccccccccc", "tidy.service"))
    assert not stamp.exists()


@pytest.mark.usefixtures("_at_once")
def test_a_process_that_does_not_stay_up_fails_the_deploy(app: App, systemd: Systemd) -> None:
    systemd.restarts = 1
    with pytest.raises(DeployError, match=r"start of the processes failed: processes\.worker does"):
        activate(app, beside(app, "aaaaaaaaaaaa", "worker.service"))
    assert not activation.is_proved(app, 1)


def test_hooks_run_around_it_and_a_failing_one_aborts(
    app: App, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, dict[str, str]]] = []

    def run(
        _app: App, _number: int, command: list[str], _seconds: int, extra: dict[str, str]
    ) -> Any:
        ran.append((command[-1], extra))
        failed = command[-1] == "./no.sh"
        return SimpleNamespace(stdout="done", stderr="", returncode=3 if failed else 0)

    monkeypatch.setattr(change, "run_as_app", run)
    number = lay(app, "aaaaaaaaaaaa")
    progress = activate(app, number, before_activate=["./one.sh"], after_activate=["./two.sh"])
    assert [command for command, _ in ran] == ["./one.sh", "./two.sh"]
    assert ran[0][1]["DEPLOY_RELEASE"] == "aaaaaaaaaaaa"
    assert ran[0][1]["DEPLOY_HOSTS"] == "app1,app2"
    assert [hook["output"] for hook in progress.hooks] == ["done", "done"]
    activation.commit(app)
    systemd.told.clear()
    with pytest.raises(DeployError, match=r"hooks.before_activate: './no.sh' ended with status 3"):
        activate(app, lay(app, "bbbbbbbbbbbb"), before_activate=["./no.sh"])
    assert systemd.told == []
    assert in_force(app) == 1


def test_the_gate_looks_into_the_body() -> None:
    gate = health.Gate("x", 1, "/", {}, (), 1, body="ready")
    assert gate.passes(health.Answer(200, "all ready"))
    assert not gate.passes(health.Answer(200, "warming up"))
    assert "'ready'" in gate.expected


def test_audit_lines_are_readable_by_all(app: App) -> None:
    activate(app, lay(app, "aaaaaaaaaaaa"))
    path: Path = app.root / "var/log/fuego-deploy/audit.jsonl"
    assert path.stat().st_mode & 0o777 == 0o644
