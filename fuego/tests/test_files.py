"""Files, ranges, conditions and static folders."""

import os
from pathlib import Path

import pytest

from fuego import FileResponse, Fuego, Request
from fuego import files as files_module
from fuego.testing import TestClient

TIME = 1_700_000_000
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
LATER = "Wed, 15 Nov 2023 22:13:20 GMT"
EARLIER = "Mon, 13 Nov 2023 22:13:20 GMT"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "static"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "static-not").mkdir()
    (tmp_path / "static-not" / "secret.txt").write_text("secret")
    (folder / "a.txt").write_text("0123456789")
    (folder / "empty.bin").write_text("")
    (folder / "page.js").write_text("1")
    (folder / "a.tar.gz").write_text("z")
    (folder / ".hidden").write_text("secret")
    (folder / "sub" / "b.html").write_text("<p>")
    (folder / "link").symlink_to(tmp_path / "secret.txt")
    (folder / "loop").symlink_to(folder / "loop")
    os.utime(folder / "a.txt", (TIME, TIME))
    return folder


@pytest.fixture
def app(folder: Path) -> Fuego:
    app = Fuego()
    app.static("/static", folder)
    app.get("/download")(lambda request: FileResponse(folder / "a.txt", download='a "é".txt'))
    app.get("/typed")(lambda request: FileResponse(folder / "a.txt", content_type="a/b"))
    app.get("/headed")(
        lambda request: FileResponse(folder / "a.txt", headers={"Content-Type": "c/d"})
    )
    return app


def etag(client: TestClient) -> str:
    return client.get("/static/a.txt").headers["etag"]


def test_a_file(client: TestClient) -> None:
    response = client.get("/static/a.txt")
    assert (response.status, response.text) == (200, "0123456789")
    headers = response.headers
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert (headers["content-length"], headers["accept-ranges"]) == ("10", "bytes")
    assert headers["last-modified"] == DATE
    head = client.head("/static/a.txt")
    assert (head.body, head.headers["content-length"]) == (b"", "10")
    assert client.get("/static/empty.bin").body == b""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/static/sub/b.html", "text/html; charset=utf-8"),
        ("/static/page.js", "text/javascript; charset=utf-8"),
        ("/static/a.tar.gz", "application/octet-stream"),
        ("/typed", "a/b"),
        ("/headed", "c/d"),
    ],
)
def test_content_types(client: TestClient, path: str, kind: str) -> None:
    assert client.get(path).headers["content-type"] == kind


def test_download(client: TestClient) -> None:
    disposition = client.get("/download").headers["content-disposition"]
    assert disposition == "attachment; filename*=UTF-8''a%20%22%C3%A9%22.txt"


@pytest.mark.parametrize(
    ("field", "status", "body", "content_range"),
    [
        ("bytes=0-3", 206, "0123", "bytes 0-3/10"),
        ("bytes=8-", 206, "89", "bytes 8-9/10"),
        ("bytes=8-99", 206, "89", "bytes 8-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=-99", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=3-1", 200, "0123456789", None),
        ("bytes=-", 200, "0123456789", None),
        ("bytes=0-1,3-4", 200, "0123456789", None),
        ("lines=0-1", 200, "0123456789", None),
        ("bytes=x-", 200, "0123456789", None),
    ],
)
def test_ranges(
    client: TestClient, field: str, status: int, body: str | None, content_range: str | None
) -> None:
    response = client.get("/static/a.txt", headers={"Range": field})
    assert (response.status, response.headers.get("content-range")) == (status, content_range)
    if body is not None:
        assert response.text == body
        assert response.headers["content-length"] == str(len(body))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "{etag}"}, 304),
        ({"If-None-Match": 'W/{etag}, "x"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"', "If-Modified-Since": DATE}, 200),
        ({"If-Modified-Since": DATE}, 304),
        ({"If-Modified-Since": LATER}, 304),
        ({"If-Modified-Since": EARLIER}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Modified-Since": "Tue, 14 Nov 99999 22:13:20 GMT"}, 200),
        ({"If-Match": "{etag}"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": "W/{etag}"}, 412),
        ({"If-Match": '"x"'}, 412),
        ({"If-Unmodified-Since": DATE}, 200),
        ({"If-Unmodified-Since": EARLIER}, 412),
        ({"If-Unmodified-Since": "never"}, 200),
        ({"Range": "bytes=0-0", "If-Range": "{etag}"}, 206),
        ({"Range": "bytes=0-0", "If-Range": DATE}, 206),
        ({"Range": "bytes=0-0", "If-Range": '"x"'}, 200),
        ({"Range": "bytes=0-0", "If-None-Match": "{etag}"}, 304),
    ],
)
def test_conditions(client: TestClient, headers: dict[str, str], status: int) -> None:
    tag = etag(client)
    filled = {name: value.replace("{etag}", tag) for name, value in headers.items()}
    response = client.get("/static/a.txt", headers=filled)
    assert response.status == status
    if status == 304:
        assert (response.body, response.headers["etag"]) == (b"", tag)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "sub/../../secret.txt",
        "..%2fsecret.txt",
        "..%5csecret.txt",
        "../static-not/secret.txt",
        "/etc/passwd",
        "%2Fetc/passwd",
        "link",
        "loop",
        ".hidden",
        "sub/",
        "sub",
        "none",
        "a.txt%00",
        "a.txt/b",
        "a" * 5000,
        "%ff",
        "",
    ],
)
def test_nothing_leaves_the_folder(client: TestClient, path: str) -> None:
    response = client.get(f"/static/{path}")
    assert (response.status, "secret" in response.text) == (404, False)


def test_the_folder_must_be_there(app: Fuego, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not there"):
        app.static("/other", tmp_path / "none")


def test_a_file_as_an_error_page(app: Fuego, client: TestClient, folder: Path) -> None:
    @app.error(404)
    def missing(request: Request, error: Exception) -> FileResponse:
        response = FileResponse(folder / "sub" / "b.html")
        response.status = 404
        return response

    response = client.get("/none", headers={"Range": "bytes=0-0"})
    assert (response.status, response.text) == (404, "<p>")


def test_a_name_with_a_nul_is_not_there() -> None:
    with pytest.raises(Exception, match="404"):
        FileResponse("\0")


def test_a_file_that_shrinks_ends_the_connection(
    app: Fuego, client: TestClient, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/shrinking")
    def shrinking(request: Request) -> FileResponse:
        response = FileResponse(folder / "a.txt")
        response._length = 20
        return response

    with pytest.raises((OSError, ValueError), match=r"shorter|no end"):
        client.get("/shrinking")


def test_large_files_come_in_chunks(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "CHUNK", 4)
    assert client.get("/static/a.txt").chunks == [b"0123", b"4567", b"89"]
