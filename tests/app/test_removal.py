"""An app taken off a host: nothing of it stays, nothing of people is lost."""

import pytest
from fuego_deploy import activation, removal, units
from fuego_deploy.layout import App, DeployError, claim

HEADER = "# Managed by fuego-deploy; edits are lost.\n"


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(units, "control", lambda verb, *names: said.extend([verb] * bool(names)))
    monkeypatch.setattr(units, "reload", lambda: said.append("daemon-reload"))
    return said


def fill(app: App) -> None:
    app.shared.mkdir()
    activation.ensure_local(app, check_mode=False)
    for name in app.unit_names:
        (app.units / name).write_text(HEADER)


def test_nothing_is_left(app: App, told: list[str]) -> None:
    fill(app)
    removed, kept = removal.remove(app)
    assert kept == ""
    assert len(removed) == 4
    assert told == ["disable", "stop", "daemon-reload"]
    assert not app.home.exists()
    assert not app.settings.exists()
    assert list(app.units.iterdir()) == []
    assert removal.remove(app) == ([], "")


def test_what_people_put_there_is_moved(app: App) -> None:
    fill(app)
    (app.shared / "orders.db").write_text("precious")
    (app.settings / "env.local").write_text("A=1\n")
    (app.units / f"{app.name}.service.d").mkdir()
    (app.units / f"{app.name}.service.d" / "memory.conf").write_text("[Service]\n")
    _, kept = removal.remove(app)
    folder = app.root / kept.removeprefix(str(app.root)).lstrip("/")
    assert (folder / "shared" / "orders.db").read_text() == "precious"
    assert (folder / "env.local").read_text() == "A=1\n"
    assert (folder / f"{app.name}.service.d" / "memory.conf").exists()
    assert not app.home.exists()


def test_what_belonged_to_a_former_process_goes_too(app: App) -> None:
    fill(app)
    folder = app.units / f"{app.name}_worker.service.d"
    folder.mkdir()
    timer = f"{app.name}_tidy.timer"
    (app.units / timer).write_text(HEADER)
    app.stamp(timer).parent.mkdir(parents=True)
    app.stamp(timer).touch()
    _, kept = removal.remove(app)
    assert kept
    assert not folder.exists()
    assert not app.stamp(timer).exists()


def test_a_dry_run_touches_nothing(app: App) -> None:
    fill(app)
    removed, _ = removal.remove(app, check_mode=True)
    assert str(app.home) in removed
    assert app.home.exists()


def test_what_is_not_ours_is_refused(app: App) -> None:
    claim(app)
    (app.units / app.unit_names[0]).write_text("[Service]\nExecStart=/usr/bin/true\n")
    with pytest.raises(DeployError, match="is none of ours"):
        removal.remove(app)
    assert app.home.exists()
