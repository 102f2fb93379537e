"""What the modules ask of systemd, and what they read from unit files."""

import re
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .layout import DeployError

# What the check of an import shares with the service is all but its life as a service.
NOT_FOR_A_CHECK = {
    "BusName", "ExecCondition", "ExecReload", "ExecStart", "ExecStartPost",
    "ExecStartPre", "ExecStop", "ExecStopPost", "FileDescriptorStoreMax", "KillMode", "NonBlocking",
    "NotifyAccess", "PIDFile", "RemainAfterExit", "Restart", "RestartSec", "RuntimeMaxSec",
    "Sockets", "StandardError", "StandardInput", "StandardOutput", "SyslogIdentifier",
    "TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "Type", "WatchdogSec", "WorkingDirectory",
}  # fmt: skip
STATES = (
    "ActiveState", "UnitFileState", "NeedDaemonReload", "Result", "NRestarts",
    "StateChangeTimestamp",
)  # fmt: skip
START_SECONDS = 300
"""More than a unit may take to stop and to start."""


@dataclass(frozen=True, slots=True)
class State:
    """A unit as systemd sees it."""

    active: str
    enabled: str
    stale: bool
    """The file on disk is not the one systemd has loaded."""
    result: str
    restarts: int = 0
    """How often systemd itself has started it again since it was last told to."""
    since: int = 0
    """When it came into this state, in seconds since the epoch; 0 where it was never in another."""

    @property
    def up(self) -> bool:
        return self.active == "active" and self.enabled == "enabled"


def jobs(names: Iterable[str]) -> set[str]:
    """The services among them that a timer starts."""
    found = set(names)
    return {name for name in found if f"{name.removesuffix('.service')}.timer" in found}


def processes(names: Iterable[str]) -> list[str]:
    """The services among them that run beside the one that serves."""
    found = set(names)
    return sorted(n for n in found - jobs(found) if "_" in n and n.endswith(".service"))


def check_schedule(schedule: str) -> str:
    """What is wrong with a calendar expression (systemd.time(7)); nothing where it is one."""
    done = subprocess.run(
        ["systemd-analyze", "calendar", "--", schedule], capture_output=True, text=True, check=False
    )
    said = done.stderr.strip().splitlines() or ["systemd cannot read it"]
    return said[0] if done.returncode else ""


def states(names: tuple[str, ...]) -> dict[str, State]:
    """The state of each unit, of those that do not exist as well."""
    wanted = f"--property=Id,{','.join(STATES)}"
    done = _systemctl("show", "--timestamp=unix", wanted, "--", *names)
    found = {}
    for block, name in zip(done.strip().split("\n\n"), names, strict=True):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        found[name] = State(
            values.get("ActiveState", ""),
            values.get("UnitFileState", ""),
            values.get("NeedDaemonReload") == "yes",
            values.get("Result", ""),
            int(values.get("NRestarts", 0) or 0),
            _seconds(values.get("StateChangeTimestamp", "")),
        )
    return found


def _seconds(stamp: str) -> int:
    """A point in time as `--timestamp=unix` writes it: @ and seconds; nothing for never."""
    digits = stamp.removeprefix("@")
    return int(digits) if digits.isdecimal() else 0


def accepts(address: str, port: int) -> bool:
    """Whether connections are taken there: a socket unit whose file changed while it was open, and
    was read again, has lost its descriptor, and systemd goes on calling it active.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
    try:
        socket.create_connection((host, port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # a full backlog, or an address still to come: not what is asked here
    return True


def reset_failed(names: list[str]) -> None:
    """Let units that gave up be started again: systemd counts a start by hand, too."""
    if names:
        _systemctl("reset-failed", "--", *names)


def reload() -> None:
    """Have systemd read the unit files again."""
    _systemctl("daemon-reload")


def control(verb: str, *names: str) -> None:
    """`systemctl start`, `stop`, `restart`, `enable` …; returns when it is done. Raises DeployError
    where it failed."""
    if names:
        _systemctl(verb, "--", *names)


def journal(names: tuple[str, ...], since: float, lines: int = 80) -> str:
    """The last lines the units wrote, from `since` (seconds since the epoch) on: enough for the
    whole of a traceback, also of two workers that fail at the same time."""
    done = subprocess.run(
        ["journalctl", *(f"--unit={name}" for name in names), f"--lines={lines}",
         f"--since=@{int(since)}", "--no-pager", "--output=short", "--quiet"],
        capture_output=True, text=True, errors="replace", check=False, timeout=60,
    )  # fmt: skip
    return done.stdout.strip()


def _systemctl(*arguments: str) -> str:
    done = subprocess.run(
        ["systemctl", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    if done.returncode:
        raise DeployError(f"systemctl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def properties(unit: str, drop_ins: list[str]) -> list[str]:
    """The sandbox of a service's [Service] section, as `systemd-run --property` takes it.

    Drop-ins follow in their order, so that what the operator opened is open for the check too.
    """
    found: list[str] = []
    for text in (unit, *drop_ins):
        section = ""
        for line in re.sub(r"\\\n", " ", text).splitlines():
            bare = line.strip()
            if bare.startswith("["):
                section = bare
            elif section == "[Service]" and bare and bare[0] not in "#;":
                key, _, value = bare.partition("=")
                if key.strip() not in NOT_FOR_A_CHECK:
                    found.append(f"{key.strip()}={value.strip()}")
    return found


def working_directory(unit: str, current: Path, activation: Path) -> Path:
    """Where a command of that activation runs; the unit names it through `current`."""
    match = re.search(r"^WorkingDirectory=(.+)$", unit, re.MULTILINE)
    below = Path(match[1]).relative_to(current) if match else Path("release/src")
    return (activation / below).resolve()


def drop_ins(folder: Path, unit: str) -> list[str]:
    """The operator's own settings for the unit, in the order systemd reads them."""
    files = sorted((folder / f"{unit}.d").glob("*.conf"))
    return [file.read_text(encoding="utf-8", errors="replace") for file in files]
