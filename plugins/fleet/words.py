"""The words that the status has for a host, its app and its place in the pool."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fuego_deploy.pool import one_line

FINE = "fine"
"""The level of what needs nobody; others are `warn`, `bad`, and `off` for what does not count."""
IN_POOL, WAITING = "in pool", "not admitted"

POOL = {
    "in": (IN_POOL, FINE),
    "drained": ("drained", "warn"),
    "removed": ("removed", "off"),
    "waiting": (WAITING, "warn"),
    "absent": ("not in pool", "warn"),
}


@dataclass(frozen=True, slots=True)
class Word:
    """A state in words, how grave it is, and why where that is not plain."""

    text: str
    level: str
    why: str = ""


def pool_word(states: list[str]) -> Word:
    """One word for what all balancers do with a host."""
    if not states:
        return Word("unknown", "warn")
    if len(set(states)) > 1:
        return Word("balancers differ", "warn")
    return Word(*POOL.get(states[0], (one_line(states[0]) or "unknown", "warn")))


def health(
    app: str, result: Mapping[str, Any] | None, said: Mapping[str, Any] | None, known: bool
) -> Word:
    """Whether the app is healthy on a host: systemd's word first, then the app's own answer."""
    if not known:
        return Word("not in the inventory", "off")
    if result is None:
        return Word("not asked", "off")
    if result.get("unreachable"):
        return Word("unreachable", "bad")
    if said is None:
        return Word("cannot be asked", "bad")
    if not said["release"]:
        return Word("not deployed", "off")
    units = said["units"]
    service = units.get(f"{app}.service")
    if service is None:
        return Word("no service", "bad", one_line(said["problem"]) or "its unit is missing")
    socket = units.get(f"{app}.socket", {"active": ""})
    if service["active"] != "active":
        return _stopped(app, service, listening=socket["active"] == "active")
    if socket["active"] not in ("", "active"):
        return Word("not listening", "bad", f"{app}.socket is {one_line(socket['active'])}")
    beside = [
        _beside(name, unit)
        for name, unit in units.items()
        if name.startswith(f"{app}_") and (unit["active"] == "failed" or _should_run(unit))
    ]
    if beside:
        texts, whys = zip(*beside, strict=True)
        return Word(", ".join(dict.fromkeys(texts)), "bad", "; ".join(whys))
    return _answered(said["answer"], one_line(said["problem"]))


def _beside(name: str, unit: Mapping[str, Any]) -> tuple[str, str]:
    """What is wrong with a process or a job, in short and with where to look."""
    short, active = name.rpartition(".")[0], one_line(unit["active"])
    why = f"{name} is {active}; journalctl -u {short} says why"
    return f"{short.partition('_')[2]} {active}", why


def _should_run(unit: Mapping[str, Any]) -> bool:
    """Whether it is a process or a timer, and does not run."""
    return bool(unit["enabled"] == "enabled" and unit["active"] != "active")


def _stopped(app: str, service: Mapping[str, Any], listening: bool) -> Word:
    active = service["active"]
    if active == "failed":
        times = counted(int(service["restarts"]), "restart")
        why = f"systemd gave it up after {times}; journalctl -u {app} says why"
        return Word(f"failed ({one_line(service['result'])})", "bad", why)
    if active == "activating":
        if service["restarts"]:
            return Word("restarting", "bad", f"systemd has started it {service['restarts']} times")
        return Word("starting", "warn")
    why = "the next request on its socket starts it" if listening else "nothing listens for it"
    return Word("stopped" if active == "inactive" else one_line(active), "bad", why)


def _answered(answer: Mapping[str, Any] | None, problem: str) -> Word:
    if answer is None:
        return Word("runs, not proved", "warn", problem)
    if answer["healthy"]:
        return Word("healthy", FINE)
    asked = f"GET {one_line(answer['path'])}"
    if answer["status"] is None:
        return Word("no answer", "bad", f"{asked}: {one_line(answer['problem'])}")
    return Word(f"unhealthy ({answer['status']})", "bad", f"{asked} answered {answer['status']}")


def since(app: str, said: Mapping[str, Any] | None) -> str:
    """When the service came into its state."""
    units = (said or {}).get("units", {})
    return stamp(units.get(f"{app}.service", {}).get("since", 0))


def stamp(seconds: float) -> str:
    """A point in time, given in seconds since the epoch; nothing for 0."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else ""


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
