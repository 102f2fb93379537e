# Managed by fuego-deploy: edits are lost. The operator's settings belong in env.local.
"""Defaults of gunicorn. GUNICORN_CMD_ARGS wins over this file, the environment fills it."""

import os
import sys
from pathlib import Path


def whole_number(name: str, default: int, minimum: int) -> int:
    """The number in the environment variable `name`; ends the process where it is none."""
    value = os.environ.get(name, "").strip() or str(default)
    app = os.environ.get("APP_NAME", "<app>")
    mend = f"mend it in the inventory or in /etc/{app}/env.local"
    if not (value.isascii() and value.isdigit()):
        sys.exit(f"{name}: {value!r} is not a whole number; {mend}")
    if int(value) < minimum:
        sys.exit(f"{name}: {value} is below {minimum}; {mend}")
    return int(value)


workers = whole_number("GUNICORN_WORKERS", 2, minimum=1)
threads = whole_number("GUNICORN_THREADS", 4, minimum=1)
timeout = whole_number("GUNICORN_TIMEOUT", 120, minimum=0)
worker_class = os.environ.get("GUNICORN_WORKER_CLASS", "").strip() or "gthread"
graceful_timeout = whole_number("GUNICORN_GRACEFUL_TIMEOUT", 30, minimum=1)
if os.environ.get("GUNICORN_MAX_REQUESTS", "").strip():
    max_requests = whole_number("GUNICORN_MAX_REQUESTS", 0, minimum=1)
    # Workers that began together do not end together.
    max_requests_jitter = max_requests // 10
# Longer than nginx keeps an idle connection, so that it is always nginx who closes it.
keepalive = 75

# The heartbeat files: in memory where that is open to us, since a busy disk looks like a hung
# worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
# It would be written below the home folder, which the app does not have.
control_socket_disable = True
# nginx logs every request; errors go to the journal.
accesslog = None
errorlog = "-"
# What the inventory's server_config says comes last, and wins.
own = Path(__file__).with_name("own.conf.py")
if own.exists():
    exec(compile(own.read_text(encoding="utf-8"), str(own), "exec"))
