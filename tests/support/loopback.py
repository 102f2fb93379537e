"""Apps on loopback, each a real HTTP server."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from typing import Any

STATUSES = {"/healthz": 200, "/teapot": 418}


class App(http.server.BaseHTTPRequestHandler):
    """Answers 200 on /healthz, 418 on /teapot, 200 on /slow when it may, and 500 elsewhere."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    port: str
    seen: list[str]
    go: threading.Event
    slow: threading.Event
    gone: threading.Event

    def do_GET(self) -> None:
        if self.gone.is_set():
            self.close_connection = True
            return
        self.seen.append(self.headers["Host"])
        if self.path == "/slow":
            self.slow.set()
            self.go.wait(20)
        body = self.port.encode()
        self.send_response(STATUSES.get(self.path, 200 if self.path == "/slow" else 500))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


class Running:
    """An app that listens: its port, the hosts it was asked for, and what releases /slow."""

    def __init__(self, port: int, app: type[App]) -> None:
        self.port = port
        self.seen, self.go, self.slow = app.seen, app.go, app.slow


@contextlib.contextmanager
def app(host: str = "127.0.0.1", port: int = 0) -> Iterator[Running]:
    class Fresh(App):
        seen: list[str] = []  # noqa: RUF012
        go = threading.Event()
        slow = threading.Event()
        gone = threading.Event()

    with http.server.ThreadingHTTPServer((host, port), Fresh) as server:
        Fresh.port = str(server.server_port)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield Running(server.server_port, Fresh)
        finally:
            Fresh.go.set()
            Fresh.gone.set()  # on connections that are kept, too
            server.shutdown()
            thread.join()
