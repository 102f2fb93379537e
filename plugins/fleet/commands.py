"""The processes and jobs of an entry: commands that run beside the service, of the same release."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

from fleet.catalogue import Plain
from fleet.checks import fits
from fleet.entry import App
from fleet.hosts import Inventory, resolve
from fleet.reading import read_layer

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
PROCESS: Plain = {
    "command": {"type": "str", "required": True},
    "hosts": {"type": "raw"},
    "stop_timeout": {"type": "int", "default": 30},
}
JOB: Plain = {
    "command": {"type": "str", "required": True},
    "schedule": {"type": "str", "required": True},
    "hosts": {"type": "raw"},
    "timeout": {"type": "int", "default": 3600},
}
MOST = {"stop_timeout": 240, "timeout": 7 * 24 * 3600}
"""Seconds. A deploy waits for a process to stop."""


def check_commands(app: App, inventory: Inventory, errors: list[str]) -> None:
    """Complete them: a process runs on every host of the app, a job on the first, where nobody says
    so otherwise. The app's own hosts are known by now."""
    for key, options in (("processes", PROCESS), ("jobs", JOB)):
        given, app.spec[key] = app.spec[key], {}
        if key in app.bad:
            continue
        for name, entry in given.items():
            at = f"{app.at(key)}.{name}"
            if not (isinstance(name, str) and NAME.match(name)):
                errors.append(
                    f"{at}: not a name; use at most 31 lower-case letters, digits and -, a letter "
                    "first"
                )
                continue
            if key == "jobs" and name in app.spec["processes"]:
                errors.append(f"{at}: there is a process of that name already; take another")
            app.spec[key][name] = _complete(at, entry, options, app, inventory, errors)


def _complete(
    at: str, entry: object, options: Plain, app: App, inventory: Inventory, errors: list[str]
) -> dict[str, Any]:
    layer = read_layer(at, entry, options, errors)
    found = {key: o["default"] for key, o in options.items() if "default" in o} | layer.values
    for key, option in options.items():
        if option.get("required") and isinstance(entry, Mapping) and key not in entry:
            errors.append(f"{at}.{key}: is missing; {_example(options)}")
    for key in ("command", "schedule"):
        text = found.get(key)
        if text is not None and (not text.strip() or not fits(text)):
            errors.append(f"{at}.{key}: {text!r} is no text on one line; {_example(options)}")
        elif text is not None and key == "command" and (problem := _unfit(text)):
            errors.append(f"{at}.command: {text!r} {problem}")
    for key, most in MOST.items():
        value = found.get(key)
        if value is not None and key not in layer.bad and not 1 <= value <= most:
            errors.append(f"{at}.{key}: {value} is not from 1 to {most} seconds")
    own = app.spec["hosts"]
    if "hosts" not in found:
        found["hosts"] = own if options is PROCESS else own[:1]
    else:
        asked = resolve(f"{at}.hosts", found["hosts"], inventory, errors)
        others = [name for name in asked if name not in own]
        if others:
            errors.append(
                f"{at}.hosts: {', '.join(others)} is no host of '{app.spec['name']}', which is on "
                f"{', '.join(own) or 'none'}; name those of them"
            )
        found["hosts"] = asked
    return found


def _unfit(command: str) -> str:
    """What systemd would not take for the words of one command."""
    try:
        words = shlex.split(command)
    except ValueError as problem:
        return f"cannot be split into words: {problem}; mend the quotes"
    if ";" in words:
        return "is more than one command; write sh -c 'one; two'"
    return ""


def _example(options: Plain) -> str:
    schedule = ", schedule: daily" if options is JOB else ""
    return f"write it as, for example, {{command: python -m shop.tidy{schedule}}}"
