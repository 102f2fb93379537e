"""The pools of a load balancer: who is in them, who is out and why, and the lines nginx reads.

One file, pools.json, says all of it, and the files below /etc/nginx/pools are nothing but that file
written for nginx. So every change goes the same way, under nginx's lock: the state first, then the
files, then the reload. Whoever is killed on the way leaves a state that is ahead of the files, and
the next call of any module that lays pools writes all of them from the state again.
"""

import copy
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from . import canary, maintenance, nginx
from .canary import Canary
from .layout import MARK, DeployError, write_json
from .maintenance import Maintenance

VERSION = 2
STATE_FILE = "/var/lib/fuego-deploy/pools.json"
ADDRESS = re.compile(r"[0-9A-Za-z.:_-]+")
# For people who read the pool's file; what somebody gave as the reason may be of any length.
COMMENT = 160
OPTIONS = ("weight", "max_conns", "max_fails", "fail_timeout")


class Member(TypedDict):
    """A host in a pool. What is optional is an option of nginx's `server`."""

    name: str
    address: str
    port: int
    weight: NotRequired[int]
    max_conns: NotRequired[int]
    backup: NotRequired[bool]


class Pool(TypedDict):
    """All that a drain or a proof has to know of a pool, so that neither needs an inventory."""

    members: list[Member]
    health: dict[str, Any]
    domains: list[str]
    listen: int
    """The port on which this balancer serves the site."""
    options: dict[str, Any]
    """nginx's options of every `server` line: max_fails, fail_timeout."""
    sticky: NotRequired[str]
    """How a client is known that stays on one member: `cookie` or `ip_hash`."""


class Admission(TypedDict):
    """That a member passed its health check, at this address."""

    address: str
    since: str


class Drain(TypedDict):
    """That a run took a member out, for its own time."""

    run: str
    by: str
    when: str
    why: str


Decision = Literal["drained", "restored", "removed"]


class Hand(TypedDict):
    """What somebody decided by hand for a host, in every pool that it is in."""

    state: Decision
    by: str
    when: str
    why: str


@dataclass(slots=True)
class State:
    """What pools.json holds. By app, then by member; `hosts` and `left` by host, `maintenance` and
    `canaries` by app."""

    pools: dict[str, Pool] = field(default_factory=dict)
    admitted: dict[str, dict[str, Admission]] = field(default_factory=dict)
    drained: dict[str, dict[str, Drain]] = field(default_factory=dict)
    hosts: dict[str, Hand] = field(default_factory=dict)
    left: dict[str, dict[str, str]] = field(default_factory=dict)
    """Host → app → when the inventory stopped naming it there. Nobody has taken it off since."""
    maintenance: dict[str, Maintenance] = field(default_factory=dict)
    canaries: dict[str, Canary] = field(default_factory=dict)

    def member(self, app: str, name: str) -> Member | None:
        """The member as the pool has it."""
        members = self.pools[app]["members"] if app in self.pools else []
        return next((member for member in members if member["name"] == name), None)

    def apps_of(self, name: str) -> list[str]:
        """The pools that the host is in."""
        return [app for app in self.pools if self.member(app, name)]

    def by_hand(self, name: str) -> Hand | None:
        """Who took the host out by hand; None where nobody did."""
        hand = self.hosts.get(name)
        return hand if hand and hand["state"] == "drained" else None

    def is_removed(self, name: str) -> bool:
        """Whether somebody took the host out for as long as an inventory has it."""
        return name in self.hosts and self.hosts[name]["state"] == "removed"

    def knows(self, name: str) -> bool:
        """Whether the host is, or was, in a pool, as far as anybody still has to be told."""
        return bool(self.apps_of(name)) or name in self.hosts or name in self.left

    def is_admitted(self, app: str, member: Member) -> bool:
        known = self.admitted.get(app, {}).get(member["name"])
        return known is not None and known["address"] == where(member)

    def drain(self, app: str, name: str) -> Drain | None:
        return self.drained.get(app, {}).get(name)

    def why_out(self, app: str, member: Member) -> str | None:
        """Why a member gets no requests, in words; None where it gets some."""
        if hand := self.by_hand(member["name"]):
            return told(hand)
        if drain := self.drain(app, member["name"]):
            return told(drain)
        return None if self.is_admitted(app, member) else "has not passed its health check"

    def serving(self, app: str) -> list[str]:
        """The members that get requests."""
        members = self.pools[app]["members"] if app in self.pools else []
        return [member["name"] for member in members if self.why_out(app, member) is None]

    def held_out(self, apps: Iterable[str] | None = None, name: str | None = None) -> list[str]:
        """One line for each member that a person or a run took out."""
        return [
            f"{app}: {member['name']}: {self.why_out(app, member)}"
            for app in (self.pools if apps is None else apps)
            for member in self.pools[app]["members"]
            if name in (None, member["name"])
            and (self.by_hand(member["name"]) or self.drain(app, member["name"]))
        ]

    def removals(self) -> list[str]:
        """One line for each host that stays out as long as an inventory has it."""
        return [
            f"{name}: {told(hand)}; it stays out until its line leaves the inventory, or until "
            f"scale.yml -e add={name}"
            for name, hand in self.hosts.items()
            if self.is_removed(name)
        ]

    def orphans(self) -> list[str]:
        """One line for each app that runs on where the inventory names it no more."""
        return [
            f"{name}: the inventory stopped naming {app} there at {when}, and it runs on; "
            + self._mend(name, app)
            for name, apps in self.left.items()
            for app, when in apps.items()
        ]

    def _mend(self, name: str, app: str) -> str:
        """How to take an orphan off."""
        if not self.apps_of(name):
            return (
                f"take it off with scale.yml -e remove={name}, for which the host needs its line "
                "in the inventory; without, that only forgets the host"
            )
        here = f" -e host={name}" if app in self.pools else ""
        return f"take it off with remove.yml -e app={app}{here}"


def where(member: Member) -> str:
    """Address and port as one word: what an admission is bound to, and nginx's own way."""
    address = member["address"]
    return f"[{address}]:{member['port']}" if ":" in address else f"{address}:{member['port']}"


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def one_line(text: object) -> str:
    """What a person wrote, safe in a comment: one line, nothing invisible, of bounded length."""
    words = " ".join(str(text).split())
    shown = "".join(letter for letter in words if letter.isprintable())
    return shown if len(shown) <= COMMENT else f"{shown[: COMMENT - 1]}…"


def told(record: Drain | Hand) -> str:
    """Who took a member out, when and why."""
    state = record.get("state", "drained")
    by = f" by {one_line(record['by'])}" if record["by"] else ""
    why = f": {one_line(record['why'])}" if record["why"] else ""
    return f"{state}{by} at {one_line(record['when'])}{why}"


def read(path: str | Path) -> State:
    """The state kept at `path`; an empty one where there is none or one of another shape.

    Raises DeployError for a file that is broken.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return State()
    except ValueError as error:
        raise DeployError(_unreadable(path, error)) from error
    if not isinstance(content, dict):
        raise DeployError(_unreadable(path, "it does not hold a JSON object"))
    if content.get("version") != VERSION:
        return State()
    try:
        # What an earlier release of ours wrote lacks these.
        content = {"left": {}, "maintenance": {}, "canaries": {}, **content}
        return State(**{name: dict(content[name]) for name in State.__slots__})
    except (KeyError, TypeError, ValueError) as error:
        raise DeployError(_unreadable(path, f"no {error}")) from error


def _unreadable(path: str | Path, why: object) -> str:
    return (
        f"the pools of this balancer cannot be read: {path}: {why}; remove the file and run "
        "site.yml: every member is checked and admitted again, and drains by hand that no other "
        "balancer knows have to be made again"
    )


def as_json(state: State) -> dict[str, Any]:
    return {"version": VERSION, **asdict(state)}


def write(path: str | Path, state: State) -> None:
    """Replace the file whole; it is on disk when this returns, before nginx reads the pools."""
    file = Path(path)
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_json(file, as_json(state))
    nginx.sync(file.parent)


def difference(path: str | Path, before: State, after: State) -> dict[str, str]:
    """The change of the state as Ansible shows it with --diff."""
    texts = [json.dumps(as_json(s), indent=2, sort_keys=True) + "\n" for s in (before, after)]
    return {"before": texts[0], "after": texts[1],
            "before_header": str(path), "after_header": str(path)}  # fmt: skip


def render(state: State) -> dict[str, str]:
    """Path below /etc/nginx → content, for every pool and the maintenance of its site."""
    found = {}
    for app, pool in state.pools.items():
        path = pool["health"].get("path") or "/"
        found[f"pools/{app}.conf"] = _text(state, app)
        found[f"maintenance/{app}.conf"] = maintenance.render(app, state.maintenance.get(app), path)
    return found


def _text(state: State, app: str) -> str:
    members = state.pools[app]["members"]
    weights = canary.weights(members, state.canaries.get(app))
    lines = [_line(state, app, member, weights) for member in members]
    header = f"# {MARK}: edits are lost. Who serves {app}, who is out, and why."
    return "\n".join([header, *(lines or ["server 127.0.0.1:9 down;  # nobody"]), ""])


def _line(state: State, app: str, member: Member, weights: Mapping[str, int]) -> str:
    options: dict[str, object] = {**state.pools[app]["options"], **member}
    if member["name"] in weights:
        options["weight"] = weights[member["name"]]
    words = [f"{key}={options[key]}" for key in OPTIONS if options.get(key) is not None]
    words += ["backup"] if member.get("backup") else []
    out = state.why_out(app, member)
    words += ["down"] if out else []
    comment = one_line(member["name"]) + (f": {out}" if out else "")
    return f"{' '.join(['server', where(member), *words])};  # {comment}"


def wanted(sites: list[dict[str, Any]], options: dict[str, Any], listen: int) -> dict[str, Pool]:
    """The pools as an inventory has them. Raises DeployError for an address that is none."""
    return {
        site["name"]: {
            "members": [_member(site, member) for member in site["members"]],
            "health": dict(site.get("health") or {}),
            "domains": list(site.get("domains") or []),
            "listen": listen,
            "options": {**options, **(site.get("options") or {})},
            "sticky": str(site.get("sticky") or ""),
        }
        for site in sites
    }


def _member(site: dict[str, Any], given: dict[str, Any]) -> Member:
    name, address = str(given["name"]), str(given["address"])
    check_address(f"{site['name']}: {name}", address)
    port = given.get("port")
    found: Member = {
        "name": name,
        "address": address,
        "port": int(site["port"] if port is None else port),
    }
    if given.get("weight") is not None:
        found["weight"] = int(given["weight"])
    if given.get("max_conns") is not None:
        found["max_conns"] = int(given["max_conns"])
    if given.get("backup"):
        found["backup"] = True
    return found


def check_address(whose: str, address: str) -> None:
    """Raise DeployError for what would not be an address to nginx."""
    if not ADDRESS.fullmatch(address):
        raise DeployError(f"{whose}: {address!r} is not an address")


def merge(found: Iterable[Mapping[str, Hand]]) -> dict[str, Hand]:
    """What was decided by hand, of all balancers: the newest for each host.

    Of two of the same second the one that keeps it out wins, which loses no request.
    """
    merged: dict[str, Hand] = {}
    for hosts in found:
        for name, hand in hosts.items():
            known = merged.get(name)
            if known is None or _age(hand) > _age(known):
                merged[name] = hand
    return merged


def _age(hand: Hand) -> tuple[str, bool]:
    return hand["when"], hand["state"] != "restored"


Verdicts = dict[tuple[str, str, str], str | None]
"""App, member and where it was asked → why it is not healthy, or None where it is."""


def in_doubt(state: State, pools: dict[str, Pool], run: str) -> list[tuple[str, Member]]:
    """The members to check: not admitted where they are now, or left drained by another run.

    A host that somebody took out by hand is left in peace.
    """
    return [
        (app, member)
        for app, pool in pools.items()
        for member in pool["members"]
        if not state.by_hand(member["name"])
        and (
            not state.is_admitted(app, member)
            or _is_left(state.drain(app, member["name"]), run)
        )
    ]  # fmt: skip


def _is_left(drain: Drain | None, run: str) -> bool:
    return drain is not None and drain["run"] != run


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
    state: State, seen: State, pools: dict[str, Pool], verdicts: Verdicts, run: str, when: str
) -> State:
    """The state with the pools of the inventory. `seen` is the one that the verdicts are about:
    who was drained since then stays so. What was decided about a host ends with its line."""
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
            lifted = healthy and _is_left(drain, run) and drain == seen.drain(app, name)
            if drain and not lifted:
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
