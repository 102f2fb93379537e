"""What both adapters do alike: find the handler, bound the body, answer for errors."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .errors import HTTPError
from .forwarded import TrustedProxies
from .headers import Headers
from .request import Request
from .response import Response, TextResponse, error_response
from .routing import Endpoint, Match, Router

log = logging.getLogger("fuego")

Observer = Callable[[Request, Response, float], object]


@dataclass(frozen=True, slots=True)
class Core:
    max_body: int
    trusted: TrustedProxies
    router: Router = field(default_factory=Router)
    observers: list[Observer] = field(default_factory=list)

    def find(self, request: Request) -> Match:
        try:
            return self.router.find(request.method, request.path)
        except HTTPError as error:
            if request.method == "OPTIONS" and error.status == 405:
                return Match(_options(error.headers), {})
            raise

    def body_length(self, headers: Headers) -> int | None:
        """The announced length of a body, None where none is announced (no body, or chunks)."""
        text = headers.get("content-length", "")
        if not text:
            return None
        if not (text.isascii() and text.isdigit()):
            raise HTTPError(400, "Content-Length is not a number")
        # The count of digits first: int() refuses very long ones.
        if len(text) > 18 or int(text) > self.max_body:
            raise self.too_large()
        return int(text)

    def too_large(self) -> HTTPError:
        return HTTPError(413, f"the body is larger than {self.max_body} bytes")

    def answer_for(self, request: Request, error: Exception) -> Response:
        """The client learns what an HTTPError says, and nothing of any other error."""
        if isinstance(error, HTTPError):
            try:
                return error_response(error)
            except ValueError as unfit:  # a status or header that cannot be sent
                error = unfit
        log.error(
            "request %s: %s %r failed", request.id, request.method, request.path, exc_info=error
        )
        return TextResponse("Internal Server Error\n", 500)

    def observe(self, request: Request, response: Response, started: float) -> None:
        seconds = time.perf_counter() - started
        for observer in self.observers:
            try:
                observer(request, response, seconds)
            except Exception:
                log.exception("request %s: %r failed", request.id, observer)


def _options(headers: dict[str, str]) -> Endpoint:
    return Endpoint(lambda _: Response(status=204, headers=headers), (), is_async=False)
