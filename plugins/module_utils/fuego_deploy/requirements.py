"""The little of pip's requirements files that has to be understood to merge two of them."""

import ast
import hashlib
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator
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


def marker_of(line: str) -> str:
    """Where the requirement holds (PEP 508); empty where it does everywhere."""
    return line.partition(" --hash")[0].partition(";")[2].strip()


def beside(lock: str, own: Iterable[str], local: Collection[str]) -> str:
    """What a lock adds to an app's own requirements and local packages, each as one line.

    What the app requires on some platforms alone, the lock gives the others.
    """
    markers: dict[str, list[str]] = {name: [""] for name in local}
    for line in own:
        if name := name_of(line):
            markers.setdefault(name, []).append(marker_of(line))
    kept = []
    for line in logical_lines(lock):
        others = [opposite(marker) for marker in markers.get(name_of(line) or "", ())]
        if None in others:
            continue
        if others:
            bare, hashed, hashes = line.partition(" --hash")
            where = " and ".join(f"({one})" for one in [marker_of(line), *others] if one)
            line = f"{bare.partition(';')[0].strip()} ; {where}{hashed}{hashes}"
        kept.append(f"{line}\n")
    return "".join(kept)


def with_wheels(lines: Iterable[str], folder: Path) -> str:
    """The lines, where the bytes of the folder's own wheels are as good as those of the index.

    A wheel that was built by hand has a hash that no index knows.
    """
    known: dict[tuple[str, str], list[str]] = {}
    for wheel in sorted(folder.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        known.setdefault((canonical(name), version), []).append(f"--hash=sha256:{digest}")
    text = ""
    for line in lines:
        pin = EXACT.search(line.partition(" --hash")[0].partition(";")[0].strip())
        version = pin[0].strip("= ") if pin else ""
        ours = known.get((name_of(line) or "", version), []) if is_hashed(line) else []
        text += " ".join([line, *(one for one in ours if one not in line)]) + "\n"
    return text


OPPOSITES: dict[type[ast.AST], ast.cmpop] = {
    ast.Lt: ast.GtE(), ast.GtE: ast.Lt(), ast.Gt: ast.LtE(), ast.LtE: ast.Gt(),
    ast.Eq: ast.NotEq(), ast.NotEq: ast.Eq(), ast.In: ast.NotIn(), ast.NotIn: ast.In(),
}  # fmt: skip


def opposite(marker: str) -> str | None:
    """The marker that holds where this one does not, which has no word of its own in PEP 508.

    None where it holds nowhere, or where the marker uses what is no Python (`~=`, `===`).
    """
    try:
        return ast.unparse(_opposite(ast.parse(marker, mode="eval").body))
    except (SyntaxError, KeyError):
        return None


def _opposite(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        return ast.BoolOp(other, [_opposite(value) for value in node.values])
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return ast.Compare(node.left, [OPPOSITES[type(node.ops[0])]], node.comparators)
    raise KeyError(ast.unparse(node))
