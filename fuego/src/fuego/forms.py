"""Forms: fields, and files that go to disk past a limit."""

import os
import tempfile
from collections.abc import Iterable
from functools import partial
from typing import IO, cast
from urllib.parse import parse_qsl

from .body import SPOOL, chunks_of
from .errors import HTTPError, MissingExtraError
from .multidict import MultiDict
from .request import Request

MAX_FIELDS = 1000
MAX_FIELD = 1024 * 1024  # bytes of a field that is not a file


class Upload:
    """A file of a form. `filename` is what the client calls it: never use it as a path."""

    def __init__(self, name: str, filename: str, content_type: str) -> None:
        self.name = name
        self.filename = filename
        self.content_type = content_type
        self.size = 0
        self.file = cast("IO[bytes]", tempfile.SpooledTemporaryFile(SPOOL))  # noqa: SIM115

    def __repr__(self) -> str:
        return f"<Upload {self.name}: {self.filename!r}, {self.size} bytes>"

    def _fill(self, parts: Iterable[bytes]) -> None:
        for part in parts:
            self.size += self.file.write(part)
        self.file.seek(0)

    def read(self) -> bytes:
        self.file.seek(0)
        return self.file.read()

    def save(self, path: str | os.PathLike[str]) -> None:
        from shutil import copyfileobj

        self.file.seek(0)
        with open(path, "wb") as target:
            copyfileobj(self.file, target)


class Form(MultiDict):
    """The fields; `files` has the uploads, `file(name)` the first of a name."""

    __slots__ = ("files",)

    def __init__(self, fields: list[tuple[str, str]], files: list[Upload]) -> None:
        super().__init__(fields)
        self.files = files

    def file(self, name: str) -> Upload | None:
        return next((upload for upload in self.files if upload.name == name), None)

    def close(self) -> None:
        for upload in self.files:
            upload.file.close()


def parse(request: Request) -> Form:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(request)
    if kind == "multipart/form-data":
        return _multipart(request)
    raise HTTPError(400, "the body is not a form")


def _urlencoded(request: Request) -> Form:
    try:
        text = request.body.decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise HTTPError(400, "the form has too many fields, or is not UTF-8") from None
    return Form(pairs, [])


def _multipart(request: Request) -> Form:
    try:
        import multipart
    except ImportError:
        raise MissingExtraError("a form with files", "forms") from None
    _, options = multipart.parse_options_header(request.headers["content-type"])
    boundary = options.get("boundary", "")
    if not boundary.isascii() or not 0 < len(boundary) <= 70:
        raise HTTPError(400, "the form has no boundary")
    fields: list[tuple[str, str]] = []
    files: list[Upload] = []
    try:
        with multipart.PushMultipartParser(boundary, max_segment_count=MAX_FIELDS) as parser:
            chunks = chunks_of(request.content)
            events = (event for chunk in chunks for event in parser.parse(chunk))
            for segment in events:
                parts = iter(partial(next, events), None)  # None ends the segment
                if segment.filename is None:
                    fields.append((segment.name, _text(segment.name, parts)))
                else:
                    kind = segment.content_type or "application/octet-stream"
                    files.append(Upload(segment.name, segment.filename, kind))
                    files[-1]._fill(parts)
    except BaseException as error:
        Form([], files).close()
        if isinstance(error, multipart.MultipartError):
            raise HTTPError(400, f"the form cannot be read: {error}") from None
        raise
    return Form(fields, files)


def _text(name: str, parts: Iterable[bytes]) -> str:
    value = bytearray()
    for part in parts:
        value += part
        if len(value) > MAX_FIELD:
            raise HTTPError(413, f"field {name!r} is longer than {MAX_FIELD} bytes")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise HTTPError(400, f"field {name!r} is not UTF-8") from None
