"""The status as one page that needs nothing else: the table, and a picture of the topology."""

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fleet.status import Status
from fleet.status_text import COLUMNS, RIGHT, cells, span
from fleet.topology import narrow, wide

TEMPLATES = Path(__file__).resolve().parents[2] / "playbooks" / "templates" / "status"


def page(status: Status) -> str:
    """The page as HTML. All that hosts and people wrote is escaped by the template."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["span"] = span
    show: Callable[..., str] = environment.get_template("page.html.j2").render
    return show(
        status=status,
        columns=COLUMNS,
        right=RIGHT,
        rows=[(row, dict(zip(COLUMNS, cells(row), strict=True))) for row in status.rows],
        pictures=[("wide", wide(status)), ("narrow", narrow(status))],
    )
