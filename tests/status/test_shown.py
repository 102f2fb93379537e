"""The status as a terminal and a browser are given it."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from fleet.status import status
from fleet.status_page import page
from fleet.status_text import text
from fleet.topology import NARROW, WIDE, narrow, wide
from told import WHEN, Fleet

NASTY = '<script>alert(1)</script> & "it\'s" {{ 7 * 7 }}'


def shown(fleet: Fleet) -> str:
    return text(status(fleet.plan, fleet.hosts, fleet.pools, WHEN, 300))


def rendered(fleet: Fleet) -> str:
    return page(status(fleet.plan, fleet.hosts, fleet.pools, WHEN, 300))


def test_the_table_has_one_line_for_each_app_and_host(fleet: Fleet) -> None:
    fleet.drain("app2")
    fleet.pools["lb1"]["requests"] = {
        "shop": {"10.0.0.1:8000": {"requests": 12, "errors": 3, "slowest": 0.25}}
    }
    lines = shown(fleet).splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("app "))
    assert lines[at].split() == [
        "app", "host", "server", "release", "pool", "health", "since", "requests", "5xx",
        "slowest", "restarts",
    ]  # fmt: skip
    assert re.split(r" {2,}", lines[at + 1]) == [
        "shop", "app1", "gunicorn", "aaaaaaaaaaaa", "in pool", "healthy", WHEN, "12", "3",
        "0.250 s", "0",
    ]  # fmt: skip
    assert re.split(r" {2,}", lines[at + 2])[4:6] == ["drained", "healthy"]
    assert len({line.index("healthy") for line in lines[at + 1 : at + 5]}) == 1
    assert not any(line.endswith(" ") for line in lines)


def test_what_people_wrote_moves_no_cursor_and_breaks_no_line(fleet: Fleet) -> None:
    fleet.drain("app2", why="new\nkernel \x1b[2J\x07 \u202e")
    assert "\x1b" not in shown(fleet)
    assert "new kernel [2J" in shown(fleet)
    assert {ord(letter) for letter in shown(fleet)} - {10} >= {32}
    assert all(letter == "\n" or letter.isprintable() for letter in shown(fleet))


class Seen(HTMLParser):
    """The tags of a page, their attributes, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_what_people_wrote_is_text_on_the_page(fleet: Fleet) -> None:
    fleet.drain("app2", why=NASTY)
    fleet.hosts["app1"] = {"unreachable": True, "msg": NASTY}
    fleet.hosts["app2"]["apps"]["shop"]["release"] = NASTY
    fleet.hosts["app2"]["changes"] = [
        {"app": "shop", "run": "r", "time": NASTY, "who": NASTY, "action": NASTY, "reason": NASTY}
    ]
    seen = Seen(rendered(fleet))
    assert "script" not in seen.tags
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert seen.text.count(NASTY) >= 6
    assert "49" not in seen.text


def test_the_page_needs_nothing_from_elsewhere(fleet: Fleet) -> None:
    seen = Seen(rendered(fleet))
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(seen.tags)
    assert not [value for name, value in seen.attributes if name in ("src", "href", "xlink:href")]
    css = rendered(fleet)
    assert "@import" not in css
    assert [one for one in re.findall(r"url\(([^)]*)\)", css) if not one.startswith("#")] == []


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_the_picture_shows_all_and_says_it_in_words(fleet: Fleet, kind: str) -> None:
    fleet.drain("app2")
    fleet.hosts["app1"] = {"unreachable": True, "msg": "no route"}
    found = re.search(rf'<svg class="topology {kind}".*?</svg>', rendered(fleet), re.DOTALL)
    assert found
    words = " ".join(" ".join(ElementTree.fromstring(found[0]).itertext()).split())
    for name in ("clients", "lb1", "lb2", "app1", "app2", "shop", "blog"):
        assert name in words
    assert "nginx runs" in words
    assert "in pool, unreachable" in words
    assert "drained, healthy" in words


@pytest.mark.parametrize("make", [wide, narrow])
def test_boxes_lie_in_the_picture_and_not_on_each_other(fleet: Fleet, make: type) -> None:
    names = [f"app{n}" for n in range(1, 9)]
    fleet.plan["by_host"] = {name: ["shop", "blog"] for name in names}
    for spec in fleet.plan["apps"].values():
        spec["hosts"] = names
    picture = make(status(fleet.plan, fleet.hosts, fleet.pools, WHEN, 300))
    assert len(picture.boxes) == 1 + 2 + 8 + 16
    for box in picture.boxes:
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= picture.width
        assert box.y + box.height <= picture.height
    for n, one in enumerate(picture.boxes):
        for other in picture.boxes[n + 1 :]:
            apart = (
                one.x + one.width <= other.x or other.x + other.width <= one.x
                or one.y + one.height <= other.y or other.y + other.height <= one.y
            )  # fmt: skip
            assert apart, (one, other)


def test_a_drained_host_has_a_dashed_way(fleet: Fleet) -> None:
    fleet.drain("app2", "lb2")
    found = status(fleet.plan, fleet.hosts, fleet.pools, WHEN, 300)
    dashed = [line.title for line in wide(found).lines if line.dashed]
    assert dashed == ["lb2 → app2: shop out, blog out"]
    assert [line.title for line in narrow(found).lines if line.dashed] == []


def test_names_too_long_for_a_box_are_cut_and_whole_in_its_title(fleet: Fleet) -> None:
    long = "app1." + "x" * 60 + ".example.com"
    fleet.plan["by_host"] = {long: ["shop"]}
    fleet.plan["apps"]["shop"]["hosts"] = [long]
    found = status(fleet.plan, {}, {}, WHEN, 300)
    for make, columns in ((wide, WIDE), (narrow, NARROW)):
        (host,) = [box for box in make(found).boxes if box.kind == "host"]
        assert host.shown_name.endswith("…")
        assert len(host.shown_name) * 7 < columns.widths[2]
        assert long in host.title


def test_no_balancer_can_be_asked_and_no_host(fleet: Fleet) -> None:
    found = status(fleet.plan, {}, {}, WHEN, 300)
    assert "not asked" in text(found)
    assert "not asked" in page(found)
