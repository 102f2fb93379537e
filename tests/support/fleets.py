"""What the tests of the preflight share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

Plain = dict[str, Any]
Planner = Callable[..., tuple[Plain, list[str]]]


def entry(**keys: Any) -> Plain:
    """A healthy WSGI app; a key given as `...` is left out."""
    whole = {"source": {"path": "app"}, "callable": "main:wsgi_app", **keys}
    return {key: value for key, value in whole.items() if value is not ...}
