"""The bodies of errors: JSON or HTML by what the client accepts, and the development page."""

from html import escape
from traceback import format_exception

from .errors import HTTPError, phrase
from .request import Request
from .response import HTMLResponse, JSONResponse, Response

# Without a style: any content policy may stand beside it.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<h1>{title}</h1>
{content}
</html>
"""


def answer(request: Request, error: Exception, debug: bool) -> Response:
    """Any error but an HTTPError is a 500 without a word of what it was, unless in debug mode."""
    shown = HTTPError(500)
    if isinstance(error, HTTPError) and 300 <= error.status <= 599:
        shown = error
    status, detail, headers = shown.status, shown.detail, shown.headers
    trace = "".join(format_exception(error)) if debug and status == 500 else None
    response: Response
    if prefers_html(request):
        content = f"<p>{escape(detail)}</p>"
        if trace is not None:
            content = f"<p>{escape(repr(request))}</p>\n<pre>{escape(trace)}</pre>"
        title = escape(f"{status} {phrase(status)}")
        response = HTMLResponse(_PAGE.format(title=title, content=content), status, headers)
    else:
        body: dict[str, object] = {"status": status, "error": detail}
        if trace is not None:
            body["trace"] = trace.splitlines()
        response = JSONResponse(body, status, headers)
    response.headers.vary("Accept")
    return response


def prefers_html(request: Request) -> bool:
    """Only where HTML is named and JSON is not wanted more: `*/*` is most often a program."""
    try:
        accept = request.headers.get("accept", "")
    except HTTPError:
        return False
    html, json = quality(accept, "text/html"), quality(accept, "application/json")
    return "html" in accept.lower() and html > 0 and html >= json


def quality(accept: str, kind: str) -> float:
    """How much a list such as Accept or Accept-Encoding wants something, from 0 to 1. The
    narrowest item counts.

    >>> quality("text/*;q=0.5, */*;q=0.1", "text/html")
    0.5
    """
    family = kind.partition("/")[0] + "/*"
    best: dict[str, float] = {}
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        best[name] = next((_number(text[2:]) for text in parameters if text[:2] == "q="), 1.0)
    for name in (kind, family, "*/*", "*"):
        if name in best:
            return best[name]
    return 0.0


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if 0 <= number <= 1 else 0.0
