"""Names with one or more values: query strings and headers."""

from collections.abc import Iterable, Iterator, Mapping


class MultiDict(Mapping[str, str]):
    """Read-only; a lookup gives the first value, `getlist` gives all in the order they came."""

    __slots__ = ("_lists",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._lists: dict[str, list[str]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> str:
        return self._lists[name][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.pairs()!r})"

    def getlist(self, name: str) -> list[str]:
        """Every value, an empty list where there is none."""
        return list(self._lists.get(name, ()))

    def pairs(self) -> list[tuple[str, str]]:
        return [(name, value) for name, values in self._lists.items() for value in values]
