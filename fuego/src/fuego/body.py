"""Bodies: bounded, in memory while they are small, then in a file."""

from collections.abc import Iterator
from typing import IO

from .errors import HTTPError
from .headers import Headers

SPOOL = 1024 * 1024  # bytes kept in memory
CHUNK = 64 * 1024

Content = bytes | IO[bytes]


def too_large(limit: int) -> HTTPError:
    return HTTPError(413, f"the body is larger than {limit} bytes")


def announced_length(headers: Headers, limit: int) -> int | None:
    """None where no length is announced (no body, or chunks)."""
    text = headers.get("content-length", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise HTTPError(400, "Content-Length is not a number")
    # The count of digits first: int() refuses very long ones.
    if len(text) > 18 or int(text) > limit:
        raise too_large(limit)
    return int(text)


def chunks_of(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    content.seek(0)
    while chunk := content.read(CHUNK):
        yield chunk


class Collector:
    """Takes a body in chunks, bounded by whoever reads them. A file that `content` gives is to
    be closed."""

    __slots__ = ("_chunks", "_file", "size")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._file: IO[bytes] | None = None
        self.size = 0

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self._file is not None:
            self._file.write(chunk)
            return
        self._chunks.append(chunk)
        if self.size > SPOOL:
            import tempfile

            self._file = tempfile.TemporaryFile()  # noqa: SIM115
            self._file.writelines(self._chunks)
            self._chunks.clear()

    def content(self) -> Content:
        return b"".join(self._chunks) if self._file is None else self._file

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
