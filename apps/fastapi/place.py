"""Where a request was answered, and who asked."""

import os
import socket
import sys

from starlette.requests import HTTPConnection

# Modules that only a running server has loaded. gunicorn stands first, because with uvicorn's
# workers it has loaded both.
SERVERS = ("gunicorn.arbiter", "hypercorn.run", "granian.server", "uvicorn.server")


def server() -> str:
    loaded = (name.partition(".")[0] for name in SERVERS if name in sys.modules)
    return next(loaded, "fastapi")


def place(connection: HTTPConnection) -> dict[str, object]:
    return {
        "app": os.environ.get("APP_NAME", "fastapi"),
        "host": socket.gethostname(),
        "server": server(),
        "protocol": "asgi",
        "release": os.environ.get("APP_RELEASE"),
        "pid": os.getpid(),
        "request_id": connection.headers.get("X-Request-ID"),
    }


def client(connection: HTTPConnection) -> str | None:
    return connection.client.host if connection.client else None
