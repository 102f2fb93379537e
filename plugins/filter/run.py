"""Filters of the playbooks: what failed, and what the hosts of a fleet have."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def failure(result: Mapping[str, Any]) -> str:
    """The reasons in a task's result, those of a loop's items one below the other."""
    items = [item for item in result.get("results", ()) if isinstance(item, Mapping)]
    said = [failure(item) for item in items if item.get("failed") or item.get("unreachable")]
    if not said:
        said = [str(result.get("msg") or result.get("stderr") or "it gave no reason")]
    return "\n".join(dict.fromkeys(said))


def former_releases(hosts: Iterable[Mapping[str, Any]], purpose: str, given: str) -> dict[str, str]:
    """App → the release that stays or is returned to on all of its hosts; an app that is not in it
    gets what the inventory says.

    `hosts` are hostvars with the `run_found` that app_run returned. A rollback goes to the release
    `given`, else to what most hosts had before; everything but a deploy keeps a rollback that
    holds on any host.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for host in hosts:
        for app, facts in (host.get("run_found") or {}).get("apps", {}).items():
            found.setdefault(app, []).append(facts)
    chosen = {}
    for app, everywhere in found.items():
        if purpose == "rollback":
            before = Counter(facts["previous"] for facts in everywhere if facts["previous"])
            chosen[app] = given or next((release for release, _ in before.most_common(1)), "")
        elif purpose != "deploy":
            holds = [facts["hold"] for facts in everywhere if facts["hold"]]
            if holds:
                chosen[app] = max(holds, key=lambda hold: str(hold["since"]))["release"]
    return chosen


class FilterModule:
    """The filters, as Ansible loads them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return each filter by its name."""
        return {"failure": failure, "former_releases": former_releases}
