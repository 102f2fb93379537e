"""Filters of the playbooks: which canaries are on, and what they leave to the other hosts."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

# Ansible loads a filter by its path, so that its neighbours are no package to it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))

from fuego_deploy.canary import Canary, merge, on, told

Host = Mapping[str, Any]
ENDING = ("promote", "abort")


def canaries_on(found: Iterable[Mapping[str, Any]]) -> dict[str, Canary]:
    """App → its canary, of what pool_render read on each balancer."""
    return on(merge(one.get("canaries") or {} for one in found))


def canary_refusals(canaries: Mapping[str, Canary], apps: Iterable[str], purpose: str) -> list[str]:
    """Why the run may not change these apps."""
    if purpose in ("deploy", "rollback"):
        return [f"apps.{told(app, canaries[app])}" for app in apps if app in canaries]
    if purpose in ENDING:
        return [
            f"apps.{app}: no canary is on; begin one with playbooks/deploy.yml -e app={app}, where "
            f"the app's entry has a canary"
            for app in apps
            if app not in canaries
        ]
    return []


def canaries_begun(
    hosts: Iterable[Host], apps: Mapping[str, Any], run: Mapping[str, Any], ons: Iterable[str]
) -> dict[str, Canary]:
    """App → the canary that this run begins: something new is staged on hosts of its canary, and
    the fleet has something to go back to."""
    begun: dict[str, Canary] = {}
    everywhere = list(hosts)
    for app, spec in apps.items():
        if not spec.get("canary") or app in ons or run["purpose"] not in ("deploy", "site"):
            continue
        staged = {h["inventory_hostname"]: s for h in everywhere if (s := _staged(h, app))}
        first = [name for name in spec["canary"]["hosts"] if _is_new(staged.get(name))]
        if not first or not any(_committed(host, app) for host in everywhere):
            continue
        begun[app] = {
            "state": "on",
            "release": staged[first[0]]["release"],
            "hosts": spec["canary"]["hosts"],
            "weight": spec["canary"]["weight"],
            "by": run["who"],
            "when": run["since"],
        }
    return begun


def _staged(host: Host, app: str) -> dict[str, Any]:
    found: dict[str, Any] = (host.get("app_staged") or {}).get(app) or {}
    return found


def _committed(host: Host, app: str) -> str:
    """The release that the fleet has, as far as this host knows."""
    found = ((host.get("run_found") or {}).get("apps") or {}).get(app) or {}
    return str(found.get("committed") or "")


def _is_new(staged: Mapping[str, Any] | None) -> bool:
    """Whether the host has, or is about to get, what the fleet has not taken."""
    return staged is not None and (_switches(staged) or bool(staged["uncommitted"]))


def _switches(staged: Mapping[str, Any]) -> bool:
    return bool(staged["pending"] and staged["activation"] != staged["current"])


def canary_obstacles(
    hosts: Iterable[Host],
    apps: Mapping[str, Any],
    run: Mapping[str, Any],
    ons: Iterable[str],
) -> list[str]:
    """Why something new could not go to a canary first, and the other hosts stay as they are."""
    found = []
    everywhere = list(hosts)
    begun = canaries_begun(everywhere, apps, run, ons)
    for app, spec in apps.items():
        staged = {h["inventory_hostname"]: s for h in everywhere if (s := _staged(h, app))}
        if (
            spec.get("canary")
            and run["purpose"] in ("deploy", "site")
            and not set(spec["canary"]["hosts"]) & set(staged)
            and any(_committed(host, app) for host in everywhere)
            and any(_switches(what) for what in staged.values())
        ):
            found.append(
                f"apps.{app}.canary: none of {', '.join(spec['canary']['hosts'])} takes part in "
                "this run, and a new release goes there first; leave --limit out, or name another"
            )
    for host in everywhere:
        name = host["inventory_hostname"]
        for app, canary in begun.items():
            staged = _staged(host, app)
            if not staged or name in canary["hosts"]:
                continue
            if not staged["current"]:
                found.append(
                    f"apps.{app}.canary: {name} has no release yet that it could keep; add it "
                    f"first with what the fleet has: playbooks/scale.yml -e add={name}"
                )
            elif staged["uncommitted"]:
                found.append(
                    f"apps.{app}.canary: {name} has a release of a run that never came to its end; "
                    f"go back first: playbooks/rollback.yml -e app={app}"
                )
    return found


def leave_to_canaries(
    staged: Mapping[str, Mapping[str, Any]],
    begun: Mapping[str, Canary],
    ons: Mapping[str, Canary],
    host: str,
) -> dict[str, dict[str, Any]]:
    """What changes on a host, as `app_staged` has it: what is new waits where a canary begins
    elsewhere, and what a canary has is no change that was left halfway."""
    found = {}
    for app, what in staged.items():
        now = dict(what)
        if app in begun and host not in begun[app]["hosts"] and _switches(what):
            now |= {"pending": False, "changing": False}
        if app in ons and host in ons[app]["hosts"]:
            now |= {"uncommitted": False, "changing": now["pending"]}
        found[app] = now
    return found


def canaries_decided(
    found: Iterable[Mapping[str, Any]],
    begun: Mapping[str, Canary],
    run: Mapping[str, Any],
    apps: Mapping[str, Any],
) -> list[dict[str, Canary]]:
    """What every balancer is to know: what any knew, what this run of these apps begins, what it
    ends, and the weight that the inventory now has for those hosts."""
    known = [dict(one.get("canaries") or {}) for one in found]
    stamp = {"by": run["who"], "when": run["since"]}
    changed: dict[str, Canary] = {}
    for app, canary in on(merge(known)).items():
        wanted = apps.get(app, {}).get("canary") or {}
        if app in apps and run["purpose"] in ENDING:
            changed[app] = {**canary, "state": "off", **stamp}  # type: ignore[typeddict-item]
        elif (
            wanted
            and sorted(wanted["hosts"]) == sorted(canary["hosts"])
            and wanted["weight"] != canary["weight"]
        ):
            # No newer than it was: who ends it meanwhile has the last word.
            changed[app] = {**canary, "weight": wanted["weight"], "weighed": run["since"]}
    return [*known, {**changed, **begun}]


def canaries_here(
    begun: Mapping[str, Canary], ons: Mapping[str, Canary], host: str, purpose: str
) -> list[str]:
    """The apps of which this host is a canary's when the run ends well."""
    left = {} if purpose in ENDING else ons
    return [app for app, canary in {**left, **begun}.items() if host in canary["hosts"]]


def first_pending(hosts: Iterable[Host], apps: Mapping[str, Any]) -> dict[str, str]:
    """App → the first of its hosts on which it changes."""
    changing = {
        (host["inventory_hostname"], app)
        for host in hosts
        for app, what in (host.get("run_changes") or {}).items()
        if what["pending"]
    }
    found = {}
    for app, spec in apps.items():
        for name in spec["hosts"]:
            if (name, app) in changing:
                found[app] = name
                break
    return found


class FilterModule:
    """The filters, as Ansible loads them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return each filter by its name."""
        return {
            "canaries_begun": canaries_begun,
            "canaries_decided": canaries_decided,
            "canaries_here": canaries_here,
            "canaries_on": canaries_on,
            "canary_obstacles": canary_obstacles,
            "canary_refusals": canary_refusals,
            "first_pending": first_pending,
            "leave_to_canaries": leave_to_canaries,
        }
