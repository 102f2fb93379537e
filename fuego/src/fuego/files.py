"""Files: conditional requests, ranges, and folders that nothing outside of is served from."""

import mimetypes
import os
import re
import stat
from collections.abc import Callable, Iterator
from email.utils import formatdate, mktime_tz, parsedate_tz
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from .errors import HTTPError
from .headers import HeaderInput
from .request import Request
from .stream import StreamResponse

CHUNK = 256 * 1024

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class FileResponse(StreamResponse):
    """A file with ETag and Last-Modified; a request for what the client has is answered with 304,
    one for a range with 206. Where it is not there: 404.

    `download` is the name under which the client shall save it.
    """

    __slots__ = ("_first", "_modified", "path")

    negotiates: ClassVar[bool] = True
    _length: int

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        content_type: str | None = None,
        download: str | None = None,
        headers: HeaderInput = (),
    ) -> None:
        self.path = Path(path)
        try:
            found = self.path.stat()
        except (OSError, ValueError):  # ValueError: a NUL in the name
            raise HTTPError(404) from None
        if not stat.S_ISREG(found.st_mode):
            raise HTTPError(404)
        super().__init__((), 200, headers)
        self._first, self._length = 0, found.st_size
        self._modified = int(found.st_mtime)
        if content_type is not None:
            self.headers["content-type"] = content_type
        elif self.headers["content-type"] == self.content_type:
            self.headers["content-type"] = _guess(self.path.name)
        self.headers["etag"] = f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
        self.headers["last-modified"] = formatdate(self._modified, usegmt=True)
        self.headers["accept-ranges"] = "bytes"
        if download is not None:
            name = quote(download, safe="", errors="replace")
            self.headers["content-disposition"] = f"attachment; filename*=UTF-8''{name}"

    def negotiate(self, request: Request) -> None:
        """RFC 9110, section 13.2.2, in its order."""
        if self.status != 200:  # an error page made of a file
            self.chunks = self._read()
            return
        fields = request.headers
        if "if-match" in fields:
            if not _lists(fields["if-match"], self.headers["etag"], weak=False):
                raise HTTPError(412)
        elif "if-unmodified-since" in fields:
            since = _date(fields["if-unmodified-since"])
            if since is not None and self._modified > since:
                raise HTTPError(412)
        if request.method in ("GET", "HEAD") and self._is_known(request):
            self.status, self._length = 304, 0
            for name in ("content-type", "accept-ranges"):
                del self.headers[name]
            return
        same = (self.headers["etag"], self.headers["last-modified"])
        if request.method == "GET" and fields.get("if-range", "").strip() in ("", *same):
            self._take_range(fields.get("range", ""))
        self.chunks = self._read()

    def _is_known(self, request: Request) -> bool:
        fields = request.headers
        if "if-none-match" in fields:
            return _lists(fields["if-none-match"], self.headers["etag"], weak=True)
        since = _date(fields.get("if-modified-since", ""))
        return since is not None and self._modified <= since

    def _take_range(self, field: str) -> None:
        """One range; a list of them is answered with the whole, as is what we cannot read."""
        found = _RANGE.fullmatch(field.strip())
        if found is None or found.groups() == ("", ""):
            return
        size = self._length
        first, last = found.groups()
        if first:
            start, end = int(first), min(int(last), size - 1) if last else size - 1
            if last and int(last) < int(first):
                return
        else:
            start, end = max(size - int(last), 0), size - 1
        if start > end:
            raise HTTPError(416, headers={"Content-Range": f"bytes */{size}"})
        self.status = 206
        self._first, self._length = start, end - start + 1
        self.headers["content-range"] = f"bytes {start}-{end}/{size}"

    def _read(self) -> Iterator[bytes]:
        """No more than was announced, whatever became of the file since."""
        left = self._length
        with self.path.open("rb") as file:
            file.seek(self._first)
            while left > 0 and (chunk := file.read(min(CHUNK, left))):
                left -= len(chunk)
                yield chunk
        if left:
            raise OSError(f"{self.path} became shorter while it was sent")


def _guess(name: str) -> str:
    kind, encoding = mimetypes.guess_type(name)
    if encoding is not None or kind is None:
        return "application/octet-stream"
    text = kind.startswith("text/") or kind in ("application/json", "application/javascript")
    return f"{kind}; charset=utf-8" if text else kind


def _lists(field: str, etag: str, *, weak: bool) -> bool:
    """Whether If-Match or If-None-Match names the tag; a weak one counts for the latter only."""
    tags = [tag.strip() for tag in field.split(",")]
    if weak:
        tags = [tag.removeprefix("W/") for tag in tags]
    return tags == ["*"] or etag.removeprefix("W/" if weak else "") in tags


def _date(field: str) -> int | None:
    """Seconds since the epoch; None for what is not a date."""
    try:
        parsed = parsedate_tz(field)
        return None if parsed is None else int(mktime_tz(parsed))
    except (ValueError, OverflowError):
        return None


def within(folder: Path, path: str) -> Path:
    """The file at a path below a folder. 404 where it is hidden, or leads out of the folder, by
    dots, by a link or otherwise. `folder` is resolved already."""
    hidden = any(part.startswith(".") for part in path.split("/"))
    if hidden or "\0" in path or "\\" in path or path.startswith("/"):
        raise HTTPError(404)
    found = Path(os.path.realpath(folder / path))  # Path.resolve fails on a loop of links
    if not found.is_relative_to(folder):
        raise HTTPError(404)
    return found


def folder_handler(folder: str | os.PathLike[str]) -> Callable[..., Any]:
    root = Path(folder).resolve()
    if not root.is_dir():
        raise ValueError(f"static folder {str(folder)!r} is not there")

    def static(request: Request, path: str) -> FileResponse:
        return FileResponse(within(root, path))

    return static
