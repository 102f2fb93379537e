"""What a handler raises to answer with an error."""

from collections.abc import Mapping
from http import HTTPStatus


def phrase(status: int) -> str:
    """The reason phrase of a status, `Unknown` for one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class HTTPError(Exception):
    """Becomes the response. `detail` is shown to the client; the reason phrase by default."""

    def __init__(
        self, status: int, detail: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.detail = detail if detail is not None else phrase(status)
        self.headers = dict(headers or {})
        super().__init__(f"{status} {self.detail}")


class ClientDisconnectedError(Exception):
    """The client left before its request was complete: there is nobody to answer."""
