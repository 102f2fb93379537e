"""The little of pip's requirements files that has to be understood to merge two of them."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

NAME = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?(?=[<>=!~;@\s]|$)")
EXACT = re.compile(r"===?\s*[^\s*,]+\Z")
EDITABLE = ("-e", "--editable")
INDEX = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index")
NESTED = re.compile(r"(?:-r|--requirement)[ =]?\s*(\S+)")


def canonical(name: str) -> str:
    """The name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def logical_lines(text: str) -> Iterator[str]:
    """The requirements and options of a file, continued lines joined, comments left out."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        if bare:
            yield bare


def read(path: Path) -> list[str]:
    """Every requirement of the file and of those it names by `-r`; options are left out."""
    lines = _lines(path, frozenset())
    return [line for line in lines if line.startswith(EDITABLE) or not line.startswith("-")]


def has_index(path: Path) -> bool:
    """Whether the file, or one it names by `-r`, says where packages come from."""
    return any(line.startswith(INDEX) for line in _lines(path, frozenset()))


def _lines(path: Path, seen: frozenset[Path]) -> list[str]:
    found: list[str] = []
    for line in logical_lines(path.read_text(encoding="utf-8-sig")):
        nested = NESTED.match(line)
        if not nested:
            found.append(line)
            continue
        below = (path.parent / nested[1]).resolve()
        if below not in seen and below.is_file():
            found += _lines(below, seen | {path.resolve()})
    return found


def name_of(line: str) -> str | None:
    """The package that a requirement names; None for a bare path or address."""
    match = NAME.match(line)
    return canonical(match[1]) if match and "/" not in match[1] else None


def is_hashed(line: str) -> bool:
    return "--hash=" in line


def is_pinned(line: str) -> bool:
    """Whether the requirement can mean one thing only: an exact version, an address or a path."""
    bare = line.partition(" --hash")[0].partition(";")[0].strip()
    return "@" in bare or name_of(line) is None or EXACT.search(bare) is not None


def wheel_name(wheel: Path) -> str:
    """The distribution's name, as its metadata gives it."""
    with zipfile.ZipFile(wheel) as file:
        path = next(n for n in file.namelist() if n.endswith(".dist-info/METADATA"))
        text = file.read(path).decode()
    match = re.search(r"^Name:\s*(\S+)", text, re.MULTILINE)
    return canonical(match[1] if match else wheel.name.split("-")[0])


def without(text: str, names: set[str]) -> str:
    """The lock without the packages of those names, each as one line."""
    kept = [line for line in logical_lines(text) if name_of(line) not in names]
    return "".join(f"{line}\n" for line in kept)
