"""Run a sample app on this machine, begun anew when a file changes: what `make dev` runs.

Its environment is uv's, made from the app's own requirements.txt. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 10  # seconds that a server gets to end


@dataclass(frozen=True, slots=True)
class Development:
    """How one works on an app. Its commands run in its folder, with the port for {port}."""

    folder: str
    command: str
    before: str = ""
    server: str = ""
    """The deployment's server that the command is, from roles/app/servers."""
    environment: Mapping[str, str] = field(default_factory=dict)


APPS = {
    "hello": Development(
        "hello", "python main.py", environment={"PYTHONPATH": str(ROOT / "fuego/src")}
    ),
    "flask": Development("flask", "flask --app main run --debug --port {port}"),
    "django": Development(
        "django",
        "python manage.py runserver {port}",
        before="python manage.py migrate",
        environment={"DEBUG": "1"},
    ),
    "django-asgi": Development(
        "django",
        "uvicorn guestbook.asgi:application --reload --port {port}",
        before="python manage.py migrate",
        server="uvicorn",
        environment={"DEBUG": "1"},
    ),
    "fastapi": Development("fastapi", "uvicorn main:app --reload --port {port}", server="uvicorn"),
}


def words(app: Development, command: str, port: int) -> list[str]:
    """Return the command, in an environment that has what the app requires and nothing else."""
    files = [ROOT / "apps" / app.folder / "requirements.txt"]
    if app.server:
        files.append(ROOT / "roles/app/servers" / f"{app.server}.txt")
    required = [f"--with-requirements={path}" for path in files]
    uv = ["uv", "run", "--quiet", "--no-project", "--isolated", f"--python={sys.executable}"]
    return [*uv, *required, "--", *command.format(port=port).split()]


def stop(number: int, frame: FrameType | None) -> None:
    """End all of it, at Ctrl-C or when told to."""
    raise KeyboardInterrupt


def run(app: Development, command: str, port: int) -> int:
    """Run the command to its end, and return its exit code; at Ctrl-C end all that it started."""
    process = subprocess.Popen(
        words(app, command, port),
        cwd=ROOT / "apps" / app.folder,
        # The machine's own certificates, as in tools/setup.sh.
        env={"UV_SYSTEM_CERTS": "1", **os.environ, **app.environment, "PORT": str(port)},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # or the terminal would tell each of its processes as well
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise


def main() -> int:
    """Run the app that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app", nargs="?", default="")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    known = ", ".join(APPS)
    if options.app not in APPS:
        problem = f"{options.app!r} is no app that runs here" if options.app else "which app?"
        print(f"dev: {problem}: make dev APP=…, one of {known}", file=sys.stderr)
        return 2
    app = APPS[options.app]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        code = run(app, app.before, options.port) if app.before else 0
        return code or run(app, app.command, options.port)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
