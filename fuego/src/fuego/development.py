"""A server for the developer's own machine, and a restart when a file changes."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Literal
from wsgiref import simple_server
from wsgiref.util import is_hop_by_hop

from .app import Fuego
from .errors import MissingExtraError
from .wsgi import Environ, StartResponse, WSGIApp

CHILD = "FUEGO_RELOADED"
POLL = 0.3  # seconds between two looks at the files

Files = dict[Path, int]


class Server(ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """As the parent does, without its reverse look-up of the host's name, which can hang."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()[:2]
        self.setup_environ()


class ServerIPv6(Server):
    address_family = socket.AF_INET6


def make_server(app: WSGIApp, host: str, port: int) -> Server:
    def end_to_end(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Leaves out what concerns the connection alone, such as the Upgrade of a 426: wsgiref
        would fail on it."""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> object:
            kept = [(name, value) for name, value in headers if not is_hop_by_hop(name)]
            return start_response(status, kept, exc_info)

        return app(environ, start)

    kind = ServerIPv6 if ":" in host else Server
    return simple_server.make_server(host, port, end_to_end, kind)


def run(
    app: Fuego, host: str, port: int, *, reload: bool, protocol: Literal["wsgi", "asgi"]
) -> None:
    if reload and CHILD not in os.environ:
        raise SystemExit(supervise([sys.executable, *sys.orig_argv[1:]]))
    if protocol == "asgi":
        try:
            import uvicorn
        except ImportError:
            raise MissingExtraError("protocol='asgi'", "asgi") from None
        uvicorn.run(app.asgi, host=host, port=port)
        return
    with make_server(app.wsgi, host, port) as server:
        shown = f"[{host}]" if ":" in host else host
        print(f"Fuego serves http://{shown}:{server.server_port}/ (Ctrl-C ends it)", flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def supervise(command: list[str]) -> int:
    """Runs the command, again after each change. A child that fails is not the end: the next
    change, most likely its mend, starts it again."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        while True:
            files = watched()
            child = subprocess.Popen(command, env={**os.environ, CHILD: "1"})
            try:
                if not changed(files, child):
                    return child.returncode
            finally:
                child.terminate()
                child.wait()
            print("Fuego restarts: a file changed", flush=True)
    except KeyboardInterrupt:
        return 0


def changed(files: Files, child: subprocess.Popen[bytes]) -> bool:
    """Waits: True once a file differs, False once the child has ended of its own accord."""
    while watched() == files:
        if child.poll() == 0:
            return False
        time.sleep(POLL)
    return True


def watched() -> Files:
    """When the files of the app were last written: those below the main script's folder, and
    the modules loaded from anywhere but the interpreter and its packages."""
    main = Path(sys.argv[0]).resolve().parent
    found = {path for path in main.rglob("*.py") if not _hidden(path.relative_to(main))}
    installed = tuple(sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib"))
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and not file.startswith(installed):
            found.add(Path(file))
    files: Files = {}
    for path in found:
        with suppress(OSError):  # removed since, or never a file
            files[path] = path.stat().st_mtime_ns
    return files


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
