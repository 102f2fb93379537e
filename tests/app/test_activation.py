"""Activations: equal ones are found again, interrupted ones cleared, a switch is one step."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from fuego_deploy import activation, sandbox, units
from fuego_deploy.activation import Wanted
from fuego_deploy.layout import App, DeployError, serving
from fuego_deploy.units import State

HEADER = "# Managed by fuego-deploy; edits are lost.\n"
NAME = "fuego-test-hello"
SERVICE, SOCKET = f"{NAME}.service", f"{NAME}.socket"
WANTED = Wanted(
    "0123456789ab",
    {"APP_NAME": NAME, "GREETING": "hi"},
    {SERVICE: HEADER + "[Service]\nUser=x\n", SOCKET: HEADER + "[Socket]\nListenStream=80\n"},
    {"gunicorn.conf.py": "workers = 1\n"},
)
UP = State("active", "enabled", False, "success")


class Systemd:
    """What the modules ask of systemd, answered as a test says."""

    def __init__(self) -> None:
        self.state = {SERVICE: UP, SOCKET: UP}
        self.reset: list[str] = []

    def states(self, names: tuple[str, ...]) -> dict[str, State]:
        return {name: self.state[name] for name in names}


@pytest.fixture(autouse=True)
def systemd(monkeypatch: pytest.MonkeyPatch) -> Systemd:
    fake = Systemd()
    monkeypatch.setattr(units, "states", fake.states)
    monkeypatch.setattr(units, "reset_failed", fake.reset.extend)
    return fake


def serve(app: App, wanted: Wanted = WANTED) -> int:
    """Stage, switch, confirm, and commit as the fleet's last step does."""
    found = activation.find(app, wanted.digest(app)) or activation.lay(app, wanted)
    activation.switch(app, found.number)
    activation.confirm(app, found.number)
    activation.commit(app)
    return found.number


def reasons(app: App, wanted: Wanted = WANTED) -> list[str]:
    return activation.reasons(app, wanted, activation.find(app, wanted.digest(app)))


def link(path: Path) -> str:
    return os.readlink(path)


def test_the_first_one(app: App) -> None:
    assert reasons(app) == ["it was never activated here"]
    assert serve(app) == 1
    assert link(app.current) == "activations/1"
    assert not app.previous.is_symlink()
    assert (app.units / SERVICE).read_text() == WANTED.units[SERVICE]
    assert not (app.units / SERVICE).is_symlink()
    assert reasons(app) == []


@pytest.mark.parametrize(
    "changed",
    [
        replace(WANTED, release="ba9876543210"),
        replace(WANTED, env={**WANTED.env, "GREETING": "ho"}),
        replace(WANTED, env=dict(reversed(list(WANTED.env.items())))),
        replace(WANTED, files={"gunicorn.conf.py": "workers = 2\n"}),
        replace(WANTED, units={**WANTED.units, SERVICE: HEADER + "[Service]\nUser=y\n"}),
    ],
)
def test_whatever_differs_is_another_activation(app: App, changed: Wanted) -> None:
    serve(app)
    assert reasons(app, changed)
    assert serve(app, changed) == 2
    assert link(app.previous) == "activations/1"
    assert reasons(app, changed) == []


def test_the_way_back_is_a_switch_to_the_former_number(app: App) -> None:
    serve(app)
    newer = replace(WANTED, release="ba9876543210")
    serve(app, newer)
    activation.switch(app, 1)
    activation.confirm(app, 1)
    assert (app.units / SERVICE).read_text() == WANTED.units[SERVICE]
    assert link(app.current) == "activations/1"
    assert reasons(app) == []
    assert activation.find(app, newer.digest(app)) == activation.read(app, "2")


def test_what_never_passed_its_gate_is_nothing_to_go_back_to(app: App) -> None:
    serve(app)
    broken, mended = (replace(WANTED, release=name * 12) for name in "ab")
    activation.switch(app, activation.lay(app, broken).number)
    serve(app, mended)
    assert link(app.current) == "activations/3"
    assert link(app.previous) == "activations/1"


def test_until_it_is_committed_the_way_back_stays(app: App) -> None:
    """Also for a run that was interrupted and for the one that follows it."""
    serve(app)
    for release in ("a" * 12, "b" * 12):
        number = activation.lay(app, replace(WANTED, release=release)).number
        activation.switch(app, number)
        activation.confirm(app, number)
        assert activation.committed(app) == 1
    assert not app.previous.is_symlink()
    assert activation.commit(app)
    assert (activation.committed(app), link(app.previous)) == (3, "activations/1")
    assert not activation.commit(app)


def test_a_former_release_with_its_settings(app: App) -> None:
    serve(app)
    serve(app, replace(WANTED, release="a" * 12))
    assert activation.kept_releases(app) == ["a" * 12, WANTED.release]
    former = activation.choose(app, WANTED.release)
    assert former == activation.read(app, "1")
    assert former is not None
    assert activation.reasons_to_return(app, former)
    assert activation.choose(app, "b" * 12) is None
    now = activation.choose(app, "a" * 12)
    assert now is not None
    assert activation.reasons_to_return(app, now) == []


def test_the_way_back_from_other_settings_of_the_same_release(app: App) -> None:
    serve(app)
    serve(app, replace(WANTED, env={"GREETING": "hello"}))
    release = WANTED.release
    assert activation.choose(app, release) == activation.current(app)
    assert activation.choose(app, release, "previous") == activation.read(app, "1")
    activation.switch(app, activation.lay(app, replace(WANTED, env={"GREETING": "moin"})).number)
    assert activation.is_uncommitted(app)
    assert activation.choose(app, release, "committed") == activation.read(app, "2")


def test_a_rollback_holds_until_a_deploy(app: App) -> None:
    serve(app)
    activation.hold(app, "site", "alice@desk")
    assert "hold" not in serving(app)
    activation.hold(app, "rollback", "alice@desk")
    held = serving(app)["hold"]
    assert (held["release"], held["by"]) == (WANTED.release, "alice@desk")
    activation.hold(app, "site", "bob@desk")
    assert serving(app)["hold"] == held
    activation.hold(app, "deploy", "bob@desk")
    assert "hold" not in serving(app)


def test_what_is_not_proved_is_not_committed(app: App) -> None:
    serve(app)
    activation.switch(app, activation.lay(app, replace(WANTED, release="a" * 12)).number)
    assert not activation.commit(app)
    assert activation.committed(app) == 1


def test_a_switch_that_was_not_proved_stays_pending(app: App) -> None:
    serve(app)
    newer = replace(WANTED, release="ba9876543210")
    activation.switch(app, activation.lay(app, newer).number)
    assert reasons(app, newer) == ["activation 2 has not passed its health check"]


def test_unit_changes_are_known_until_proved(app: App) -> None:
    """An interrupted run between the unit files and the restart: the next one does both."""
    serve(app)
    newer = replace(WANTED, units={**WANTED.units, SOCKET: HEADER + "[Socket]\nListenStream=81\n"})
    number = activation.lay(app, newer).number
    first = activation.switch(app, number)
    again = activation.switch(app, number)
    assert (first.changed, first.reload, first.socket) == (True, True, True)
    assert (again.changed, again.reload, again.socket) == (False, True, True)
    activation.confirm(app, number)
    after = activation.switch(app, number)
    assert (after.changed, after.reload, after.socket) == (False, False, False)


def test_only_the_service_changes(app: App) -> None:
    serve(app)
    newer = replace(WANTED, units={**WANTED.units, SERVICE: HEADER + "[Service]\nUser=y\n"})
    done = activation.switch(app, activation.lay(app, newer).number)
    assert (done.reload, done.socket) == (True, False)


@pytest.mark.parametrize("unit", [SERVICE, SOCKET])
@pytest.mark.parametrize(
    "state",
    [replace(UP, active="inactive"), replace(UP, active="failed"), replace(UP, enabled="disabled")],
)
def test_a_unit_that_is_not_up_is_pending(
    app: App, systemd: Systemd, unit: str, state: State
) -> None:
    serve(app)
    systemd.state[unit] = state
    assert reasons(app) == [f"{unit} is {state.active} and {state.enabled}"]


def test_a_unit_that_gave_up_may_start_again(app: App, systemd: Systemd) -> None:
    serve(app)
    systemd.state[SERVICE] = replace(UP, active="failed")
    systemd.reset.clear()
    activation.switch(app, 1)
    assert sorted(systemd.reset) == [SERVICE, SOCKET]


def test_a_unit_file_that_was_edited_or_removed_is_pending(app: App) -> None:
    serve(app)
    (app.units / SERVICE).write_text(WANTED.units[SERVICE] + "# mine\n")
    (app.units / SOCKET).unlink()
    assert reasons(app) == [
        f"{app.units / SERVICE} was changed",
        f"{app.units / SOCKET} is missing",
    ]
    activation.switch(app, 1)
    assert (app.units / SERVICE).read_text() == WANTED.units[SERVICE]


def test_a_unit_without_our_mark_is_not_replaced(app: App) -> None:
    number = activation.lay(app, WANTED).number
    (app.units / SERVICE).write_text("[Service]\n")
    with pytest.raises(DeployError, match=rf"{SERVICE} does not say"):
        activation.switch(app, number)
    assert not app.current.is_symlink()


def test_interrupted_staging_is_cleared(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(app)
    (app.activations / "2" / "units").mkdir(parents=True)  # as SIGKILL leaves it
    (app.activations / "2" / "env").write_text("")
    assert activation.read(app, "2") is None
    assert activation.remove_unfinished(app) == [str(app.activations / "2")]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(activation, "write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        activation.lay(app, replace(WANTED, release="ba9876543210"))
    assert activation.numbers(app) == [1]


def test_a_complete_one_is_used_again(app: App) -> None:
    serve(app)
    newer = replace(WANTED, release="ba9876543210")
    laid = activation.lay(app, newer)
    assert activation.find(app, newer.digest(app)) == laid
    assert activation.remove_unfinished(app) == []


def test_going_back_by_deploying_is_a_new_activation(app: App) -> None:
    """Numbers tell the order: an old one is only switched to by a rollback."""
    serve(app)
    serve(app, replace(WANTED, release="ba9876543210"))
    assert serve(app) == 3


def test_secrets_are_roots(app: App) -> None:
    wanted = replace(WANTED, secrets={"API_KEY": b"\xff\n", "TOKEN": b"t"}, secrets_env=["TOKEN"])
    folder = app.activations / str(activation.lay(app, wanted).number)
    assert (folder / "secrets" / "API_KEY").read_bytes() == b"\xff\n"
    assert (folder / "secrets" / "TOKEN.env").read_bytes() == b'TOKEN="t"\n'
    assert {
        str(path.relative_to(folder)): f"{path.stat().st_mode & 0o777:o}"
        for path in (
            folder / ".activation.json",
            folder / "env",
            folder / "secrets",
            *(folder / "secrets").iterdir(),
        )
    } == {
        ".activation.json": "600", "env": "600", "secrets": "700", "secrets/API_KEY": "600",
        "secrets/TOKEN": "600", "secrets/TOKEN.env": "600",
    }  # fmt: skip


def test_another_secret_is_another_activation(app: App) -> None:
    serve(app, replace(WANTED, secrets={"A": b"1", "B": b"2"}))
    for number, changed in enumerate(
        [
            replace(WANTED, secrets={"A": b"1", "B": b"3"}),
            replace(WANTED, secrets={"A": b"1"}),
            replace(WANTED, secrets={"A": b"1"}, secrets_env=["A"]),
            WANTED,
        ],
        start=2,
    ):
        assert reasons(app, changed)
        assert serve(app, changed) == number
        assert reasons(app, changed) == []


def test_an_app_without_secrets_has_the_digest_it_always_had(app: App) -> None:
    """So that an update of ours restarts no app."""
    assert not (app.activations / str(activation.lay(app, WANTED).number) / "secrets").exists()
    whole = json.dumps([WANTED.release, WANTED.content(app)], sort_keys=True)
    assert WANTED.digest(app) == hashlib.sha256(whole.encode()).hexdigest()


def test_secrets_show_in_no_repr() -> None:
    assert "hush" not in repr(replace(WANTED, secrets={"A": b"hush"}))


def test_commands_beside_the_service_read_their_own_activation(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no value is on a command line, which everybody may read."""
    unit = (
        f"[Service]\nEnvironmentFile={app.current}/env\n"
        f"LoadCredential=A:{app.current}/secrets/A\nEnvironmentFile={app.current}/secrets/A.env\n"
        f"EnvironmentFile=-{app.settings}/env.local\n"
    )
    wanted = replace(
        WANTED, units={SERVICE: HEADER + unit}, secrets={"A": b"hush"}, secrets_env=["A"]
    )
    number = activation.lay(app, wanted).number
    ran: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: ran.append(command))
    sandbox.run_as_app(app, number, ["true"], 5)
    folder = app.activations / str(number)
    assert [item for item in ran[0] if "Credential" in item or "EnvironmentFile" in item] == [
        f"--property=EnvironmentFile={folder}/env",
        f"--property=LoadCredential=A:{folder}/secrets/A",
        f"--property=EnvironmentFile={folder}/secrets/A.env",
        f"--property=EnvironmentFile=-{app.settings}/env.local",
    ]
    assert "hush" not in " ".join(ran[0])


def test_the_operators_file_is_made_once(app: App) -> None:
    assert activation.ensure_local(app, check_mode=True)
    assert not (app.settings / "env.local").exists()
    assert activation.ensure_local(app, check_mode=False)
    (app.settings / "env.local").write_text("GREETING=mine\n")
    assert not activation.ensure_local(app, check_mode=False)
    assert (app.settings / "env.local").read_text() == "GREETING=mine\n"


def test_check_mode_switches_nothing(app: App) -> None:
    number = activation.lay(app, WANTED).number
    assert activation.switch(app, number, check_mode=True).changed
    assert not app.current.is_symlink()
    assert not (app.units / SERVICE).exists()


def test_the_check_has_the_services_sandbox_and_the_operators_openings(app: App) -> None:
    unit = (
        "[Unit]\nDescription=x\n[Service]\nType=notify\nUser=hello\n# a comment\n"
        "EnvironmentFile=/env\nExecStart=/bin/x \\\n  --flag\nMemoryDenyWriteExecute=yes\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )
    folder = app.units / f"{SERVICE}.d"
    folder.mkdir()
    (folder / "10-jit.conf").write_text("[Service]\nMemoryDenyWriteExecute=no\nRestart=no\n")
    assert units.properties(unit, units.drop_ins(app.units, SERVICE)) == [
        "User=hello",
        "EnvironmentFile=/env",
        "MemoryDenyWriteExecute=yes",
        "MemoryDenyWriteExecute=no",
    ]


def test_a_socket_unit_that_changed_stays_changed_until_it_was_proved(app: App) -> None:
    serve(app)
    moved = replace(WANTED, units={**WANTED.units, SOCKET: WANTED.units[SOCKET] + "# moved\n"})
    second = activation.lay(app, moved).number
    assert activation.switch(app, second).socket
    assert activation.switch(app, 1).socket  # the gate failed, and the old one comes back


def test_a_socket_unit_edited_by_hand_is_opened_anew(app: App) -> None:
    serve(app)
    (app.units / SOCKET).write_text(WANTED.units[SOCKET] + "# mine\n")
    assert activation.switch(app, 1).socket


def test_a_release_without_its_server_is_refused(app: App) -> None:
    release = app.releases / "r1"
    (release / ".venv/bin").mkdir(parents=True)
    unit = (
        f"[Service]\nExecStart={app.home}/current/release/.venv/bin/gunicorn --config x main:app\n"
    )
    with pytest.raises(DeployError, match=r"\.server: the release has no gunicorn"):
        activation.check_program(app, unit, release)
    (release / ".venv/bin/gunicorn").touch()
    activation.check_program(app, unit, release)


def test_the_newest_with_a_release_may_be_one_that_never_served(app: App) -> None:
    """A canary of settings alone: the release is the one in force, staged a second time."""
    now = serve(app)
    staged = activation.lay(app, replace(WANTED, env={"GREETING": "ho"}))
    for prefer, number in (("current", now), ("newest", staged.number)):
        found = activation.choose(app, WANTED.release, prefer)
        assert found is not None
        assert found.number == number


@pytest.mark.parametrize(("purpose", "held"), [("abort", True), ("promote", False)])
def test_a_canary_that_was_aborted_holds_what_the_fleet_has(
    app: App, purpose: str, held: bool
) -> None:
    serve(app)
    activation.hold(app, "rollback", "bob@ctl")
    activation.hold(app, purpose, "alice@ctl")
    assert bool(serving(app).get("hold")) is held
    assert not held or serving(app)["hold"]["by"] == "alice@ctl"
