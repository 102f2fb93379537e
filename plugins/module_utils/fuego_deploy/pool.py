"""The pools of a load balancer: who is in them, who is out and why, and the lines nginx reads.

One file, pools.json, says all of it, and the files below /etc/nginx/pools are nothing but that file
written for nginx. So every change goes the same way, under nginx's lock: the state first, then the
files, then the reload. Whoever is killed on the way leaves a state that is ahead of the files, and
the next call of any module that lays pools writes all of them from the state again.
"""

import calendar
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
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
    upstream_protocol: NotRequired[str]
    """What this balancer speaks to the members, where that is not HTTP: `uwsgi`."""
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


def seconds(when: str) -> float:
    """The moment that `now` wrote, in seconds since the epoch."""
    return calendar.timegm(time.strptime(when, "%Y-%m-%dT%H:%M:%SZ"))


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
    return {site["name"]: _pool(site, options, listen) for site in sites}


def _pool(site: dict[str, Any], options: dict[str, Any], listen: int) -> Pool:
    found: Pool = {
        "members": [_member(site, member) for member in site["members"]],
        "health": dict(site.get("health") or {}),
        "domains": list(site.get("domains") or []),
        "listen": listen,
        "options": {**options, **(site.get("options") or {})},
        "sticky": str(site.get("sticky") or ""),
    }
    if site.get("upstream_protocol", "http") != "http":
        found["upstream_protocol"] = site["upstream_protocol"]
    return found


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
