"""Filters of the playbooks: what failed, and what the hosts of a fleet have."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

# Ansible loads a filter by its path, so that its neighbours are no package to it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))

from fuego_deploy import pool, pool_changes


def failure(result: Mapping[str, Any]) -> str:
    """The reasons in a task's result, those of a loop's items one below the other."""
    items = [item for item in result.get("results", ()) if isinstance(item, Mapping)]
    said = [failure(item) for item in items if item.get("failed") or item.get("unreachable")]
    if not said:
        said = [str(result.get("msg") or result.get("stderr") or "it gave no reason")]
    return "\n".join(dict.fromkeys(said))


def former_releases(
    hosts: Iterable[Mapping[str, Any]],
    purpose: str,
    given: str,
    canaries: Mapping[str, Mapping[str, Any]] | None = None,
    here: str = "",
) -> dict[str, dict[str, str]]:
    """App → what stays or is returned to on all of its hosts, and with one of the `canaries` that
    are on, on the host `here`; an app that is not in it gets what the inventory says.

    `release` is its id, `prefer` which of a host's activations with that release is meant
    (app_activation), and `host` one that has the release, empty where none has.

    `hosts` are hostvars with the `run_found` that app_run returned. A rollback goes to the release
    `given`. Without one it goes to what the fleet had before a change that never came to its end,
    else to what most hosts had before the last one. A scaling keeps what most hosts have, and
    everything but a deploy a rollback that holds on any host.
    """
    found: dict[str, dict[str, Any]] = {}
    for host in hosts:
        for app, facts in (host.get("run_found") or {}).get("apps", {}).items():
            found.setdefault(app, {})[host["inventory_hostname"]] = facts
    chosen = {}
    for app, everywhere in found.items():
        canary = (canaries or {}).get(app)
        if canary and purpose != "deploy":
            release, prefer = _with_canary(everywhere, canary, purpose, here)
        else:
            release, prefer = _former(list(everywhere.values()), purpose, given)
        if release or purpose == "rollback":
            having = (name for name, facts in everywhere.items() if release in facts["kept"])
            chosen[app] = {"release": release, "prefer": prefer, "host": next(having, "")}
    return chosen


def _with_canary(
    everywhere: Mapping[str, Mapping[str, Any]], canary: Mapping[str, Any], purpose: str, here: str
) -> tuple[str, str]:
    """The same, while a canary is on: what it has, what the fleet has, or each its own."""
    if purpose == "promote":
        return str(canary["release"]), "newest"
    first = {name: facts for name, facts in everywhere.items() if name in canary["hosts"]}
    others = [facts["release"] for name, facts in everywhere.items() if name not in first]
    fleets = _most(others) or _most(facts["committed"] for facts in first.values())
    if purpose == "abort":
        return fleets, "committed"
    return (str(first[here]["release"]) if here in first else fleets), "current"


def _former(everywhere: list[Mapping[str, Any]], purpose: str, given: str) -> tuple[str, str]:
    """The release, empty where there is none, and the activation that is preferred."""
    if purpose == "rollback":
        if given:
            return given, "current"
        halfway = [facts["committed"] for facts in everywhere if facts["uncommitted"]]
        if halfway:
            return _most(halfway), "committed"
        return _most(facts["previous"] for facts in everywhere), "previous"
    holds = [facts["hold"] for facts in everywhere if facts["hold"]]
    if purpose != "deploy" and holds:
        return str(max(holds, key=lambda hold: str(hold["since"]))["release"]), "current"
    if purpose == "scale":
        return _most(facts["release"] for facts in everywhere), "current"
    return "", ""


def _most(releases: Iterable[str]) -> str:
    """The one that most hosts have."""
    return next((one for one, _ in Counter(filter(None, releases)).most_common(1)), "")


def removed_hosts(decided: Iterable[Mapping[str, pool.Hand]]) -> list[str]:
    """The hosts that somebody took out for as long as the inventory has them, of what was decided
    by hand, as pool_render reads it from each balancer."""
    return [
        name for name, hand in pool_changes.merge(decided).items() if hand["state"] == "removed"
    ]


def over_drains(
    drained: Mapping[str, Mapping[str, Any]], hosts: Iterable[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Of what a balancer had drained before the run locked anything, what nobody else is about to
    restore: that of apps which the run has locked since then, on those hosts."""
    locked = {
        (app, host["inventory_hostname"])
        for host in hosts
        for app in (host.get("run_found") or {}).get("apps") or {}
    }
    return {
        app: {name: drain for name, drain in found.items() if (app, name) in locked}
        for app, found in drained.items()
    }


def protocol_refusals(
    told: Iterable[Mapping[str, Any]], sites: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Why a pool that serves may not be spoken to in another way: some of its hosts would already
    expect that while the others do not. `told` is what pool_render read on each balancer."""
    before = {app: known for one in told for app, known in (one.get("protocols") or {}).items()}
    return [
        f"apps.{app}.server: balancers speak {before[app]} to '{app}', and to this server they "
        f"would speak {wanted}, which no host can change to while others serve; name it as a "
        "second app on another port, move its domains there once it serves, and take the first "
        "one away with playbooks/remove.yml"
        for site in sites
        if (app := site["name"]) in before
        and (wanted := site.get("upstream_protocol", "http")) != before[app]
    ]


class FilterModule:
    """The filters, as Ansible loads them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return each filter by its name."""
        return {
            "failure": failure,
            "former_releases": former_releases,
            "over_drains": over_drains,
            "protocol_refusals": protocol_refusals,
            "removed_hosts": removed_hosts,
        }
