"""The picture of the path of requests: clients → balancers → hosts → apps, laid out twice, from
left to right for a screen and from top to bottom for a phone. Lengths are in the picture's own
units, about a pixel each."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fleet.status import Row, Status
from fleet.words import FINE, IN_POOL, counted

LETTER, BOLD = 7.6, 8.6
"""The width of a letter, a little more than that of common fonts at the picture's size."""
PAD = 12
HEIGHT = 46
GAP = 12
GRAVE = ("bad", "warn", FINE, "off")
"""The levels of a state, the gravest first."""


@dataclass(frozen=True, slots=True)
class Box:
    """A thing and its state: two lines of text in a box. `title` is the whole of what is said."""

    kind: str
    level: str
    x: float
    y: float
    width: float
    name: str
    words: str
    height: float = HEIGHT

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}: {self.words}" if self.words else self.name

    @property
    def shown_name(self) -> str:
        return fitting(self.name, self.width, BOLD)

    @property
    def shown_words(self) -> str:
        return fitting(self.words, self.width, LETTER)

    @property
    def middle(self) -> float:
        return self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Line:
    """A way that requests take; dashed, one that they do not take as far as is known."""

    path: str
    level: str
    dashed: bool
    title: str


@dataclass(slots=True)
class Picture:
    """All of it; boxes are drawn over lines."""

    width: float
    height: float = 0
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the four kinds of things begin, from left to right, and how wide each is."""

    x: tuple[float, float, float, float]
    widths: tuple[float, float, float, float]


WIDE = Columns((0, 170, 480, 770), (110, 220, 200, 330))
NARROW = Columns((0, 26, 52, 78), (340, 314, 288, 262))


def wide(status: Status) -> Picture:
    """From left to right, each host in the middle before its apps."""
    at, widths = WIDE.x, WIDE.widths
    picture = Picture(at[3] + widths[3] + 1)
    hosts: list[Box] = []
    y = 0.0
    for name, rows in by_host(status).items():
        apps = [_app(row, at[3], y + n * (HEIGHT + GAP), widths[3]) for n, row in enumerate(rows)]
        center = (apps[0].middle + apps[-1].middle) / 2
        host = _host(name, rows, at[2], center - HEIGHT / 2, widths[2])
        hosts.append(host)
        picture.boxes += [host, *apps]
        picture.lines += [
            _curve(host, app, app.level, not row.is_in, f"{name} → {app.title}")
            for app, row in zip(apps, rows, strict=True)
        ]
        y = apps[-1].y + HEIGHT + 2 * GAP
    needed = len(status.balancers) * (HEIGHT + 2 * GAP)
    whole = max(y, needed) - 2 * GAP
    first = (whole - needed) / 2 + GAP
    balancers = [
        Box("load balancer", one.state.level, at[1], first + n * (HEIGHT + 2 * GAP), widths[1],
            one.name, one.state.text)
        for n, one in enumerate(status.balancers)
    ]  # fmt: skip
    clients = Box("", "off", at[0], whole / 2 - HEIGHT / 2, widths[0], "clients", "")
    picture.lines += [
        _curve(clients, box, box.level, box.level != FINE, f"clients → {box.title}")
        for box in balancers
    ]
    of = by_host(status)
    for balancer in balancers:
        picture.lines += [
            _curve(balancer, host, *_way(balancer.name, host.name, of[host.name])) for host in hosts
        ]
    picture.boxes += [clients, *balancers]
    picture.height = whole + 1
    return picture


def narrow(status: Status) -> Picture:
    """From top to bottom, each kind of thing further to the right than what leads to it."""
    at, widths = NARROW.x, NARROW.widths
    picture = Picture(at[0] + widths[0] + 1)
    tiers: list[list[Box]] = [[Box("", "off", at[0], 0, widths[0], "clients", "")]]
    y: float = HEIGHT + GAP
    tiers.append([])
    for one in status.balancers:
        tiers[1].append(
            Box("load balancer", one.state.level, at[1], y, widths[1], one.name, one.state.text)
        )
        y += HEIGHT + GAP
    tiers.append([])
    for name, rows in by_host(status).items():
        host = _host(name, rows, at[2], y, widths[2])
        tiers[2].append(host)
        y += HEIGHT + GAP
        apps = []
        for row in rows:
            apps.append(_app(row, at[3], y, widths[3]))
            y += HEIGHT + GAP
        picture.lines += _steps(host, apps, [not row.is_in for row in rows])
        picture.boxes += apps
    clients, balancers, hosts = tiers
    picture.lines += _steps(clients[0], balancers, [box.level != FINE for box in balancers])
    if balancers:
        of = by_host(status)
        out = [not any(row.is_in for row in of[host.name]) for host in hosts]
        picture.lines += _steps(balancers[0], hosts, out)
    picture.boxes += [box for tier in tiers for box in tier]
    picture.height = y - GAP + 1
    return picture


def by_host(status: Status) -> dict[str, list[Row]]:
    """Host → its apps, both in the order of the inventory."""
    found: dict[str, list[Row]] = {}
    for row in status.rows:
        found.setdefault(row.host, []).append(row)
    return found


def gravest(levels: Iterable[str]) -> str:
    found = set(levels)
    return next((level for level in GRAVE if level in found), "off")


def fitting(words: str, width: float, letter: float) -> str:
    """The words, cut where they would run out of a box of that width."""
    room = int((width - 2 * PAD) / letter)
    return words if len(words) <= room else f"{words[: room - 1]}…"


def _host(name: str, rows: list[Row], x: float, y: float, width: float) -> Box:
    words = {row.health.text for row in rows}
    serving = sum(row.serves for row in rows)
    said = words.pop() if words in ({"unreachable"}, {"not asked"}, {"cannot be asked"}) else (
        f"serves {serving} of {counted(len(rows), 'app')}"
    )  # fmt: skip
    level = gravest(gravest([row.health.level, row.pool.level]) for row in rows)
    return Box("host", level, x, y, width, name, said)


def _app(row: Row, x: float, y: float, width: float) -> Box:
    level = gravest([row.health.level, row.pool.level])
    name = f"{row.app}  {row.release}{'*' if row.held else ''}" if row.release else row.app
    return Box("app", level, x, y, width, name, f"{row.pool.text}, {row.health.text}")


def _way(balancer: str, host: str, rows: list[Row]) -> tuple[str, bool, str]:
    """What a balancer sends to a host: how grave it is, whether it is nothing, and in words."""
    states = {
        row.app: place.state for row in rows for place in row.places if place.balancer == balancer
    }
    out = [app for app, state in states.items() if state != "in"]
    title = f"{balancer} → {host}: "
    if not states:
        return "off", True, f"{title}unknown"
    if not out:
        return FINE, False, f"{title}{IN_POOL}"
    said = ", ".join(f"{app} {'out' if app in out else IN_POOL}" for app in states)
    nothing = len(out) == len(states)
    return ("off" if nothing else "warn"), nothing, title + said


def _curve(one: Box, other: Box, level: str, dashed: bool, title: str) -> Line:
    x1, y1, x2, y2 = one.x + one.width, one.middle, other.x - 6, other.middle
    bend = (x2 - x1) / 2
    return Line(
        f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}",
        level, dashed, title,
    )  # fmt: skip


def _steps(one: Box, others: list[Box], dashed: list[bool]) -> list[Line]:
    """A line down from one box with a branch to each of the others, piece by piece."""
    x, y = one.x + PAD, one.y + one.height
    found = []
    for other, out in zip(others, dashed, strict=True):
        path = f"M{x:.0f} {y:.0f}V{other.middle:.0f}H{other.x - 6:.0f}"
        found.append(Line(path, other.level, out, f"{one.name} → {other.title}"))
        y = other.middle
    return found
