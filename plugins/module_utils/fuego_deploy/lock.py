"""One run at a time changes an app: a lock on each of its hosts, with who holds it since when.

It outlives the controller on purpose: what a run that died has left half-done is for somebody to
look at. A run that is known to be over is taken over.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .layout import App, DeployError, ensure_folder, now_in_words, read_json, write_json

LOCKS = "var/lib/fuego-deploy/locks"
PAUSE = 2.0
"""Seconds between two looks at a lock that is waited for."""


@dataclass(frozen=True, slots=True)
class Run:
    """Who changes an app. `over` are runs that have ended, however they did."""

    id: str
    who: str = ""
    purpose: str = ""
    over: tuple[str, ...] = ()


def read_run(given: Mapping[str, Any]) -> Run:
    """The run as modules are given it."""
    return Run(
        str(given.get("id", "")),
        str(given.get("who", "")),
        str(given.get("purpose", "")),
        tuple(given.get("over", ())),
    )


def holder(app: App) -> dict[str, Any] | None:
    return read_json(app.root / LOCKS / f"{app.name}.json")


def acquire(
    app: App,
    run: Run,
    release: str = "",
    steal: bool = False,
    wait: float = 0,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any] | None:
    """Take the lock, and return whom it was taken from. Raises DeployError where another run has
    it and keeps it for `wait` seconds."""
    end = time.monotonic() + wait
    while (now := holder(app)) and now["run"] != run.id:
        if steal or now["run"] in run.over:
            break
        if time.monotonic() >= end:
            raise DeployError(told(app, now, wait))
        sleep(min(PAUSE, max(0.0, end - time.monotonic())))
    folder = app.root / LOCKS
    ensure_folder(folder, 0o755)
    write_json(folder / f"{app.name}.json", {"run": run.id, "who": run.who,
                                             "purpose": run.purpose, "release": release,
                                             "since": now_in_words()})  # fmt: skip
    return now if now and now["run"] != run.id else None


def told(app: App, now: Mapping[str, Any], waited: float = 0) -> str:
    for_release = f" of release {now['release']}" if now.get("release") else ""
    after = f" (waited {waited:.0f} s)" if waited else ""
    return (
        f"apps.{app.name}: locked by {now['who']} since {now['since']} for a {now['purpose']}"
        f"{for_release}, run {now['run']}{after}. Wait for it with -e lock_wait=SECONDS; where "
        "that run is dead, take over with -e lock_steal=true"
    )


def release(app: App, run: Run) -> bool:
    """Free the lock where this run has it."""
    now = holder(app)
    if now is None or now["run"] != run.id:
        return False
    (app.root / LOCKS / f"{app.name}.json").unlink(missing_ok=True)
    return True
