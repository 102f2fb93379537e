#!/usr/bin/python3
# Managed by fuego-deploy: runs on the host once, and stays on none.
"""Print, as JSON, how systemd runs an app here: describe.py APP VARIABLE_TO_LEAVE_OUT…"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

# What systemd tells a service of this one start.
OF_THE_START = re.compile(
    r"(LISTEN_|WATCHDOG_|MEMORY_PRESSURE_|CREDENTIALS_DIRECTORY$|INVOCATION_ID$|JOURNAL_STREAM$"
    r"|NOTIFY_SOCKET$|SYSTEMD_EXEC_PID$|MAINPID$)"
)


def directive(unit: Path, name: str) -> str:
    """The last value of a unit's directive, empty where it has none."""
    found = re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    return found[-1] if found else ""


def words(line: str) -> list[str]:
    """A command line as systemd splits it: the quoting that our own units use."""
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)]


def environment(process: str) -> dict[str, str]:
    """The variables that a process was started with."""
    raw = Path(f"/proc/{process}/environ").read_text(encoding="utf-8")
    pairs = (line.split("=", 1) for line in raw.split("\0") if "=" in line)
    return {name: value for name, value in pairs if not OF_THE_START.match(name)}


def main() -> None:
    app, *without = sys.argv[1:]
    service = Path(f"/etc/systemd/system/{app}.service")
    show = ["systemctl", "show", "--property=MainPID", "--value", service.name]
    process = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
    started_with = environment(process)
    if "APP_NAME" not in started_with:
        sys.exit(f"{app}: its process hides its environment; set SPT_NOENV=1 in its env")
    # The balancers are nginx beside it.
    for name in (*without, "FORWARDED_ALLOW_IPS"):
        started_with.pop(name, None)
    found = {
        "app": app,
        "command": words(directive(service, "ExecStart")),
        "environment": started_with,
        "folder": directive(service, "WorkingDirectory"),
        "user": directive(service, "User"),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
