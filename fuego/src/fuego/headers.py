"""Header fields: names in any case, repeated fields kept."""

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping

from .multidict import MultiDict

Pair = tuple[str, str]
HeaderInput = Mapping[str, str] | Iterable[Pair]

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Headers(MultiDict):
    """A request's. A lookup joins repeated fields, which HTTP defines to mean the same
    (RFC 9110, 5.3).

    WSGI servers join them before we see them, so `getlist` has one entry for each field the
    server hands over: as many as the client sent under ASGI, always one under WSGI.
    """

    __slots__ = ()

    def __init__(self, pairs: Iterable[Pair] = ()) -> None:
        super().__init__((name.lower(), value) for name, value in pairs)

    def __getitem__(self, name: str) -> str:
        name = name.lower()
        return ("; " if name == "cookie" else ", ").join(self._lists[name])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._lists

    def getlist(self, name: str) -> list[str]:
        return super().getlist(name.lower())


def checked(name: str, value: str) -> Pair:
    """A field as it is sent. Refuses what would let a value end its field and begin another."""
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"header {name}: {value!r} has a character that HTTP does not allow")
    name = name.lower()
    if name in ("content-length", "transfer-encoding"):
        raise ValueError(f"header {name} follows from the body; leave it out")
    return name, value.strip()


class ResponseHeaders(MutableMapping[str, str]):
    """A response's, over the list of pairs that is sent. Setting a name replaces all its fields,
    `add` keeps them.

    >>> headers = ResponseHeaders([])
    >>> headers["Vary"] = "Accept"
    >>> headers.add("vary", "Cookie")
    >>> headers.pairs
    [('vary', 'Accept'), ('vary', 'Cookie')]
    """

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs

    def __getitem__(self, name: str) -> str:
        values = self.getlist(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __setitem__(self, name: str, value: str) -> None:
        pair = checked(name, value)
        self.pairs[:] = [known for known in self.pairs if known[0] != pair[0]] + [pair]

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.pairs[:] = [known for known in self.pairs if known[0] != name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(dict(self.pairs))

    def __repr__(self) -> str:
        return f"ResponseHeaders({self.pairs!r})"

    def getlist(self, name: str) -> list[str]:
        name = name.lower()
        return [value for known, value in self.pairs if known == name]

    def add(self, name: str, value: str) -> None:
        self.pairs.append(checked(name, value))

    def vary(self, name: str) -> None:
        """Says that the response depends on a field of the request."""
        if name.lower() not in self.get("vary", "").lower().replace(" ", "").split(","):
            self.add("vary", name)
