"""Cookies (RFC 6265), both ways."""

import re
from typing import Literal

SameSite = Literal["lax", "strict", "none"]

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
_ATTRIBUTE = re.compile(r"[\x20-\x3a\x3c-\x7e]*")


def parse(header: str) -> dict[str, str]:
    """The first value of each name; what is not a cookie is passed over, as browsers do.

    >>> parse('a=1; b="two"; nonsense; a=3')
    {'a': '1', 'b': 'two'}
    """
    cookies: dict[str, str] = {}
    for item in header.split(";"):
        name, separator, value = item.strip().partition("=")
        if separator and _NAME.fullmatch(name):
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            cookies.setdefault(name, value)
    return cookies


def build(
    name: str,
    value: str,
    *,
    max_age: int | None,
    expires: float | None,
    path: str | None,
    domain: str | None,
    secure: bool,
    http_only: bool,
    same_site: SameSite | None,
    partitioned: bool,
) -> str:
    """The value of a Set-Cookie field. Raises ValueError for what a browser would misread."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a name for a cookie")
    if not _VALUE.fullmatch(value):
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
            if not _ATTRIBUTE.fullmatch(text):
                raise ValueError(f"cookie {name}: {key} cannot be {text!r}")
            parts.append(f"{key}={text}")
    flags = {"Secure": secure, "HttpOnly": http_only, "Partitioned": partitioned}
    parts += [flag for flag, wanted in flags.items() if wanted]
    if same_site is not None:
        parts.append(f"SameSite={same_site.title()}")
    return "; ".join(parts)
