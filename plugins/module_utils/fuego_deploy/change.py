"""One change of an app on a host: switch, restart, pass the health gate; and the way back.

What is told as a step is what an operator reads in the error: the step that failed, why, and the
last lines of the app's journal.
"""

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import activation, audit, credentials, health, units
from .layout import (
    SERVING,
    App,
    DeployError,
    pointed_to,
    read_json,
    serving,
    write_json,
)
from .sandbox import run_as_app

GATE = ".gate.json"
RESTARTS = 3
"""A service that systemd had to start again this often within one gate is given up."""
HOOK_SECONDS = 1800
SETTLED = 3.0
"""Seconds that a process beside the service has to stay up."""


@dataclass(slots=True)
class Progress:
    """What was done, step by step, with the seconds each took."""

    seconds: dict[str, float] = field(default_factory=dict)
    hooks: list[dict[str, Any]] = field(default_factory=list)
    step: str = ""
    began: float = field(default_factory=time.time)

    @contextlib.contextmanager
    def during(self, step: str) -> Any:
        self.step = step
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = round(time.monotonic() - start, 2)


def activate(
    app: App,
    number: int,
    gate: health.Gate,
    progress: Progress,
    run: Mapping[str, str],
    hooks: Mapping[str, Sequence[str]],
) -> activation.Switch:
    """Put the activation in force and prove it. Raises DeployError with the journal's last lines;
    the host stays switched then, not proved, for `undo`."""
    before = activation.current(app)
    run_hooks(app, number, "before_activate", hooks, run, progress)
    try:
        with progress.during("switch"):
            done = activation.switch(app, number)
        with progress.during("restart"):
            restart(app, done)
        with progress.during("health check"):
            pass_gate(app, gate)
        names = units.processes(path.name for path in (app.current / "units").iterdir())
        if names:
            with progress.during("start of the processes"):
                watch_processes(names)
    except DeployError as problem:
        now = activation.read(app, str(number))
        audit.write(app, run, f"{run['purpose']} failed", release=now and now.release,
                    reason=str(problem).splitlines()[0])  # fmt: skip
        raise DeployError(
            f"apps.{app.name}: {progress.step} failed: {problem}\n{last_words(app, progress.began)}"
        ) from problem
    write_json(app.activations / str(number) / GATE, asdict(gate))
    activation.confirm(app, number)
    run_hooks(app, number, "after_activate", hooks, run, progress)
    now = activation.current(app)
    audit.write(app, run, run["purpose"], release=now and now.release, activation=number,
                former=before and before.release)  # fmt: skip
    return done


def undo(
    app: App, gate: health.Gate, progress: Progress, run: Mapping[str, str]
) -> tuple[int | None, bool]:
    """Return to what the fleet had, with the gate it passed then. Returns the activation, None
    where there was none, and whether anything changed."""
    target, now = activation.committed(app), activation.current(app)
    if target is None:
        if now is None:
            return None, False
        with progress.during("withdraw"):
            withdraw(app)
        audit.write(app, run, "withdraw", former=now.release)
        return None, True
    if now and now.number == target and activation.is_proved(app, target):
        return target, False
    kept = read_json(app.activations / str(target) / GATE)
    former = health.Gate(**kept) if kept else gate
    activate(app, target, former, progress, {**run, "purpose": "undo"}, {})
    return target, True


def restart(app: App, done: activation.Switch) -> None:
    """Restart the service on its socket, where requests wait meanwhile, and the processes beside
    it. Only a socket that changed is closed and opened again, which needs the service out of the
    way. A job that runs goes on to its end."""
    service, socket = app.unit_names
    wanted = sorted(path.name for path in (app.current / "units").iterdir())
    jobs = units.jobs(wanted)
    gone = [name for name in app.installed_units() if name not in wanted]
    # A process that is a job by now: its service has no [Install] any more, and is not to go on.
    links = {name: app.units / "multi-user.target.wants" / name for name in jobs}
    former = [name for name, link in links.items() if os.path.lexists(link)]
    units.control("disable", *gone)
    units.control("stop", *gone, *former)
    for name in gone:
        (app.units / name).unlink()
        app.stamp(name).unlink(missing_ok=True)
    for name in former:
        links[name].unlink()
    if done.reload or gone or former:
        units.reload()
    state = units.states(tuple(wanted))
    lasting = [name for name in wanted if name not in jobs]
    units.control("enable", *(name for name in lasting if state[name].enabled != "enabled"))
    if socket in wanted:
        if done.socket:
            units.control("stop", service)
        units.control("restart" if done.socket else "start", socket)
    units.control("restart", *(name for name in lasting if name != socket))


def pass_gate(app: App, gate: health.Gate) -> None:
    """Wait until the app is healthy. Raises DeployError with the last answer."""
    service = app.unit_names[0]

    def given_up() -> bool:
        state = units.states((service,))[service]
        return state.active == "failed" or state.restarts >= RESTARTS

    outcome = health.wait(gate, given_up)
    if not outcome.healthy:
        answer = replace(outcome.answer, text=credentials.hide(app, outcome.answer.text))
        raise DeployError(replace(outcome, answer=answer).told(gate))


def watch_processes(names: Sequence[str]) -> None:
    """See that the processes beside the service stay up. Raises DeployError with the one that does
    not: what comes to an end is no process."""
    deadline = time.monotonic() + SETTLED
    while True:
        for name, state in units.states(tuple(names)).items():
            if state.active != "active" or state.restarts:
                short = name.removesuffix(".service").partition("_")[2]
                raise DeployError(
                    f"processes.{short} does not stay up: systemd finds it {state.active} "
                    f"({state.result}), started again {state.restarts} times"
                )
        if time.monotonic() >= deadline:
            return
        time.sleep(0.2)


def last_words(app: App, since: float) -> str:
    said = credentials.hide(app, units.journal(tuple(app.installed_units()), since))
    return f"The last lines of its journal:\n{said}" if said else "Its journal says nothing."


def withdraw(app: App) -> None:
    """Take an app that never served out of force; what was staged stays."""
    installed = app.installed_units()
    units.control("disable", *installed)
    units.control("stop", *installed)
    for name in installed:
        (app.units / name).unlink()
    units.reload()
    app.current.unlink(missing_ok=True)
    write_json(app.home / SERVING, {**serving(app), "proved": None, "units": {}})


def run_hooks(
    app: App,
    number: int,
    name: str,
    hooks: Mapping[str, Sequence[str]],
    run: Mapping[str, str],
    progress: Progress,
) -> None:
    """Run the commands of one hook in order, as the app's user, in the activation's release with
    its settings. Raises DeployError at the first that fails, with what it said."""
    for command in hooks.get(name, ()):
        release = pointed_to(app.activations / str(number) / "release") or ""
        extra = {
            "DEPLOY_HOOK": name,
            "DEPLOY_RELEASE": release.partition(".")[0],
            "DEPLOY_HOST": run.get("host", ""),
            "DEPLOY_HOSTS": run.get("hosts", ""),
            "DEPLOY_WHO": run.get("who", ""),
        }
        with progress.during(f"{name}: {command}"):
            done = run_as_app(app, number, ["/bin/sh", "-c", command], HOOK_SECONDS, extra)
        output = credentials.hide(app, (done.stdout + done.stderr).strip())
        progress.hooks.append({"hook": name, "command": command, "output": output})
        if done.returncode:
            raise DeployError(
                f"apps.{app.name}.hooks.{name}: '{command}' ended with status {done.returncode}:\n"
                + "\n".join(output.splitlines()[-30:])
            )
