"""A server of the uwsgi protocol that answers with the variables it was sent."""

import contextlib
import json
import socketserver
import struct
import threading
from collections.abc import Iterator


class Echo(socketserver.StreamRequestHandler):
    """One request on each connection: 404 for /missing, 200 for all else."""

    def handle(self) -> None:
        _, size, _ = struct.unpack("<BHB", self.rfile.read(4))
        block = self.rfile.read(size)
        words = []
        while block:
            (length,) = struct.unpack("<H", block[:2])
            words.append(block[2 : 2 + length].decode("latin-1"))
            block = block[2 + length :]
        variables = dict(zip(words[::2], words[1::2], strict=True))
        status = "404 Not Found" if variables["PATH_INFO"] == "/missing" else "200 OK"
        body = json.dumps(variables).encode()
        self.wfile.write(
            f"HTTP/1.1 {status}\r\nX-Request-ID: the app's own\r\n\r\n".encode() + body
        )


class Server(socketserver.ThreadingTCPServer):
    """It ends its connections with the test."""

    allow_reuse_address = True
    daemon_threads = True


@contextlib.contextmanager
def running() -> Iterator[int]:
    """Serve on a port of its own, and say which."""
    with Server(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
