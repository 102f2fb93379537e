"""Cookies (RFC 6265), both ways."""

import re
from typing import Literal

from .headers import TOKEN

SameSite = Literal["lax", "strict", "none"]

VALUE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")
ATTRIBUTE = re.compile(r"[\x20-\x3a\x3c-\x7e]*")


def parse(header: str) -> dict[str, str]:
    """The first value of each name; what is not a cookie is passed over, as browsers do.

    >>> parse('a=1; b="two"; nonsense; a=3')
    {'a': '1', 'b': 'two'}
    """
    cookies: dict[str, str] = {}
    for item in header.split(";"):
        name, separator, value = item.strip().partition("=")
        if separator and TOKEN.fullmatch(name):
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            cookies.setdefault(name, value)
    return cookies
