"""Commands of an app beside its service: the same user, sandbox, settings and folder."""

import os
import subprocess
from collections.abc import Mapping, Sequence

from . import units
from .layout import App


def run_as_app(
    app: App,
    number: int,
    command: Sequence[str],
    seconds: int,
    extra: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command as the service of that activation would run it. It is stopped after
    `seconds`; `extra` are further environment variables."""
    folder = app.activations / str(number)
    unit = (folder / "units" / f"{app.name}.service").read_text(encoding="utf-8")
    release = folder.joinpath("release").resolve()
    properties = units.properties(unit, units.drop_ins(app.units, f"{app.name}.service"))
    given = [
        # What the service reads through `current` is read in this activation.
        *(item.replace(f"{app.current}/", f"{folder}/") for item in properties),
        f"WorkingDirectory={units.working_directory(unit, app.current, folder)}",
        f"Environment=PATH={release}/.venv/bin:/usr/local/bin:/usr/bin:/bin",
        f"RuntimeMaxSec={seconds}",
    ]
    return subprocess.run(
        ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--service-type=exec",
         f"--unit={app.name}-run-{os.getpid()}-{os.urandom(3).hex()}",
         *(f"--property={item}" for item in given),
         *(f"--setenv={name}={value}" for name, value in (extra or {}).items()),
         "--", *(word.replace("$", "$$") for word in command)],  # systemd has variables, too
        capture_output=True, text=True, errors="replace", check=False,
        stdin=subprocess.DEVNULL, timeout=seconds + 60,
    )  # fmt: skip
