"""Request headers: names in any case, repeated fields kept."""

from collections.abc import Iterable

from .multidict import MultiDict


class Headers(MultiDict):
    """A lookup joins repeated fields, which HTTP defines to mean the same (RFC 9110, 5.3).

    WSGI servers join them before we see them, so `getlist` has one entry for each field the
    server hands over: as many as the client sent under ASGI, always one under WSGI.
    """

    __slots__ = ()

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__((name.lower(), value) for name, value in pairs)

    def __getitem__(self, name: str) -> str:
        name = name.lower()
        return ("; " if name == "cookie" else ", ").join(self._lists[name])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._lists

    def getlist(self, name: str) -> list[str]:
        return super().getlist(name.lower())
