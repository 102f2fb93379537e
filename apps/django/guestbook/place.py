"""Where a request was answered."""

import os
import socket
import sys
from collections.abc import Mapping

# Modules that only a running server has loaded. gunicorn stands first, because with uvicorn's
# workers it has loaded both.
SERVERS = ("gunicorn.arbiter", "uwsgi", "daphne.server", "hypercorn.run", "granian.server",
           "uvicorn.server")  # fmt: skip


def server() -> str:
    loaded = (name.partition(".")[0] for name in SERVERS if name in sys.modules)
    return next(loaded, "django")


def place(protocol: str, headers: Mapping[str, str]) -> dict[str, object]:
    return {
        "app": os.environ.get("APP_NAME", "django"),
        "host": socket.gethostname(),
        "server": server(),
        "protocol": protocol,
        "release": os.environ.get("APP_RELEASE"),
        "pid": os.getpid(),
        "request_id": headers.get("x-request-id"),
    }
