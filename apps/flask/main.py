"""One of each thing that a proxy has to carry, with Flask: WSGI.

flask --app main run --debug    or    gunicorn main:app
"""

import hashlib
import os
import socket
import sys
import time

from flask import Flask, Request, Response, abort, jsonify, render_template, request
from werkzeug.datastructures import FileStorage

# Modules that only a running server has loaded.
SERVERS = ("gunicorn.arbiter", "uwsgi", "granian.server", "hypercorn.run")
LONGEST = 30  # seconds: whatever lasts ends within a server's graceful time-out
CHUNK = 64 * 1024  # bytes
MAX_FORM = 4 * 1024 * 1024  # bytes

app = Flask(__name__)


def server() -> str:
    loaded = (name.partition(".")[0] for name in SERVERS if name in sys.modules)
    return next(loaded, "flask")


def place(request: Request) -> dict[str, object]:
    return {
        "app": os.environ.get("APP_NAME", "flask"),
        "host": socket.gethostname(),
        "server": server(),
        "protocol": "wsgi",
        "release": os.environ.get("APP_RELEASE"),
        "pid": os.getpid(),
        "request_id": request.headers.get("X-Request-ID"),
    }


@app.after_request
def store_nothing(response: Response) -> Response:
    """What is no static file is another answer each time."""
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


@app.get("/")
def page() -> str:
    return render_template("page.html", place=place(request), client=request.remote_addr)


@app.get("/healthz")
def healthz() -> Response:
    return jsonify(status="ok")


@app.route("/whoami", methods=["GET", "POST"])
def whoami() -> Response:
    return jsonify(
        **place(request),
        method=request.method,
        received=sum(len(chunk) for chunk in iter(lambda: request.stream.read(CHUNK), b"")),
        client=request.remote_addr,
        scheme=request.scheme,
        forwarded_for=request.headers.get("X-Forwarded-For"),
        load_balancer=request.headers.get("X-Load-Balancer"),
    )


@app.get("/slow")
def slow() -> Response:
    """Takes `seconds`, 2 unless told. A thread of the worker waits along."""
    try:
        seconds = float(request.args.get("seconds", "2"))
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:  # nor is NaN
        abort(400, "seconds must be a number from 0")
    seconds = min(seconds, LONGEST)
    time.sleep(seconds)
    return jsonify(**place(request), seconds=seconds)


@app.get("/form")
def form() -> str:
    return render_template("form.html")


@app.post("/form")
def received() -> Response | str:
    """What arrived: as a page for a browser, as JSON for anybody else."""
    request.max_content_length = MAX_FORM
    text = request.form.get("text", "")
    # A browser sends one without a name where none was chosen.
    files = [told(file) for file in request.files.getlist("file") if file.filename]
    if "text/html" not in request.headers.get("Accept", ""):
        return jsonify(text=text, files=files)
    return render_template("form.html", received=True, text=text, files=files)


def told(file: FileStorage) -> dict[str, object]:
    digest = hashlib.file_digest(file.stream, "sha256").hexdigest()  # type: ignore[arg-type]
    return {"name": file.filename, "size": file.stream.tell(), "sha256": digest}
