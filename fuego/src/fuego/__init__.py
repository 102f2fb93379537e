"""Fuego: a micro web framework, WSGI and ASGI from the same routes."""

from .app import Fuego
from .errors import HTTPError
from .headers import Headers
from .multidict import MultiDict
from .request import Request
from .response import HTMLResponse, JSONResponse, Response, TextResponse

__version__ = "0.1.0"

__all__ = [
    "Fuego",
    "HTMLResponse",
    "HTTPError",
    "Headers",
    "JSONResponse",
    "MultiDict",
    "Request",
    "Response",
    "TextResponse",
    "__version__",
]
