"""An app taken off a host: nothing of it is left but what people put there."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from . import lock, units
from .activation import LOCAL
from .layout import (
    CACHE,
    FOLDER_MARK,
    TOOLS,
    App,
    DeployError,
    has_account,
    installed,
    refuse_foreign,
    remove_tree,
)

KEPT = "var/lib/fuego-deploy/removed"


def remove(app: App, check_mode: bool = False) -> tuple[list[str], str]:
    """Stop the app and remove its units, folders and user. Returns what was removed, and the folder
    that now has what was in shared/ and the operator's own settings; empty where there was none.

    Raises DeployError for anything of that name that is not ours.
    """
    refuse_foreign(app)
    units_there = app.installed_units()
    # Of processes and jobs that went before, too: no other app's name has an underscore.
    patterns = [f"{app.name}{rest}.d" for rest in (".service", ".socket", "_*.service", "_*.timer")]
    drop_ins = sorted({found for pattern in patterns for found in app.units.glob(pattern)})
    folders = [f for f in (app.home, app.settings) if (f / FOLDER_MARK).exists()]
    account = has_account(app)
    removed = [str(app.units / name) for name in units_there]
    removed += [str(path) for path in (*drop_ins, *folders)]
    removed += [f"the user {app.name}"] if account else []
    if check_mode or not removed:
        return removed, ""
    units.control("disable", *units_there)
    units.control("stop", *units_there)
    kept = keep(app, [*worth_keeping(app), *drop_ins])
    for name in units_there:
        (app.units / name).unlink()
        app.stamp(name).unlink(missing_ok=True)
    if units_there or drop_ins:
        units.reload()
    for folder in folders:
        remove_tree(folder)
    if account:
        done = subprocess.run(["userdel", app.name], capture_output=True, text=True, check=False)
        if done.returncode:
            raise DeployError(f"apps.{app.name}: userdel: {done.stderr.strip()}")
    (app.root / lock.LOCKS / f"{app.name}.json").unlink(missing_ok=True)
    if not installed(app.root):
        for folder in (TOOLS, CACHE):  # what builds releases, for all apps
            remove_tree(app.root / folder.relative_to("/"))
    return removed, kept


def worth_keeping(app: App) -> Iterator[Path]:
    """What no deploy can bring again."""
    if app.shared.is_dir() and any(app.shared.iterdir()):
        yield app.shared
    local = app.settings / "env.local"
    if local.is_file() and local.read_text(errors="replace") != LOCAL.format(app=app.name):
        yield local


def keep(app: App, paths: list[Path]) -> str:
    """Move the paths to a folder of their own, and return it."""
    if not paths:
        return ""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = app.root / KEPT / f"{app.name}-{stamp}"
    folder.mkdir(mode=0o700, parents=True)
    for path in paths:
        shutil.move(path, folder / path.name)
    return str(folder)
