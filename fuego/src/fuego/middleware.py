"""Ready middleware, for `app.middleware(…)` or a group's `middleware=[…]`."""

import gzip as gzip_module
import json
import logging
import re
import time
from collections.abc import Callable, Generator, Iterable, Mapping

from .errors import HTTPError
from .pages import quality
from .request import Request
from .response import Response

Steps = Generator[None, Response, Response]
Middleware = Callable[[Request], Steps]

access = logging.getLogger("fuego.access")


def request_id() -> Middleware:
    """Sends the request's id back in X-Request-ID; logs have it already."""

    def middleware(request: Request) -> Steps:
        response = yield
        response.headers["x-request-id"] = request.id
        return response

    return middleware


def access_log(logger: logging.Logger = access) -> Middleware:
    """One JSON line for each request, to standard error where logging is not set up. `ms` is the
    time until the response began."""
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())

    def middleware(request: Request) -> Steps:
        started = time.perf_counter()
        response = yield
        line = {
            "request_id": request.id,
            "client": request.client,
            "method": request.method,
            "path": request.path,
            "status": response.status,
            "bytes": response.length,
            "ms": round((time.perf_counter() - started) * 1000, 3),
        }
        logger.info(json.dumps(line))
        return response

    return middleware


def cors(
    origins: Iterable[str],
    *,
    methods: Iterable[str] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    headers: Iterable[str] = (),
    expose: Iterable[str] = (),
    credentials: bool = False,
    max_age: int = 600,
) -> Middleware:
    """Lets pages of other origins (`https://example.com`) call us; "*" is any, without cookies."""
    allowed = frozenset(origins)
    if credentials and "*" in allowed:
        raise ValueError("cors: name the origins; browsers refuse credentials together with '*'")
    fields = {"access-control-allow-credentials": "true"} if credentials else {}
    preflight = {
        "access-control-allow-methods": ", ".join(methods),
        "access-control-allow-headers": ", ".join(headers),
        "access-control-max-age": str(max_age),
    }
    exposed = ", ".join(expose)

    def middleware(request: Request) -> Steps:
        origin = request.headers.get("origin", "")
        known = "*" in allowed or origin in allowed
        asked = "access-control-request-method" in request.headers
        if origin and request.method == "OPTIONS" and asked:
            response = Response(status=204, headers=preflight if known else ())
        else:
            response = yield
            if known and origin and exposed:
                response.headers["access-control-expose-headers"] = exposed
        if "*" not in allowed:
            response.headers.vary("Origin")
        if known and origin:
            response.headers["access-control-allow-origin"] = "*" if "*" in allowed else origin
            response.headers.update(fields)
        return response

    return middleware


_COMPRESSIBLE = re.compile(
    r"text/(?!event-stream)|application/(json|javascript|xml)|.*[+](json|xml)"
)


def gzip(minimum: int = 500, level: int = 6) -> Middleware:
    """Compresses text that is whole in memory and of at least `minimum` bytes. Streams and files
    pass as they are: nginx does those."""

    def middleware(request: Request) -> Steps:
        response = yield
        kind = response.headers.get("content-type", "")
        if (
            response.streams
            or len(response.body) < minimum
            or "content-encoding" in response.headers
            or not _COMPRESSIBLE.match(kind)
        ):
            return response
        response.headers.vary("Accept-Encoding")
        if quality(request.headers.get("accept-encoding", ""), "gzip") > 0:
            response.body = gzip_module.compress(response.body, level, mtime=0)
            response.headers["content-encoding"] = "gzip"
            tag = response.headers.get("etag", "")
            if tag.startswith('"'):
                response.headers["etag"] = f"W/{tag}"
        return response

    return middleware


def trusted_hosts(hosts: Iterable[str]) -> Middleware:
    """Refuses, with 400, a Host that is not in the list; `*.example.com` is all below it."""
    names = frozenset(host.lower() for host in hosts)
    suffixes = tuple(name[1:] for name in names if name.startswith("*."))

    def middleware(request: Request) -> Steps:
        host = re.sub(r":[0-9]*$", "", request.headers.get("host", "").lower())
        if host not in names and not (suffixes and host.endswith(suffixes)):
            raise HTTPError(400, "this host is not served here")
        response = yield
        return response

    return middleware


SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; object-src 'none'",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "strict-origin-when-cross-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def security_headers(headers: Mapping[str, str] = SECURITY_HEADERS, *, hsts: int = 0) -> Middleware:
    """Adds what a response does not set itself. `hsts`, in seconds, over https alone."""
    fields = {name.lower(): value for name, value in headers.items()}

    def middleware(request: Request) -> Steps:
        response = yield
        for name, value in fields.items():
            response.headers.setdefault(name, value)
        if hsts and request.scheme == "https":
            response.headers.setdefault("strict-transport-security", f"max-age={hsts}")
        return response

    return middleware
