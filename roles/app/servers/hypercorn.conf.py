# Managed by fuego-deploy: edits are lost. The operator's settings belong in env.local.
"""Defaults of hypercorn, filled from the environment."""

import os
import sys
from pathlib import Path


# hypercorn takes every name for a setting, but for those that begin with two underscores.
def __whole_number(name: str, default: int, minimum: int) -> int:
    """The number in the environment variable `name`; ends the process where it is none."""
    value = os.environ.get(name, "").strip() or str(default)
    app = os.environ.get("APP_NAME", "<app>")
    mend = f"mend it in the inventory or in /etc/{app}/env.local"
    if not (value.isascii() and value.isdigit()):
        sys.exit(f"{name}: {value!r} is not a whole number; {mend}")
    if int(value) < minimum:
        sys.exit(f"{name}: {value} is below {minimum}; {mend}")
    return int(value)


workers = __whole_number("HYPERCORN_WORKERS", 2, minimum=1)
graceful_timeout = __whole_number("HYPERCORN_GRACEFUL_TIMEOUT", 30, minimum=1)
if os.environ.get("HYPERCORN_MAX_REQUESTS", "").strip():
    max_requests = __whole_number("HYPERCORN_MAX_REQUESTS", 0, minimum=1)
    # Workers that began together do not end together.
    max_requests_jitter = max_requests // 10
worker_class = os.environ.get("HYPERCORN_WORKER_CLASS", "").strip() or "uvloop"
# Longer than nginx keeps an idle connection, so that it is always nginx who closes it.
keep_alive_timeout = 75
include_server_header = False
# nginx logs every request; errors go to the journal.
accesslog = None
errorlog = "-"
# What the inventory's server_config says comes last, and wins.
__own = Path(__file__).with_name("own.conf.py")
if __own.exists():
    exec(compile(__own.read_text(encoding="utf-8"), str(__own), "exec"))
