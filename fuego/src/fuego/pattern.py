"""One path of a route: `/items/{id:int}` taken apart."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_PARAMETER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Converter:
    """`rank` decides between patterns that both match: the lower, narrower one is tried first."""

    regex: str
    convert: Callable[[str], object]
    rank: int


CONVERTERS = {
    "int": Converter("[0-9]+", int, 1),
    "str": Converter("[^/]+", str, 2),
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """`shape` is the pattern without the names: two patterns of one shape match the same paths.

    `prefix` is the literal text up to the last slash before the first parameter.
    """

    path: str
    shape: str
    prefix: str
    rank: tuple[int, ...]
    regex: re.Pattern[str]
    names: tuple[str, ...]
    converters: tuple[Callable[[str], object], ...] = field(repr=False)

    @property
    def literal(self) -> bool:
        return not self.names

    def match(self, path: str) -> tuple[object, ...] | None:
        """The converted values in order, None where the path does not match."""
        found = self.regex.fullmatch(path)
        if found is None:
            return None
        try:
            return tuple(
                convert(text) for convert, text in zip(self.converters, found.groups(), strict=True)
            )
        except ValueError:  # such as an int of 5,000 digits
            return None


def parse(path: str) -> Pattern:
    """Raises ValueError, saying what to mend."""
    if not path.startswith("/"):
        raise ValueError(f"route {path!r} must start with /")
    pieces = _PARAMETER.split(path)
    regex, shape = "", ""
    names: list[str] = []
    converters: list[Converter] = []
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            if "{" in piece or "}" in piece:
                raise ValueError(f"route {path!r} has a brace without its partner")
            regex += re.escape(piece)
            shape += piece
            continue
        name, _, kind = piece.partition(":")
        kind = kind or "str"
        if not name.isidentifier():
            raise ValueError(f"route {path!r}: {name!r} is not a name for a parameter")
        if name in names:
            raise ValueError(f"route {path!r} has two parameters named {name!r}")
        if kind not in CONVERTERS:
            known = ", ".join(sorted(CONVERTERS))
            raise ValueError(f"route {path!r}: {kind!r} is not one of {known}")
        names.append(name)
        converters.append(CONVERTERS[kind])
        regex += f"({CONVERTERS[kind].regex})"
        shape += f"{{:{kind}}}"
    return Pattern(
        path=path,
        shape=shape,
        prefix=pieces[0][: pieces[0].rindex("/") + 1],
        rank=_rank(path, converters),
        regex=re.compile(regex),
        names=tuple(names),
        converters=tuple(converter.convert for converter in converters),
    )


def _rank(path: str, converters: list[Converter]) -> tuple[int, ...]:
    """For each segment 0 where it is literal, else the rank of its widest parameter."""
    left = iter(converters)
    return tuple(
        max((next(left).rank for _ in _PARAMETER.findall(segment)), default=0)
        for segment in path.split("/")[1:]
    )
