"""Maintenance of a site: what is known of it, and the lines of nginx that keep clients out.

It is part of the state of the pools (pools.json), so that whatever lays the pools lays this too.
"""

import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Literal, TypedDict

from .layout import MARK
from .newest import newest

LONGEST = 300
"""Characters of a message. nginx takes no parameter above 4,096 bytes, which is the page."""
PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><title>Maintenance</title>'
    "<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:20vh auto;"
    "padding:0 1rem}}small{{color:#666}}</style>"
    "<h1>Down for maintenance</h1><p>{message}</p><p><small>Request $request_id</small></p></html>"
)
PLAIN = "Please try again shortly."
FILE = """\
# {mark}: edits are lost. Maintenance of {app}, {told}.
if ($uri !~ {health}) {{
    return 503;
}}
error_page 503 @maintenance_$maintenance_answer;
location @maintenance_page {{
    default_type text/html;
{headers}    return 503 '{page}';
}}
location @maintenance_json {{
    default_type application/json;
{headers}    return 503 '{json}';
}}
"""
HEADERS = """\
    add_header Retry-After {retry_after} always;
    add_header Cache-Control no-store always;
    add_header X-Request-ID $request_id always;
"""


class Maintenance(TypedDict):
    """What somebody decided for a site."""

    state: Literal["on", "off"]
    message: str
    retry_after: int
    by: str
    when: str


def clean(message: str) -> str:
    """The message with its lines, and nothing invisible."""
    lines = [" ".join(line.split()) for line in message.strip().splitlines()]
    return "\n".join("".join(c for c in line if c.isprintable()) for line in lines)


def merge(found: Iterable[Mapping[str, Maintenance]]) -> dict[str, Maintenance]:
    """What was decided on all balancers: the newest for each site, of one second what is on."""
    return newest(found, _age)


def _age(record: Maintenance) -> tuple[str, bool]:
    return record["when"], record["state"] == "on"


def turned(known: Maintenance | None, wanted: Maintenance) -> Maintenance | None:
    """What holds from now on; what is so already stays, with who did it and when."""
    if known is None or known["state"] == "off":
        return wanted if wanted["state"] == "on" else known
    same = {**known, "by": wanted["by"], "when": wanted["when"]} == wanted
    return known if same else wanted


def told(record: Maintenance) -> str:
    """Who turned it on, when and with what words, on one line."""
    said = f": {' '.join(record['message'].split())}" if record["message"] else ""
    return f"on by {record['by'] or 'nobody'} since {record['when']}{said}"


def lines(sites: Mapping[str, Maintenance]) -> list[str]:
    """One line for each site that is in maintenance."""
    return [f"{app}: maintenance {told(r)}" for app, r in sites.items() if r["state"] == "on"]


def render(app: str, record: Maintenance | None, health_path: str) -> str:
    """The file that the site includes in its server block."""
    if record is None or record["state"] == "off":
        return f"# {MARK}: edits are lost. {app} is not in maintenance.\n"
    path = re.escape(urllib.parse.unquote(health_path.partition("?")[0]))
    message = record["message"] or PLAIN
    # nginx would take a $ for a variable, and nothing but another way to write it prevents that.
    shown = html.escape(message).replace("\n", "<br>").replace("\\", "&#92;").replace("$", "&#36;")
    answer = json.dumps({"error": "maintenance", "message": message}, ensure_ascii=False)
    answer = answer.replace("$", "\\u0024").replace("'", "\\u0027")
    return FILE.format(
        mark=MARK,
        app=app,
        told=told(record),
        health='"' + f"^{path}$".replace("\\", "\\\\").replace('"', '\\"') + '"',
        headers=HEADERS.format(retry_after=record["retry_after"]),
        page=PAGE.format(message=shown),
        json=answer.replace("\\", "\\\\"),
    )
