"""Responses, and what a handler may return in place of one."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import ClassVar

from .errors import HTTPError

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def _checked(name: str, value: str) -> tuple[str, str]:
    """Refuse what would let a value end its header and begin another."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"header {name}: {value!r} has a character that HTTP does not allow")
    name = name.lower()
    if name in ("content-length", "transfer-encoding"):
        raise ValueError(f"header {name} follows from the body; leave it out")
    return name, value.strip()


class Response:
    """A status, headers (names in lower case, in order) and a body.

    Content-Length is the adapters' matter: it follows the body as it is when it is sent.
    """

    __slots__ = ("body", "headers", "status")

    content_type: ClassVar[str] = "application/octet-stream"

    def __init__(
        self,
        body: bytes | str = b"",
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        if not 200 <= status <= 599:
            raise ValueError(f"{status} is not the status of a final response (200 to 599)")
        self.status = status
        # "replace": a lone surrogate, which JSON can carry in, must not make an error page.
        self.body = body.encode(errors="replace") if isinstance(body, str) else body
        self.headers: list[tuple[str, str]] = []
        if headers:
            pairs = headers.items() if isinstance(headers, Mapping) else headers
            self.headers = [_checked(name, value) for name, value in pairs]
        if status in (204, 304):
            self.body = b""
        elif not any(name == "content-type" for name, _ in self.headers):
            self.headers.append(("content-type", self.content_type))

    def wire_headers(self) -> list[tuple[str, str]]:
        """The headers as they are sent."""
        if self.status in (204, 304):
            return self.headers
        return [*self.headers, ("content-length", str(len(self.body)))]


class TextResponse(Response):
    __slots__ = ()
    content_type = "text/plain; charset=utf-8"


class HTMLResponse(Response):
    __slots__ = ()
    content_type = "text/html; charset=utf-8"


class JSONResponse(Response):
    """`value` is anything `json` encodes; NaN and infinity, which JSON lacks, are refused."""

    __slots__ = ()
    content_type = "application/json"

    def __init__(
        self,
        value: object,
        status: int = 200,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
        super().__init__(text, status, headers)


def as_response(value: object) -> Response:
    """A Response as it is, a dict or list as JSON, a str as HTML, bytes, None as 204."""
    if isinstance(value, Response):
        return value
    if isinstance(value, dict | list):
        return JSONResponse(value)
    if isinstance(value, str):
        return HTMLResponse(value)
    if isinstance(value, bytes):
        return Response(value)
    if value is None:
        return Response(status=204)
    raise TypeError(
        f"a handler returned {type(value).__name__}; "
        "return a Response, a dict or list (JSON), a str (HTML), bytes or None (204)"
    )


def error_response(error: HTTPError) -> Response:
    return TextResponse(f"{error.detail}\n", error.status, error.headers)
