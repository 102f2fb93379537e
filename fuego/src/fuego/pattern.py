"""One path of a route: `/items/{id:int}` taken apart, and put together again for a URL."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_PARAMETER = re.compile(r"\{([^{}]*)\}")


def _uuid(text: str) -> object:
    from uuid import UUID

    return UUID(text)


@dataclass(frozen=True, slots=True)
class Converter:
    """`regex` is what it matches (no groups), `convert` makes the value (a ValueError is no
    match), `format` the text again. `rank` decides where two match: the lower is tried first.
    `spans` allows slashes."""

    regex: str
    convert: Callable[[str], Any] = str
    format: Callable[[Any], str] = str
    rank: int = 3
    spans: bool = False


CONVERTERS: Mapping[str, Converter] = {
    "int": Converter("[0-9]+", int, rank=1),
    "uuid": Converter("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", _uuid, rank=1),
    "float": Converter(r"-?[0-9]+(?:\.[0-9]+)?", float, rank=2),
    "str": Converter("[^/]+", rank=5),
    "path": Converter(".+", rank=9, spans=True),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    kind: str
    converter: Converter


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a path between two slashes; the last one may span several.

    Two segments of one `shape` (names left out) match the same text.
    """

    shape: str
    rank: tuple[int, int, str]
    regex: re.Pattern[str]
    spans: bool
    converts: tuple[Callable[[str], Any], ...]

    def match(self, text: str) -> tuple[Any, ...] | None:
        """The converted values in order, None where the text does not match."""
        found = self.regex.fullmatch(text)
        if found is None:
            return None
        try:
            if len(self.converts) == 1:
                return (self.converts[0](found[1]),)
            return tuple(convert(value) for convert, value in zip(self.converts, found.groups()))  # noqa: B905
        except ValueError:  # such as an int of 5,000 digits
            return None


@dataclass(frozen=True, slots=True)
class Pattern:
    path: str
    pieces: tuple[str | Parameter, ...]
    names: tuple[str, ...]
    segments: tuple[Segment, ...]

    def build(self, values: Mapping[str, Any]) -> str:
        """The path with its parameters filled in. Raises ValueError where one does not fit."""
        built = ""
        for piece in self.pieces:
            if isinstance(piece, str):
                built += quote(piece)
                continue
            if piece.name not in values:
                raise ValueError(f"url for {self.path!r} needs {piece.name!r}")
            text = piece.converter.format(values[piece.name])
            if not re.fullmatch(piece.converter.regex, text, re.DOTALL):
                raise ValueError(f"url for {self.path!r}: {text!r} is no {piece.kind}")
            built += quote(text, safe="/" if piece.converter.spans else "")
        return built


def parse(path: str, converters: Mapping[str, Converter] = CONVERTERS) -> Pattern:
    """Raises ValueError, saying what to mend.

    >>> parse("/items/{id:int}").build({"id": 7})
    '/items/7'
    """
    if not path.startswith("/"):
        raise ValueError(f"route {path!r} must start with /")
    pieces: list[str | Parameter] = []
    names: list[str] = []
    for index, text in enumerate(_PARAMETER.split(path)):
        if index % 2 == 0:  # between two parameters
            if "{" in text or "}" in text:
                raise ValueError(f"route {path!r} has a brace without its partner")
            pieces.append(text)
            continue
        name, _, kind = text.partition(":")
        kind = kind or "str"
        if not name.isidentifier():
            raise ValueError(f"route {path!r}: {name!r} is not a name for a parameter")
        if name in names:
            raise ValueError(f"route {path!r} has two parameters named {name!r}")
        if kind not in converters:
            known = ", ".join(sorted(converters))
            raise ValueError(f"route {path!r}: {kind!r} is not one of {known}")
        names.append(name)
        pieces.append(Parameter(name, kind, converters[kind]))
    segments = tuple(_segment(part) for part in _split(pieces))
    return Pattern(path, tuple(pieces), tuple(names), segments)


def _split(pieces: list[str | Parameter]) -> list[list[str | Parameter]]:
    """At the slashes, but never after a parameter that spans them: the rest is one segment."""
    segments: list[list[str | Parameter]] = [[]]
    spans = False
    for piece in pieces:
        if isinstance(piece, Parameter):
            spans = spans or piece.converter.spans
            segments[-1].append(piece)
            continue
        first, *others = [piece] if spans else piece.split("/")
        segments[-1].append(first)
        segments += [[text] for text in others]
    return segments[1:]  # the first is what stands before the leading slash: nothing


def _segment(part: list[str | Parameter]) -> Segment:
    shape, regex, literal = "", "", 0
    converters = [piece.converter for piece in part if isinstance(piece, Parameter)]
    for piece in part:
        if isinstance(piece, str):
            shape += piece
            regex += re.escape(piece)
            literal += len(piece)
        else:
            shape += f"{{:{piece.kind}}}"
            regex += f"({piece.converter.regex})"
    widest = max((converter.rank for converter in converters), default=0)
    return Segment(
        shape,
        (widest, -literal, shape),
        re.compile(regex, re.DOTALL),
        any(converter.spans for converter in converters),
        tuple(converter.convert for converter in converters),
    )
