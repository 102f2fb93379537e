"""Microseconds a call, without a server: Fuego over the bare callable, many routes over few, and
what the import costs. Run from the folder of the package: python bench/inprocess.py [--json]
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from fuego import Fuego, Request  # noqa: E402

CALLS = 20_000
ROUNDS = 7

ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/items/7",
    "QUERY_STRING": "",
    "REMOTE_ADDR": "127.0.0.1",
    "wsgi.url_scheme": "http",
    "HTTP_HOST": "localhost",
    "HTTP_ACCEPT": "*/*",
}
SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "GET",
    "path": "/items/7",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"localhost"), (b"user-agent", b"wrk"), (b"accept", b"*/*")],
}


def bare_wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    body = json.dumps({"id": int(environ["PATH_INFO"].rpartition("/")[2])}).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]


async def bare_asgi(scope: Any, receive: Any, send: Any) -> None:
    body = json.dumps({"id": int(scope["path"].rpartition("/")[2])}).encode()
    length = str(len(body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def app_with(routes: int) -> Fuego:
    """The route that is measured comes last; the others stand in its way as well as they can."""
    app = Fuego()

    def sync_handler(request: Request, **values: Any) -> dict[str, Any]:
        return values

    for number in range(routes - 2):
        app.get(f"/items/{{id:int}}/{number}" if number % 2 else f"/other{number}/{{id}}")(
            sync_handler
        )

    @app.get("/items/{id:int}")
    async def item(request: Request, id: int) -> dict[str, int]:
        return {"id": id}

    return app


def sync_app(routes: int) -> Fuego:
    app = app_with(routes)
    sync = Fuego()
    for _, path, _ in app.routes():
        sync.get(path)(lambda request, id: {"id": id})
    return sync


async def send(message: Any) -> None:
    pass


def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
    pass


def time_wsgi(app: Callable[..., Any]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        for _ in app(ENVIRON, start_response):
            pass
    return (time.perf_counter() - started) / CALLS * 1e6


def time_asgi(app: Callable[..., Coroutine[Any, Any, None]]) -> float:
    async def calls() -> float:
        started = time.perf_counter()
        for _ in range(CALLS):
            await app(SCOPE, send, send)
        return (time.perf_counter() - started) / CALLS * 1e6

    return asyncio.run(calls())


IMPORT = """
import resource, sys, time
def size():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
before, started = size(), time.perf_counter()
import fuego
print((time.perf_counter() - started) * 1000, size() - before)
"""


def import_cost() -> tuple[float, float]:
    """Milliseconds and MB, the least of ten."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", IMPORT],
            env={"PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(10)
    ]
    return min(float(run[0]) for run in runs), min(float(run[1]) for run in runs)


def main() -> None:
    cases: dict[str, tuple[Callable[[Any], float], Any]] = {
        "bare WSGI": (time_wsgi, bare_wsgi),
        "Fuego WSGI, 10 routes": (time_wsgi, sync_app(10).wsgi),
        "Fuego WSGI, 1,000 routes": (time_wsgi, sync_app(1000).wsgi),
        "bare ASGI": (time_asgi, bare_asgi),
        "Fuego ASGI, 10 routes": (time_asgi, app_with(10).asgi),
        "Fuego ASGI, 1,000 routes": (time_asgi, app_with(1000).asgi),
    }
    best = dict.fromkeys(cases, float("inf"))
    for _ in range(ROUNDS):
        for name, (measure, app) in cases.items():
            best[name] = min(best[name], measure(app))
    milliseconds, megabytes = import_cost()
    if "--json" in sys.argv[1:]:
        imported = {"import milliseconds": milliseconds, "import MB": megabytes}
        print(json.dumps({"microseconds": best, **imported}))
        return
    for name, microseconds in best.items():
        print(f"{name:28}{microseconds:8.2f} µs")
    print(f"{'import fuego':28}{milliseconds:8.1f} ms{megabytes:8.1f} MB")


if __name__ == "__main__":
    main()
