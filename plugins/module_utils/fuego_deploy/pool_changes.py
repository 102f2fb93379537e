"""What runs and people do to the pools of a load balancer: each function takes a state and returns
the next one, or refuses it. Nothing here touches a file; pool.py reads, renders and writes.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from .layout import DeployError
from .newest import newest
from .pool import Decision, Drain, Hand, Member, Pool, State, told, where


def merge(found: Iterable[Mapping[str, Hand]]) -> dict[str, Hand]:
    """What was decided by hand, of all balancers: the newest for each host.

    Of two of the same second the one that keeps it out wins, which loses no request.
    """
    return newest(found, _age)


def _age(hand: Hand) -> tuple[str, bool]:
    return hand["when"], hand["state"] != "restored"


Verdicts = dict[tuple[str, str, str], str | None]
"""App, member and where it was asked → why it is not healthy, or None where it is."""


Drains = Mapping[str, Mapping[str, Drain]]
"""App → member → who drained it and when."""


def in_doubt(state: State, pools: dict[str, Pool], over: Drains) -> list[tuple[str, Member]]:
    """The members to check: not admitted where they are now, or drained by a run that is `over`.

    A host that somebody took out by hand is left in peace.
    """
    return [
        (app, member)
        for app, pool in pools.items()
        for member in pool["members"]
        if not state.by_hand(member["name"])
        and (
            not state.is_admitted(app, member)
            or _is_over(state, app, member["name"], over)
        )
    ]  # fmt: skip


def _is_over(state: State, app: str, name: str, over: Drains) -> bool:
    """Whether what drains it is just what a run left that is over."""
    drain = state.drain(app, name)
    return drain is not None and drain == over.get(app, {}).get(name)


def without_removed(pools: dict[str, Pool], state: State) -> dict[str, Pool]:
    """The pools without the hosts that somebody removed."""
    return {
        app: {
            **pool,
            "members": [one for one in pool["members"] if not state.is_removed(one["name"])],
        }
        for app, pool in pools.items()
    }


def renew(
    state: State, pools: dict[str, Pool], verdicts: Verdicts, over: Drains, when: str
) -> State:
    """The state with the pools of the inventory. Of the drains, those of runs that are `over` end
    where the member is healthy. What was decided about a host ends with its line."""
    named = {(app, m["name"]) for app, pool in pools.items() for m in pool["members"]}
    hosts = {name for _, name in named}
    new = State(
        pools=without_removed(pools, state),
        hosts={name: hand for name, hand in state.hosts.items() if name in hosts},
        left=_left(state, named, when),
        maintenance={app: found for app, found in state.maintenance.items() if app in pools},
        canaries={app: found for app, found in state.canaries.items() if app in pools},
    )
    for app, pool in new.pools.items():
        for member in pool["members"]:
            name = member["name"]
            healthy = verdicts.get((app, name, where(member)), "") is None
            if state.is_admitted(app, member):
                new.admitted.setdefault(app, {})[name] = state.admitted[app][name]
            elif healthy:
                new.admitted.setdefault(app, {})[name] = {"address": where(member), "since": when}
            drain = state.drain(app, name)
            if drain and not (healthy and _is_over(state, app, name, over)):
                new.drained.setdefault(app, {})[name] = drain
    return new


def _left(state: State, named: set[tuple[str, str]], when: str) -> dict[str, dict[str, str]]:
    """The orphans: those known before, and who is in a pool that the inventory has not."""
    known = {(app, name): since for name, apps in state.left.items() for app, since in apps.items()}
    for app, pool in state.pools.items():
        known |= {(app, m["name"]): when for m in pool["members"]}
    found: dict[str, dict[str, str]] = {}
    for (app, name), since in sorted(known.items()):
        if (app, name) not in named:
            found.setdefault(name, {})[app] = since
    return found


def without_left(state: State, app: str, name: str | None = None) -> State:
    """The state without the orphans of that app, on that host or on all."""
    left = {
        host: {one: when for one, when in apps.items() if one != app or name not in (None, host)}
        for host, apps in state.left.items()
    }
    return replace(state, left={host: apps for host, apps in left.items() if apps})


def check_somebody_serves(before: State, after: State) -> None:
    """Raise DeployError where a pool that is served now would not be any more."""
    for app, pool in after.pools.items():
        if pool["members"] and before.serving(app) and not after.serving(app):
            out = "; ".join(f"{m['name']}: {after.why_out(app, m)}" for m in pool["members"])
            raise DeployError(
                f"{app}: {' and '.join(before.serving(app))} would leave the pool, and nobody "
                f"would serve it ({out}); restore a host first, then run again"
            )


def refuse_unknown(state: State, name: str) -> None:
    """Raise DeployError for a host that is in no pool, and say why it is not."""
    if state.apps_of(name):
        return
    if state.is_removed(name):
        raise DeployError(
            f"{name}: {told(state.hosts[name])}; let it in again first: scale.yml -e add={name}"
        )
    known = dict.fromkeys(m["name"] for pool in state.pools.values() for m in pool["members"])
    raise DeployError(
        f"{name}: no pool here has a host of that name; they have {', '.join(known) or 'none'}"
    )


def split(state: State, name: str, apps: list[str] | None) -> tuple[list[str], list[str]]:
    """Of the apps asked for, those whose pool the host is in and those whose it is not.

    None asks for every pool that it is in.
    """
    if apps is None:
        return state.apps_of(name), []
    known = [app for app in dict.fromkeys(apps) if state.member(app, name)]
    return known, [app for app in dict.fromkeys(apps) if app not in known]


def last_of(state: State, name: str, apps: Iterable[str]) -> list[str]:
    """The apps of which the host is the last that serves."""
    return [app for app in apps if state.serving(app) == [name]]


def refuse_last(state: State, name: str, apps: list[str]) -> None:
    """Raise DeployError for what nobody would serve any more."""
    for app in last_of(state, name, apps):
        others = [m for m in state.pools[app]["members"] if m["name"] != name]
        out = "; ".join(f"{m['name']}: {state.why_out(app, m)}" for m in others) or "has no other"
        raise DeployError(
            f"{app}: {name} is the last that serves it here, and without {name} every request "
            f"would fail (the pool: {out}); restore or add another host first"
        )


def drained(
    state: State, name: str, apps: list[str], record: Drain, hand: bool
) -> State:  # fmt: skip
    """The state with the host taken out: by hand of all its pools, by a run of the apps'."""
    new = copy.deepcopy(state)
    if hand:
        if apps and not state.by_hand(name):
            new.hosts[name] = _hand("drained", record)
        return new
    for app in apps:
        known = state.drain(app, name)
        if known is None or known["run"] != record["run"]:
            new.drained.setdefault(app, {})[name] = record
    return new


def _hand(state: Decision, record: Drain) -> Hand:
    return {"state": state, "by": record["by"], "when": record["when"], "why": record["why"]}


def moved(state: State, name: str, apps: list[str], address: str | None, port: int | None) -> State:
    """The state with the host reached where it is from now on."""
    new = copy.deepcopy(state)
    for app in apps:
        member = new.member(app, name)
        if member is not None:
            member["address"] = member["address"] if address is None else address
            member["port"] = member["port"] if port is None else port
    return new


def restored(state: State, name: str, apps: list[str], record: Drain, hand: bool) -> State:
    """The state with the host back in the apps' pools, where it passed its health check.

    What a run restores stays out where somebody took it out by hand; its admission is for later
    then. What a person restores is restored, whoever took it out.
    """
    new = copy.deepcopy(state)
    if hand and state.by_hand(name):
        new.hosts[name] = _hand("restored", record)
    for app in apps:
        _forget(new.drained, app, name)
        member = new.member(app, name)
        if member is not None and not new.by_hand(name) and not new.is_admitted(app, member):
            new.admitted.setdefault(app, {})[name] = {
                "address": where(member), "since": record["when"],
            }  # fmt: skip
    return new


def removed(state: State, name: str, apps: list[str], record: Drain, hand: bool) -> State:
    """The state without the host in these pools; by the last of them, without any trace of it,
    but that by hand it stays out while an inventory has it."""
    new = copy.deepcopy(state)
    for app in apps:
        pool = new.pools[app]
        pool["members"] = [member for member in pool["members"] if member["name"] != name]
        _forget(new.admitted, app, name)
        _forget(new.drained, app, name)
    if not new.apps_of(name):
        new.left.pop(name, None)
        if not state.is_removed(name):
            new.hosts.pop(name, None)
    if hand and apps:
        new.hosts[name] = _hand("removed", record)
    return new


def put_back(state: State, before: State, after: State, name: str, apps: list[str]) -> State:
    """The present state without what led from `before` to `after` for one host.

    What somebody else has changed since then stays.
    """
    new = copy.deepcopy(state)
    for app in apps:
        for table in ("admitted", "drained"):
            was, then = (getattr(s, table).get(app, {}).get(name) for s in (before, after))
            now = getattr(new, table)
            if now.get(app, {}).get(name) == then:
                _forget(now, app, name)
                if was is not None:
                    now.setdefault(app, {})[name] = was
        old, member = before.member(app, name), new.member(app, name)
        if old is not None and member is not None and member == after.member(app, name):
            member["address"], member["port"] = old["address"], old["port"]
    if name in before.hosts and new.hosts.get(name) == after.hosts.get(name):
        new.hosts[name] = before.hosts[name]
    return new


def _forget(table: dict[str, Any], app: str, name: str) -> None:
    """Take an entry away, and the app's with it where it was the last."""
    table.get(app, {}).pop(name, None)
    if not table.get(app, True):
        del table[app]
