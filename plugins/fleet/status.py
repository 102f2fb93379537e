"""How the fleet is: what its hosts and balancers said of themselves, put together.

Whoever could not be asked, and what could not be read, is told in words; nothing here fails for it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fuego_deploy.pool import Member, one_line, where

from fleet.catalogue import Plain
from fleet.history import Change, changes, locks
from fleet.words import FINE, IN_POOL, WAITING, Word, counted, health, pool_word, since, stamp

Found = Mapping[str, Mapping[str, Any]]
"""Host → what was registered of it; one that was not asked is not in it."""


@dataclass(frozen=True, slots=True)
class Place:
    """What one balancer does with a host in the pool of an app."""

    balancer: str
    state: str
    by: str = ""
    when: str = ""
    why: str = ""
    hand: bool = False


@dataclass(slots=True)
class Requests:
    """What balancers asked of a host; `slowest` is in seconds, to the first byte."""

    count: int = 0
    errors: int = 0
    slowest: float = 0.0

    def add(self, figures: Mapping[str, Any]) -> None:
        self.count += int(figures["requests"])
        self.errors += int(figures["errors"])
        self.slowest = max(self.slowest, float(figures["slowest"]))


@dataclass(frozen=True, slots=True)
class Row:
    """One app on one host. `requests` is None where no balancer could be asked for its log."""

    app: str
    host: str
    server: str
    release: str
    held: bool
    pool: Word
    places: tuple[Place, ...]
    health: Word
    since: str
    requests: Requests | None
    restarts: int | None

    @property
    def is_in(self) -> bool:
        """Whether some balancer sends it requests."""
        return any(place.state == "in" for place in self.places)

    @property
    def serves(self) -> bool:
        """Whether every balancer sends it requests, and it is healthy."""
        return self.pool.level == FINE and self.health.level == FINE


@dataclass(frozen=True, slots=True)
class Balancer:
    """A load balancer and whether its nginx runs."""

    name: str
    state: Word
    since: str


@dataclass(slots=True)
class Status:
    """All that is shown, in the order of the inventory. `seconds` is the time that the figures of
    requests are about."""

    when: str
    seconds: float
    rows: list[Row] = field(default_factory=list)
    balancers: list[Balancer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What somebody should look at."""
    out: list[str] = field(default_factory=list)
    """Who is out of a pool, by whom, when and why."""
    holds: list[str] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    @property
    def apps(self) -> list[str]:
        return list(dict.fromkeys(row.app for row in self.rows))

    def of(self, app: str) -> list[Row]:
        return [row for row in self.rows if row.app == app]

    @property
    def summary(self) -> list[str]:
        """One line for each app: how many of its hosts serve."""
        return [
            f"{app}: {sum(row.serves for row in rows)} of {counted(len(rows), 'host')} in the pool "
            "and healthy"
            for app in self.apps
            if (rows := self.of(app))
        ]


def status(fleet: Plain, hosts: Found, pools: Found, when: str, seconds: float) -> Status:
    """`hosts` are the results of app_status, `pools` those of pool_status."""
    told = Status(when, seconds)
    balancers = [balancer["name"] for balancer in fleet["load_balancers"]]
    told.balancers = [_balancer(name, pools.get(name)) for name in balancers]
    readable = {name: pools[name] for name in balancers if "pools" in pools.get(name, {})}
    counts, nobody = _requests(fleet, readable)
    for app, names in _members(fleet, readable):
        for name in names:
            requests = counts.get((app, name), Requests()) if counts is not None else None
            places = tuple(_places(app, name, readable))
            told.rows.append(_row(fleet, app, name, hosts, places, requests))
    told.notes = [
        # A host that is both a balancer and an app's is asked twice.
        *dict.fromkeys([*_absent(balancers, pools), *_absent(fleet["by_host"], hosts)]),
        *_of_balancers(told.balancers, readable, seconds),
        *(f"{app}: {told_of}" for app, told_of in nobody.items() if app in told.apps),
        *_of_apps(told, hosts),
    ]
    told.out = out_of_pools(told.rows)
    told.holds = _holds(hosts)
    told.locks = locks(hosts, fleet["run"]["over"])
    told.changes = changes(hosts)
    return told


def _members(fleet: Plain, pools: Found) -> Iterator[tuple[str, list[str]]]:
    """Each app that was asked for, and its hosts: those of the inventory, then those that are left
    in a pool."""
    wanted = {app for apps in fleet["by_host"].values() for app in apps}
    for app, spec in fleet["apps"].items():
        if app in wanted:
            left = (one["name"] for said in pools.values() for one in said["pools"].get(app, ()))
            yield app, list(dict.fromkeys([*spec["hosts"], *left]))


def _row(
    fleet: Plain,
    app: str,
    host: str,
    hosts: Found,
    places: tuple[Place, ...],
    requests: Requests | None,
) -> Row:
    known = app in fleet["by_host"].get(host, ())
    said = _of_app(hosts.get(host), app)
    service = (said or {}).get("units", {}).get(f"{app}.service", {})
    return Row(
        app=app,
        host=host,
        server=fleet["apps"][app]["server"] if known else "",
        release=(said or {}).get("release", ""),
        held=bool((said or {}).get("hold")),
        pool=pool_word([place.state for place in places]),
        places=places,
        health=health(app, hosts.get(host), said, known),
        since=since(app, said),
        requests=requests,
        restarts=service.get("restarts"),
    )


def _of_app(result: Mapping[str, Any] | None, app: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = ((result or {}).get("apps") or {}).get(app)
    return found


# Balancers ---------------------------------------------------------------------------------------


def _balancer(name: str, said: Mapping[str, Any] | None) -> Balancer:
    if said is None:
        return Balancer(name, Word("not asked", "off"), "")
    if said.get("unreachable"):
        return Balancer(name, Word("unreachable", "bad"), "")
    if "nginx" not in said:
        return Balancer(name, Word("cannot be asked", "bad"), "")
    active = said["nginx"]["active"]
    word = Word("nginx runs", FINE) if active == "active" else Word(f"nginx is {active}", "bad")
    return Balancer(name, word, stamp(said["nginx"]["since"]))


def _places(app: str, host: str, pools: Found) -> Iterator[Place]:
    """What each balancer does with the host, of those whose pools can be read."""
    for name, said in pools.items():
        if not said["pools"] and said["problems"]:
            continue
        found = next((m for m in said["pools"].get(app, ()) if m["name"] == host), None)
        if found is None:
            hand = said["hosts"].get(host, {})
            found = hand if hand.get("state") == "removed" else {"state": "absent"}
        record = {key: one_line(found.get(key, "")) for key in ("by", "when", "why")}
        yield Place(name, str(found.get("state", "")), **record, hand=bool(found.get("hand")))


def out_of_pools(rows: Iterable[Row]) -> list[str]:
    """One line for each decision that keeps a host out, with the apps and balancers it is about."""
    found: dict[tuple[str, str, str, str, bool], list[tuple[str, Place]]] = {}
    asked: set[str] = set()
    for row in rows:
        for place in row.places:
            asked.add(place.balancer)
            if place.state != "in":
                key = (row.host, place.state, place.by, place.why, place.hand)
                found.setdefault(key, []).append((row.app, place))
    lines = []
    for (host, state, by, why, hand), places in found.items():
        apps = ", ".join(dict.fromkeys(app for app, _ in places))
        on = list(dict.fromkeys(place.balancer for _, place in places))
        if state in ("absent", "waiting"):
            what = "is in no pool" if state == "absent" else "has not passed its health check"
        else:
            when = min(place.when for _, place in places)
            what = f"{state}{' by hand' if hand else ''}"
            what += f"{f' by {by}' if by else ''}{f' at {when}' if when else ''}"
        only = "" if asked == set(on) else f" (on {', '.join(on)} only: the balancers differ)"
        lines.append(f"{host} ({apps}): {what}{f': {why}' if why else ''}{only}")
    return lines


def _requests(
    fleet: Plain, pools: Found
) -> tuple[dict[tuple[str, str], Requests] | None, dict[str, str]]:
    """What each app and host was asked, None where no log can be read; and for each app the errors
    that clients got and no host of it answered."""
    logs = {name: said for name, said in pools.items() if said["requests"] is not None}
    if not logs:
        return None, {}
    counts: dict[tuple[str, str], Requests] = {}
    nobody: dict[str, Requests] = {}
    for said in logs.values():
        for app, addresses in said["requests"].items():
            names = _names(fleet, app, said)
            for address, figures in addresses.items():
                if name := names.get(address):
                    counts.setdefault((app, name), Requests()).add(figures)
                else:
                    nobody.setdefault(app, Requests()).add(figures)
    return counts, {
        app: f"{counted(found.errors, 'request')} ended with 5xx and no host of the pool answered"
        for app, found in nobody.items()
        if found.errors
    }


def _names(fleet: Plain, app: str, said: Mapping[str, Any]) -> dict[str, str]:
    """Address in a balancer's log → host, by the inventory, and before it by the balancer."""
    members = [one for site in fleet["sites"] if site["name"] == app for one in site["members"]]
    found = {where(_member(one)): one["name"] for one in members}
    for one in said["pools"].get(app, ()):
        found |= dict.fromkeys(one["logged_as"], one["name"])
    return found


def _member(one: Mapping[str, Any]) -> Member:
    return {"name": one["name"], "address": one["address"], "port": one["port"]}


# What to look at ---------------------------------------------------------------------------------


def _absent(names: Iterable[str], found: Found) -> Iterator[str]:
    for name in names:
        said = found.get(name, {})
        if said.get("unreachable"):
            yield f"{name}: unreachable: {one_line(said.get('msg', ''))}"
        elif said and "apps" not in said and "pools" not in said:
            yield f"{name}: cannot be asked: {_reason(said)}"


def _reason(said: Mapping[str, Any]) -> str:
    """Why a module did not even begin: what stopped it, such as sudo, spoke last."""
    spoken = str(said.get("module_stderr") or said.get("module_stdout") or "").split("\n")
    last = next((line for line in reversed(spoken) if line.strip()), "")
    return one_line(" ".join(filter(None, [str(said.get("msg", "")), last]))) or "no reason given"


def _of_balancers(balancers: list[Balancer], pools: Found, seconds: float) -> Iterator[str]:
    for balancer in balancers:
        said = pools.get(balancer.name)
        if said is None:
            continue
        if balancer.state.level != FINE:
            yield f"{balancer.name}: {balancer.state.text}"
        yield from (f"{balancer.name}: {' '.join(problem.split())}" for problem in said["problems"])
        if said["seconds"] < seconds:
            yield (
                f"{balancer.name}: its log is so busy that the figures are of its last "
                f"{said['seconds']:.0f} s"
            )


def _of_apps(told: Status, hosts: Found) -> Iterator[str]:
    for app in told.apps:
        rows = told.of(app)
        having: dict[str, list[str]] = {}
        for row in rows:
            if row.release:
                having.setdefault(row.release, []).append(row.host)
        if len(having) > 1:
            which = "; ".join(f"{one} on {', '.join(names)}" for one, names in having.items())
            yield f"{app}: its hosts have {len(having)} releases: {which}"
        halfway = [
            row.host for row in rows if (_of_app(hosts.get(row.host), app) or {}).get("uncommitted")
        ]
        if halfway:
            yield f"{app}: a change has not come to its end on {', '.join(halfway)}"
        for row in rows:
            if row.health.why:
                yield f"{app} on {row.host}: {row.health.text}: {row.health.why}"
        if rows and not any(row.pool.text in (IN_POOL, "unknown") for row in rows):
            mend = "" if any(row.pool.text == WAITING for row in rows) else "; restore a host"
            yield f"{app}: no host is in the pool of every balancer{mend}"


def _holds(hosts: Found) -> list[str]:
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, result in hosts.items():
        for app, said in (result.get("apps") or {}).items():
            if hold := said.get("hold"):
                key = (app, str(hold.get("release")), one_line(hold.get("by", "")))
                found.setdefault(key, []).append(f"{hold.get('since', '')}\0{name}")
    return [
        f"{app}: {release} since {min(where).partition(chr(0))[0]} by {by}, until the next deploy"
        for (app, release, by), where in found.items()
    ]
