"""What a handler raises to answer with an error."""

from collections.abc import Mapping
from http import HTTPStatus

PHRASES = {status.value: status.phrase for status in HTTPStatus}


def phrase(status: int) -> str:
    """The reason phrase of a status, `Unknown` for one that has none.

    >>> phrase(404)
    'Not Found'
    """
    return PHRASES.get(status, "Unknown")


class HTTPError(Exception):
    """Becomes the response. `detail` is shown to the client; the reason phrase by default.

    >>> str(HTTPError(403, "members only"))
    '403 members only'
    """

    def __init__(
        self, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.detail = detail if detail is not None else phrase(status)
        self.headers = dict(headers or {})
        super().__init__(f"{status} {self.detail}")


class ClientDisconnectedError(Exception):
    """The client left before its request was complete: there is nobody to answer."""


class MissingExtraError(ImportError):
    """A part of the framework needs a library that is not installed; the message names it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an extra: pip install 'fuego-web[{extra}]'")
