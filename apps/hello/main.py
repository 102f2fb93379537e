# /// script
# requires-python = ">=3.11"
# dependencies = ["fuego-web[forms]"]
#
# [tool.uv.sources]
# fuego-web = { path = "../../fuego", editable = true }
# ///
"""Shows the path its request took, and one of each thing a proxy has to carry: one app, served
over WSGI and over ASGI.

python main.py            or    uv run main.py
gunicorn main:wsgi_app    or    uvicorn main:asgi_app
"""

import asyncio
import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from html import escape
from pathlib import Path
from string import Template

from fuego.middleware import access_log, request_id, security_headers

import fuego
from fuego import (
    Event,
    EventStream,
    Fuego,
    HTMLResponse,
    HTTPError,
    JSONResponse,
    Request,
    Response,
    StreamResponse,
    WebSocket,
)

# The module that only a running server has loaded. gunicorn stands first, because with
# uvicorn's workers it has loaded both.
SERVERS = {
    "gunicorn.arbiter": "gunicorn",
    "hypercorn.run": "hypercorn",
    "daphne.server": "daphne",
    "granian.server": "granian",
    "uwsgi": "uwsgi",
    "uvicorn.server": "uvicorn",
    "fuego.development": "fuego",
}
# Seconds. Whatever lasts ends within a server's graceful time-out (30), so that a drain loses none.
LONGEST = 30
TICK = 1.0  # between two events
PAUSE = 0.1  # between two chunks
MAX_FORM = 4 * 1024 * 1024  # bytes
NO_STORE = {"Cache-Control": "no-store"}

HERE = Path(__file__).parent
PAGES = {path.stem: Template(path.read_text()) for path in HERE.glob("pages/*.html")}

app = Fuego()
wsgi_app = app.wsgi
asgi_app = app.asgi

app.middleware(security_headers())
app.middleware(request_id())
app.middleware(access_log())
app.health("/healthz")
app.static("/static", HERE / "static")


def server() -> str:
    """What runs this process, seen from inside it; the program's name where we know none."""
    loaded = (name for module, name in SERVERS.items() if module in sys.modules)
    return next(loaded, Path(sys.argv[0]).stem)


def place(request: Request) -> dict[str, object]:
    return {
        "app": os.environ.get("APP_NAME", "hello"),
        "host": socket.gethostname(),
        "server": server(),
        "protocol": request.protocol,
        "release": os.environ.get("APP_RELEASE"),
        "pid": os.getpid(),
        "request_id": request.id,
    }


def facts(request: Request) -> dict[str, object]:
    headers = request.headers
    return {
        **place(request),
        "method": request.method,
        "received": len(request.body),
        "client": request.client,
        "scheme": request.scheme,
        "load_balancer": headers.get("X-Load-Balancer"),
        "forwarded_for": headers.get("X-Forwarded-For"),
        "forwarded_proto": headers.get("X-Forwarded-Proto"),
        "forwarded_host": headers.get("X-Forwarded-Host"),
        "forwarded_port": headers.get("X-Forwarded-Port"),
        "fuego": fuego.__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
    }


class Markup(str):
    """Text that is HTML already."""


def fill(name: str, values: Mapping[str, object]) -> Markup:
    """All that is not Markup is escaped."""
    shown = {
        key: value if isinstance(value, Markup) else escape("none" if value is None else str(value))
        for key, value in values.items()
    }
    return Markup(PAGES[name].substitute(shown))


def html(request: Request, content: Markup) -> Response:
    values = place(request)
    # Twelve colours in steps that let neighbours such as app1 and app2 differ at a glance.
    values["hue"] = sum(map(ord, str(values["host"]))) * 5 % 12
    return HTMLResponse(fill("base", {**values, "content": content}), headers=NO_STORE)


def at_most(request: Request, name: str, default: int, most: int) -> float:
    """A number of the query: 400 where it is none, `most` where it is more."""
    try:
        value = float(request.query.get(name, default))
    except ValueError:
        value = -1.0
    if not value >= 0:  # nor is NaN
        raise HTTPError(400, f"{name} must be a number from 0 to {most}")
    return min(value, float(most))


@app.get("/")
def page(request: Request) -> Response:
    seen = facts(request)
    seen["via"] = "nginx" if seen["load_balancer"] else "straight to the host"
    seen["protocol_name"] = request.protocol.upper()
    seen["live"] = fill(f"live-{request.protocol}", {"release": seen["release"]})
    seen["form"] = fill("form", {})
    return html(request, fill("path", seen))


@app.route("/whoami", methods=("GET", "POST"))
async def whoami(request: Request) -> Response:
    return JSONResponse(facts(request), headers=NO_STORE)


@app.get("/events")
async def events(request: Request) -> Response:
    """A tick each second, `count` of them, 10 unless told. The browser comes back for more and
    says how far it was, so that the count goes on though another host may answer.

    Works under WSGI too, but holds a thread of the worker all the while, one of the few that
    serve all others: the page opens it under ASGI alone.
    """
    last = request.headers.get("Last-Event-ID", "")
    known = last.isascii() and last.isdigit() and len(last) < 10
    count = int(at_most(request, "count", 10, LONGEST - 5))
    return EventStream(ticks(int(last) + 1 if known else 1, count), retry=1000)


async def ticks(first: int, count: int) -> AsyncIterator[Event]:
    where = {
        "host": socket.gethostname(),
        "release": os.environ.get("APP_RELEASE"),
        "pid": os.getpid(),
    }
    for number in range(first, first + count):
        if number > first:
            await asyncio.sleep(TICK)
        yield Event(json.dumps({**where, "count": number}), id=str(number))


@app.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    """Says where it is, then returns each message as it came."""
    await websocket.accept()
    await websocket.send_json(place(websocket))
    async for message in websocket:
        await websocket.send(message)


@app.get("/form", name="form")
def empty_form(request: Request) -> Response:
    return html(request, fill("form", {}))


@app.post("/form", max_body=MAX_FORM)
def received(request: Request) -> Response:
    """What arrived: as a page for a browser, as JSON for anybody else."""
    form = request.form()
    text = form.get("text", "")
    files = [
        {
            "name": upload.filename,
            "size": upload.size,
            "sha256": hashlib.sha256(upload.read()).hexdigest(),
        }
        for upload in form.files
        if upload.filename or upload.size  # a browser sends an empty one where none was chosen
    ]
    if "text/html" not in request.headers.get("Accept", ""):
        return JSONResponse({"text": text, "files": files}, headers=NO_STORE)
    rows = Markup("".join(fill("file", file) for file in files))
    content = fill("received", {"text": text, "rows": rows, "form": fill("form", {})})
    return html(request, content)


@app.get("/slow")
async def slow(request: Request) -> Response:
    """Takes `seconds`, 2 unless told. Under WSGI the worker's thread waits along."""
    seconds = at_most(request, "seconds", 2, LONGEST)
    await asyncio.sleep(seconds)
    return JSONResponse({**place(request), "seconds": seconds}, headers=NO_STORE)


@app.get("/stream")
def stream(request: Request) -> Response:
    """Ten lines in ten chunks. The header keeps nginx from collecting them."""
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Accel-Buffering": "no", **NO_STORE}
    return StreamResponse(lines(), headers=headers)


def lines() -> Iterator[str]:
    for number in range(1, 11):
        yield f"{number} {socket.gethostname()} {os.getpid()}\n"
        time.sleep(PAUSE)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8000")), reload=True)
