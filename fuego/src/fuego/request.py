"""The request as a handler sees it, whichever protocol brought it."""

import json
import math
import re
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from uuid import uuid4

from .errors import HTTPError
from .forwarded import TrustedProxies
from .headers import Headers
from .multidict import MultiDict

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MAX_QUERY_FIELDS = 1000


class Request:
    """What costs something (headers, query, client) is worked out when it is first asked for.

    The adapters set `body` before the handler runs and fill in the underscored methods.
    """

    __slots__ = ("_headers", "_id", "_query", "_trusted", "body", "method", "path")

    protocol: ClassVar[str]

    def __init__(self, method: str, path: str, trusted: TrustedProxies) -> None:
        self.method = method
        self.path = path
        self.body = b""
        self._trusted = trusted
        self._headers: Headers | None = None
        self._query: MultiDict | None = None
        self._id: str | None = None

    def _read_headers(self) -> Headers:
        raise NotImplementedError

    def _query_string(self) -> str:
        raise NotImplementedError

    def _peer(self) -> str | None:
        """The address the server names: of the connection, or as the server rewrote it."""
        raise NotImplementedError

    def _server_scheme(self) -> str:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.path!r}>"

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = self._read_headers()
        return self._headers

    @property
    def query(self) -> MultiDict:
        if self._query is None:
            try:
                pairs = parse_qsl(
                    self._query_string(),
                    keep_blank_values=True,
                    max_num_fields=_MAX_QUERY_FIELDS,
                )
            except ValueError:
                raise HTTPError(400, "the query string has too many fields") from None
            self._query = MultiDict(pairs)
        return self._query

    @property
    def client(self) -> str | None:
        """The client's address; None where the server knows none (a UNIX socket)."""
        return self._trusted.client(self._peer(), self.headers)

    @property
    def scheme(self) -> str:
        """`http` or `https`, as the client spoke it to the outermost trusted proxy."""
        return self._trusted.scheme(self._peer(), self.headers, self._server_scheme())

    @property
    def id(self) -> str:
        """X-Request-ID where it is fit for a log, else one of our own."""
        if self._id is None:
            given = self.headers.get("x-request-id", "")
            self._id = given if _ID.fullmatch(given) else uuid4().hex
        return self._id

    def json(self) -> Any:
        """The body as JSON. Anything else is the client's error: 400."""
        try:
            return json.loads(self.body, parse_constant=_refuse, parse_float=_finite)
        except (ValueError, RecursionError):
            raise HTTPError(400, "the body is not valid JSON") from None


def _refuse(constant: str) -> float:
    """Python reads NaN and Infinity; JSON does not have them."""
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
