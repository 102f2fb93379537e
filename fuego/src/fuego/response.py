"""Responses, and what a handler may return in place of one."""

import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, ClassVar

from . import cookies
from .headers import TOKEN, HeaderInput, Pair, ResponseHeaders, checked

if TYPE_CHECKING:
    from .request import Request


class Response:
    """A status, headers and a body.

    Content-Length is the adapters' matter: it follows the body as it is when it is sent.
    """

    __slots__ = ("_pairs", "body", "status")

    content_type: ClassVar[str] = "application/octet-stream"
    streams: ClassVar[bool] = False
    negotiates: ClassVar[bool] = False
    _content_type_pair: ClassVar[Pair] = ("content-type", content_type)

    def __init_subclass__(cls) -> None:
        cls._content_type_pair = ("content-type", cls.content_type)

    def __init__(
        self, body: bytes | str = b"", status: int = 200, headers: HeaderInput = ()
    ) -> None:
        # "replace": a lone surrogate, which JSON can carry in, must not make an error page.
        self.body = body.encode(errors="replace") if isinstance(body, str) else body
        self._set(status, headers)

    def _set(self, status: int, headers: HeaderInput) -> None:
        if not 200 <= status <= 599:
            raise ValueError(f"{status} is not the status of a final response (200 to 599)")
        self.status = status
        if not headers and status not in (204, 304):
            self._pairs = [self._content_type_pair]
            return
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        self._pairs = [checked(name, value) for name, value in pairs]
        if status in (204, 304):
            self.body = b""
        elif not any(name == "content-type" for name, _ in self._pairs):
            self._pairs.append(self._content_type_pair)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.status}>"

    def negotiate(self, request: "Request") -> None:
        """Called with the request before middleware sees the response, where `negotiates`. It
        must not wait, and may be called more than once."""

    @property
    def headers(self) -> ResponseHeaders:
        return ResponseHeaders(self._pairs)

    @property
    def length(self) -> int | None:
        """In bytes, None where it is not known before the end."""
        return len(self.body)

    def wire_headers(self) -> list[Pair]:
        """The headers as they are sent."""
        length = self.length
        if length is None or self.status in (204, 304):
            return self._pairs
        return [*self._pairs, ("content-length", str(length))]

    def set_cookie(
        self,
        name: str,
        value: str = "",
        *,
        max_age: int | None = None,
        expires: float | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = True,
        same_site: cookies.SameSite | None = "lax",
        partitioned: bool = False,
    ) -> None:
        """`max_age` is in seconds, `expires` in seconds since the epoch. Raises ValueError for
        what a browser would misread.

        >>> response = Response()
        >>> response.set_cookie("seen", "1", max_age=60)
        >>> response.headers["set-cookie"]
        'seen=1; Max-Age=60; Path=/; HttpOnly; SameSite=Lax'
        """
        if not TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a name for a cookie")
        if not cookies.VALUE.fullmatch(value):
            raise ValueError(f"cookie {name}: {value!r} needs encoding, such as urllib.parse.quote")
        if same_site == "none" and not secure:
            raise ValueError(f"cookie {name}: browsers take same_site='none' only with secure=True")
        parts = [f"{name}={value}"]
        if max_age is not None:
            parts.append(f"Max-Age={max_age}")
        if expires is not None:
            from email.utils import formatdate

            parts.append(f"Expires={formatdate(expires, usegmt=True)}")
        for key, text in (("Path", path), ("Domain", domain)):
            if text is not None:
                if not cookies.ATTRIBUTE.fullmatch(text):
                    raise ValueError(f"cookie {name}: {key} cannot be {text!r}")
                parts.append(f"{key}={text}")
        flags = {"Secure": secure, "HttpOnly": http_only, "Partitioned": partitioned}
        parts += [flag for flag, wanted in flags.items() if wanted]
        if same_site is not None:
            parts.append(f"SameSite={same_site.title()}")
        self._pairs.append(("set-cookie", "; ".join(parts)))

    def delete_cookie(
        self, name: str, *, path: str = "/", domain: str | None = None, secure: bool = False
    ) -> None:
        """`path` and `domain` as it was set with, and `secure` where its name begins with
        `__Host-` or `__Secure-`: else browsers keep it."""
        self.set_cookie(name, max_age=0, expires=0, path=path, domain=domain, secure=secure)


class TextResponse(Response):
    __slots__ = ()
    content_type = "text/plain; charset=utf-8"


class HTMLResponse(Response):
    __slots__ = ()
    content_type = "text/html; charset=utf-8"


def _plain(value: Any) -> Any:
    """What JSON has no form for: dates and UUIDs as text, dataclasses as objects."""
    from dataclasses import asdict, is_dataclass
    from uuid import UUID

    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _encoder(make: Any) -> Callable[[Any], str]:
    """`JSONEncoder.encode` makes an encoder for each call; this one is made once, from `make`,
    where the interpreter has it."""
    if make is None:
        return json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain).encode
    encode = make(None, _plain, encode_basestring_ascii, None, ":", ",", False, False, False)

    def encode_once(value: Any) -> str:
        return "".join(encode(value, 0))

    return encode_once


encode_json = _encoder(getattr(json.encoder, "c_make_encoder", None))


class JSONResponse(Response):
    """`value` is what `json` encodes, and dates, UUIDs and dataclasses. NaN and infinity, which
    JSON lacks, are refused.

    >>> JSONResponse({"id": 7}).body
    b'{"id":7}'
    """

    __slots__ = ()
    content_type = "application/json"

    def __init__(self, value: object, status: int = 200, headers: HeaderInput = ()) -> None:
        self.body = encode_json(value).encode()
        self._set(status, headers)


class RedirectResponse(Response):
    """303 unless told otherwise: the client goes there with GET, whatever it came with."""

    __slots__ = ()

    def __init__(self, location: str, status: int = 303, headers: HeaderInput = ()) -> None:
        from urllib.parse import quote

        if status not in (301, 302, 303, 307, 308):
            raise ValueError(f"{status} is not a redirect: 301, 302, 303, 307 or 308")
        super().__init__(b"", status, headers)
        self.headers["location"] = quote(location, safe=":/%#?=@[]!$&'()*+,;~", errors="replace")


def as_response(value: object) -> Response:
    """A Response as it is, a dict or list as JSON, a str as HTML, bytes, None as 204."""
    if isinstance(value, Response):
        return value
    if isinstance(value, (dict, list)):  # a union would be made anew at each call
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
