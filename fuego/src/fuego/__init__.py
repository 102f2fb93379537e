"""Fuego: a micro web framework, WSGI and ASGI from the same routes.

What not every app needs is loaded when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

from .app import Fuego
from .errors import HTTPError
from .headers import Headers
from .multidict import MultiDict
from .registry import Group
from .request import Request
from .response import HTMLResponse, JSONResponse, RedirectResponse, Response, TextResponse
from .stream import Event, EventStream, StreamResponse

if TYPE_CHECKING:
    from .files import FileResponse
    from .forms import Upload
    from .templates import Templates
    from .websocket import WebSocket, WebSocketClosedError

__version__ = "0.1.0"

__all__ = [
    "Event",
    "EventStream",
    "FileResponse",
    "Fuego",
    "Group",
    "HTMLResponse",
    "HTTPError",
    "Headers",
    "JSONResponse",
    "MultiDict",
    "RedirectResponse",
    "Request",
    "Response",
    "StreamResponse",
    "Templates",
    "TextResponse",
    "Upload",
    "WebSocket",
    "WebSocketClosedError",
    "__version__",
]

_LATER = {
    "FileResponse": "files",
    "Templates": "templates",
    "Upload": "forms",
    "WebSocket": "websocket",
    "WebSocketClosedError": "websocket",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'fuego' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value
