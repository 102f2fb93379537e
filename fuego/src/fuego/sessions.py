"""Sessions in a signed cookie: the client can read them, and cannot change them."""

import json

from .errors import MissingExtraError
from .middleware import Middleware, Steps
from .request import Request
from .response import encode_json

MAX_COOKIE = 4096  # bytes, as browsers have it


def sessions(
    secret: str | list[str],
    *,
    cookie: str = "session",
    max_age: int = 14 * 24 * 3600,
    secure: bool | None = None,
) -> Middleware:
    """`request.session` is a dict that lasts `max_age` seconds. Of several secrets the last one
    signs, the others are still believed. `secure` is what the scheme says by default.
    """
    try:
        from itsdangerous import BadData, URLSafeTimedSerializer
    except ImportError:
        raise MissingExtraError("a session", "sessions") from None
    secrets = [secret] if isinstance(secret, str) else secret
    if not secrets or min(map(len, secrets)) < 16:
        raise ValueError("sessions: a secret needs at least 16 characters; try secrets.token_hex()")
    serializer = URLSafeTimedSerializer(secret, salt="fuego.session")

    def middleware(request: Request) -> Steps:
        try:
            found = serializer.loads(request.cookies.get(cookie, ""), max_age=max_age)
        except (BadData, ValueError, RecursionError):
            found = {}
        request.state["session"] = found if isinstance(found, dict) else {}
        before = encode_json(request.state["session"])
        response = yield
        response.headers.vary("Cookie")
        after = encode_json(request.state["session"])
        if after == before:
            return response
        https = request.scheme == "https" if secure is None else secure
        if not request.state["session"]:
            response.delete_cookie(cookie, secure=https)
            return response
        text = serializer.dumps(json.loads(after))
        if len(cookie) + len(text) > MAX_COOKIE:
            raise ValueError(f"the session is larger than {MAX_COOKIE} bytes, signed")
        response.set_cookie(cookie, text, max_age=max_age, secure=https)
        return response

    return middleware
