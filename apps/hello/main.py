# /// script
# requires-python = ">=3.11"
# dependencies = ["fuego-web"]
#
# [tool.uv.sources]
# fuego-web = { path = "../../fuego", editable = true }
# ///
"""Shows the path its request took: one app, served over WSGI and over ASGI.

python main.py            or    uv run main.py
gunicorn main:wsgi_app    or    uvicorn main:asgi_app
"""

import json
import logging
import os
import socket
import sys
from html import escape
from pathlib import Path
from string import Template

import fuego
from fuego import Fuego, HTMLResponse, JSONResponse, Request, Response

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
NO_STORE = {"Cache-Control": "no-store"}
PAGE = Template(Path(__file__).with_name("page.html").read_text())

log = logging.getLogger("hello")
log.setLevel(logging.INFO)
log.propagate = False
log.addHandler(logging.StreamHandler())

app = Fuego()
wsgi_app = app.wsgi
asgi_app = app.asgi


def server() -> str:
    """What runs this process, seen from inside it; the program's name where we know none."""
    loaded = (name for module, name in SERVERS.items() if module in sys.modules)
    return next(loaded, Path(sys.argv[0]).stem)


def facts(request: Request) -> dict[str, object]:
    headers = request.headers
    return {
        "app": os.environ.get("APP_NAME", "hello"),
        "host": socket.gethostname(),
        "server": server(),
        "protocol": request.protocol,
        "release": os.environ.get("APP_RELEASE"),
        "pid": os.getpid(),
        "request_id": request.id,
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


@app.get("/")
def page(request: Request) -> Response:
    seen = facts(request)
    seen["via"] = "nginx" if seen["load_balancer"] else "straight to the host"
    seen["protocol_name"] = request.protocol.upper()
    # Spread over the colour wheel, so that neighbours such as app1 and app2 differ at a glance.
    seen["hue"] = sum(map(ord, str(seen["host"]))) * 137 % 360
    shown = {key: escape("none" if value is None else str(value)) for key, value in seen.items()}
    return HTMLResponse(PAGE.substitute(shown), headers=NO_STORE)


@app.route("/whoami", methods=("GET", "POST"))
async def whoami(request: Request) -> Response:
    return JSONResponse(facts(request), headers=NO_STORE)


@app.get("/healthz")
def healthz(request: Request) -> dict[str, str]:
    return {"status": "ok"}


@app.observe
def access_log(request: Request, response: Response, seconds: float) -> None:
    line = {
        "request_id": request.id,
        "method": request.method,
        "path": request.path,
        "status": response.status,
        "ms": round(seconds * 1000, 3),
    }
    log.info(json.dumps(line))


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8000")), reload=True)
