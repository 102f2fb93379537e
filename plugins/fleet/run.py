"""The present run: who changes the fleet, what for, and which earlier runs are known to be over."""

import getpass
import json
import os
import secrets
import socket
import time
from pathlib import Path

from fleet.catalogue import Plain

KEPT = 30 * 24 * 3600
"""Seconds after which nobody is told any more that a run is over."""


def begin(folder: Path, purpose: str, process: int) -> Plain:
    """Note the run in `folder`, as the work of the process with that id on this machine.

    Returns its id, who it is, what for, since when, and `over`: runs of this machine whose process
    has ended, however it did. What they have locked is free to take.
    """
    folder.mkdir(parents=True, exist_ok=True)
    over = [path.stem for path in sorted(folder.glob("*.json")) if is_over(path)]
    now = time.gmtime()
    run = f"{time.strftime('%Y%m%dT%H%M%SZ', now)}-{secrets.token_hex(3)}"
    note = {"process": process, "started": started(process)}
    (folder / f"{run}.json").write_text(json.dumps(note), encoding="utf-8")
    return {
        "id": run,
        "who": f"{user()}@{socket.gethostname()}",
        "purpose": purpose,
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
        "over": over,
    }


def is_over(path: Path) -> bool:
    """Whether the run noted there has ended; notes too old to matter are removed."""
    if time.time() - path.stat().st_mtime > KEPT:
        path.unlink(missing_ok=True)
        return False
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True  # it was killed while it wrote the note
    return bool(started(note["process"]) != note["started"])


def started(process: int) -> str:
    """When the process started, in a form that only has to be compared; empty where it has ended.

    Without /proc (macOS) a live process is all that can be seen.
    """
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


def user() -> str:
    """Whoever typed the command, behind sudo too."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
