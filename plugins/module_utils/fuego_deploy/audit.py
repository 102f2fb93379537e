"""What was changed on a host, when, by whom: one JSON line for each change."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any

from .layout import App

LOG = "var/log/fuego-deploy/audit.jsonl"


def write(app: App, run: Mapping[str, str], action: str, **facts: Any) -> None:
    """Append one line; a line is written whole, whoever else writes."""
    path = app.root / LOG
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    line = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "app": app.name,
        "action": action,
        "who": run.get("who", ""),
        "run": run.get("id", ""),
        **{name: value for name, value in facts.items() if value is not None},
    }
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, json.dumps(line).encode() + b"\n")
    finally:
        os.close(handle)
