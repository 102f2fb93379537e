"""What was changed lately, and who is changing it now, from what each host noted."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fuego_deploy.pool import one_line

SHOWN = 10
"""Changes that are told."""
NAMED = 6
"""Hosts that are named; of more, how many."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an app on the fleet: a run, or what is left of it in the logs."""

    when: str
    app: str
    who: str
    what: str
    failed: bool


def changes(hosts: Mapping[str, Mapping[str, Any]]) -> list[Change]:
    """The last changes, the newest first; what a run did on several hosts is one."""
    runs: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for name, result in hosts.items():
        for entry in result.get("changes") or ():
            key = (str(entry.get("run")), str(entry.get("app")))
            runs.setdefault(key, []).append((name, entry))
    found = [_change(app, entries) for (_, app), entries in runs.items()]
    return sorted(found, key=lambda change: change.when, reverse=True)[:SHOWN]


def _change(app: str, entries: list[tuple[str, Mapping[str, Any]]]) -> Change:
    entries = sorted(entries, key=lambda pair: str(pair[1].get("time")))
    actions: dict[tuple[str, str], list[str]] = {}
    reasons: dict[tuple[str, str], str] = {}
    for name, entry in entries:
        # A release that another Python built has a suffix on the host.
        release = one_line(entry.get("release") or entry.get("former") or "").partition(".")[0]
        key = (one_line(entry.get("action", "")), release)
        actions.setdefault(key, []).append(name)
        if entry.get("reason"):
            reasons.setdefault(key, one_line(entry["reason"]))
    what = "; ".join(
        f"{action} {release}".strip()
        + f" on {_named(names)}"
        + (f" ({reasons[action, release]})" if (action, release) in reasons else "")
        for (action, release), names in actions.items()
    )
    last = entries[-1][1]
    return Change(
        one_line(last.get("time", "")), one_line(app), one_line(last.get("who", "")), what,
        any("failed" in action or action == "withdraw" for action, _ in actions),
    )  # fmt: skip


def _named(names: Iterable[str]) -> str:
    known = list(dict.fromkeys(names))
    return ", ".join(known) if len(known) <= NAMED else f"{len(known)} hosts"


def locks(hosts: Mapping[str, Mapping[str, Any]], over: Collection[str]) -> list[str]:
    """One line for each lock that is held, with its hosts. `over` are runs that have ended."""
    held: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for name, result in hosts.items():
        for app, said in (result.get("apps") or {}).items():
            if lock := said.get("lock"):
                held.setdefault((app, str(lock.get("run"))), []).append((name, lock))
    lines = []
    for (app, run), found in held.items():
        lock = found[0][1]
        words = {key: one_line(lock.get(key) or "?") for key in ("who", "purpose", "since")}
        ended = "; that run has ended, the next one takes over" if run in over else ""
        lines.append(
            f"{app}: locked by {words['who']} since {words['since']} for a {words['purpose']}, "
            f"run {one_line(run)}, on {_named(name for name, _ in found)}{ended}"
        )
    return lines
