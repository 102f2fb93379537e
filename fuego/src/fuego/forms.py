"""Forms: fields, and files that go to disk past a limit."""

import tempfile
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl

from .body import SPOOL, chunks_of
from .errors import HTTPError, MissingExtraError
from .multidict import MultiDict

if TYPE_CHECKING:
    import os

    from multipart import MultipartSegment

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

    def read(self) -> bytes:
        self.file.seek(0)
        return self.file.read()

    def save(self, path: "str | os.PathLike[str]") -> None:
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


def parse(request: "Request") -> Form:
    kind, _, _ = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return _urlencoded(request)
    if kind == "multipart/form-data":
        return _multipart(request)
    raise HTTPError(400, "the body is not a form")


def _urlencoded(request: "Request") -> Form:
    try:
        pairs = parse_qsl(
            request.body.decode(),
            keep_blank_values=True,
            max_num_fields=MAX_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise HTTPError(400, "the form has too many fields, or is not UTF-8") from None
    return Form(pairs, [])


def _multipart(request: "Request") -> Form:
    try:
        import multipart
    except ImportError:
        raise MissingExtraError("a form with files", "forms") from None
    _, options = multipart.parse_options_header(request.headers["content-type"])
    boundary = options.get("boundary", "")
    fields: list[tuple[str, str]] = []
    files: list[Upload] = []
    try:
        if not boundary.isascii() or not 0 < len(boundary) <= 70:
            raise HTTPError(400, "the form has no boundary")
        with multipart.PushMultipartParser(boundary, max_segment_count=MAX_FIELDS) as parser:
            reader = _Reader(fields, files)
            for chunk in chunks_of(request.content):
                for event in parser.parse(chunk):
                    reader.take(event)
    except multipart.MultipartError as error:
        _close(files)
        raise HTTPError(400, f"the form cannot be read: {error}") from None
    except HTTPError:
        _close(files)
        raise
    return Form(fields, files)


class _Reader:
    """Takes what the parser tells: a segment begins, some of its bytes, it ends."""

    def __init__(self, fields: list[tuple[str, str]], files: list[Upload]) -> None:
        self._fields = fields
        self._files = files
        self._segment: MultipartSegment
        self._upload: Upload | None = None
        self._value = bytearray()

    def take(self, event: Any) -> None:
        if event is None:
            self._end()
        elif isinstance(event, bytes | bytearray):
            self._add(event)
        else:
            self._begin(event)

    def _begin(self, segment: "MultipartSegment") -> None:
        self._segment = segment
        self._value.clear()
        self._upload = None
        if segment.filename is not None:
            kind = segment.content_type or "application/octet-stream"
            self._upload = Upload(segment.name, segment.filename, kind)
            self._files.append(self._upload)

    def _add(self, data: bytes | bytearray) -> None:
        if self._upload is not None:
            self._upload.file.write(data)
            self._upload.size += len(data)
            return
        self._value += data
        if len(self._value) > MAX_FIELD:
            raise HTTPError(413, f"field {self._segment.name!r} is longer than {MAX_FIELD} bytes")

    def _end(self) -> None:
        if self._upload is not None:
            self._upload.file.seek(0)
            return
        try:
            self._fields.append((self._segment.name, self._value.decode()))
        except UnicodeDecodeError:
            raise HTTPError(400, f"field {self._segment.name!r} is not UTF-8") from None


def _close(files: list[Upload]) -> None:
    for upload in files:
        upload.file.close()
