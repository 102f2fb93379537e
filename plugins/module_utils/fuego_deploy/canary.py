"""Canaries: a release on some hosts of an app, which get a share of its requests.

Which ones are on is part of the state of the pools (pools.json) on every balancer.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NotRequired, TypedDict

from .newest import newest

HEAVIEST = 65535
"""The greatest weight that nginx takes."""


class Canary(TypedDict):
    """What a run decided for an app: that these hosts, which have that release, together get
    `weight` percent of the requests; or that this is over."""

    state: Literal["on", "off"]
    release: str
    hosts: list[str]
    weight: int
    by: str
    when: str
    weighed: NotRequired[str]
    """When it last got another weight."""


def merge(found: Iterable[Mapping[str, Canary]]) -> dict[str, Canary]:
    """What was decided on all balancers: the newest for each app, of one second what is off."""
    return newest(found, _age)


def _age(canary: Canary) -> tuple[str, bool, str]:
    return canary["when"], canary["state"] == "off", canary.get("weighed", "")


def on(found: Mapping[str, Canary]) -> dict[str, Canary]:
    """Those that are on."""
    return {app: canary for app, canary in found.items() if canary["state"] == "on"}


def told(app: str, canary: Canary) -> str:
    """What is on, since when and by whom, and what ends it."""
    return (
        f"{app}: a canary of release {canary['release']} on {', '.join(canary['hosts'])} gets "
        f"{canary['weight']} % of the requests, by {canary['by']} since {canary['when']}; end it: "
        f"playbooks/canary.yml -e app={app} -e state=promote, or state=abort"
    )


def weights(members: Iterable[Mapping[str, Any]], canary: Canary | None) -> dict[str, int]:
    """Member → its weight while the canary is on; empty where all is as ever."""
    serving = {m["name"]: int(m.get("weight", 1)) for m in members if not m.get("backup")}
    if canary is None or canary["state"] == "off":
        return {}
    own = sum(weight for name, weight in serving.items() if name in canary["hosts"])
    others = sum(serving.values()) - own
    if not own or not others:
        return {}
    share = canary["weight"]
    found = {
        name: weight * (others * share if name in canary["hosts"] else own * (100 - share))
        for name, weight in serving.items()
    }
    divisor = max(math.gcd(*found.values()), math.ceil(max(found.values()) / HEAVIEST))
    return {name: max(1, round(weight / divisor)) for name, weight in found.items()}
