import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from fuego import Fuego, Request, Upload, body, forms
from fuego.testing import TestClient
from fuego.testing_form import multipart

pytest.importorskip("multipart")


@pytest.fixture
def app() -> Fuego:
    app = Fuego(max_body=5_000_000)

    @app.post("/")
    def handler(request: Request) -> dict[str, Any]:
        form = request.form()
        assert form is request.form()
        return {
            "fields": form.pairs(),
            "files": [
                [file.name, file.filename, file.content_type, file.size, len(file.read())]
                for file in form.files
            ],
            "raw": len(request.body),
        }

    return app


def test_urlencoded(client: TestClient) -> None:
    got = client.post("/", form={"a": "1 é", "b": ""}).json()
    assert got["fields"] == [["a", "1 é"], ["b", ""]]


@pytest.mark.parametrize("size", [0, 10, 2_000_000])
def test_multipart(client: TestClient, size: int) -> None:
    files = {"f": ("é.txt", b"x" * size, "text/plain")}
    got = client.post("/", form={"a": "é"}, files=files).json()
    assert got["fields"] == [["a", "é"]]
    assert got["files"] == [["f", "é.txt", "text/plain", size, size]]
    assert got["raw"] > size


def test_large_bodies_and_uploads_are_files_and_closed(
    app: Fuego, client: TestClient, tmp_path: Path
) -> None:
    seen: list[Any] = []

    @app.post("/save")
    async def save(request: Request) -> str:
        form = request.form()
        upload = form.file("f")
        assert isinstance(upload, Upload)
        assert form.file("g") is None
        assert repr(upload) == "<Upload f: 'n', 2000000 bytes>"
        upload.save(tmp_path / "saved")
        seen.extend([request.content, upload.file])
        return "saved"

    client.post("/save", files={"f": ("n", b"x" * 2_000_000, "a/b")})
    assert (tmp_path / "saved").stat().st_size == 2_000_000
    assert [file.closed for file in seen] == [True, True]


def test_a_large_body_that_is_refused_leaves_no_file(client: TestClient) -> None:
    chunked = {"Transfer-Encoding": "chunked"}
    assert client.post("/", body=b"x" * 5_000_001, headers=chunked).status == 413


def test_a_large_form_does_not_hold_up_the_loop(
    app: Fuego, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[str] = []
    parse = forms.parse

    def watched(request: Request) -> forms.Form:
        where.append(threading.current_thread().name)
        return parse(request)

    async def size(request: Request) -> str:
        return str(sum(file.size for file in request.form().files))

    async def raw(request: Request) -> str:
        return str(len(request.body))

    monkeypatch.setattr(forms, "parse", watched)
    app.post("/async")(size)
    app.post("/raw")(raw)
    inner = Fuego()
    inner.post("/")(raw)
    app.mount("/mounted", inner)
    large = {"f": ("n", b"x" * 2_000_000, "a/b")}
    assert client.post("/async", files=large).text == "2000000"
    assert client.post("/", files=large).status == 200
    assert len(where) == 2
    assert "fuego-loop" not in where
    assert client.post("/async", files={"f": ("n", b"x", "a/b")}).text == "1"
    assert where.pop() == "fuego-loop"  # a small one is parsed as soon as in a thread
    where.clear()
    content, kind = multipart({}, large)
    cut, headers = content[:-20], {"Content-Type": kind}
    assert client.post("/async", body=cut, headers=headers).status == 400
    assert client.post("/raw", body=cut, headers=headers).text == str(len(cut))
    assert len(where) == 2
    assert client.post("/raw", body=cut).text == str(len(cut))
    assert client.post("/mounted/", body=cut, headers=headers).status == 200
    assert len(where) == 3  # that of the mounted app, not the outer one's
    monkeypatch.setitem(sys.modules, "multipart", None)
    assert client.post("/raw", files=large).status == 200
    assert client.post("/async", files=large).status == 500


def multipart_with(head: str, content: bytes = b"x") -> bytes:
    return b"--b\r\n" + head.encode("latin-1") + b"\r\n\r\n" + content + b"\r\n--b--\r\n"


FIELD = 'Content-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("text/plain", b"a=1", 400),
        ("", b"a=1", 400),
        ("application/x-www-form-urlencoded", b"a=%FF", 400),
        ("application/x-www-form-urlencoded", b"\xff", 400),
        ("application/x-www-form-urlencoded", b"a=1&" * 1001, 400),
        ("multipart/form-data", b"", 400),
        ("multipart/form-data; boundary=é", b"", 400),
        ("multipart/form-data; boundary=" + "b" * 71, b"", 400),
        ("multipart/form-data; boundary=b", b"", 400),
        ("multipart/form-data; boundary=b", multipart_with(FIELD)[:-8], 400),
        ("multipart/form-data; boundary=b", multipart_with("X: y"), 400),
        ("multipart/form-data; boundary=b", multipart_with(FIELD, b"\xff"), 400),
        ("multipart/form-data; boundary=b", multipart_with(FIELD, b"x" * 1_100_000), 413),
        ("multipart/form-data; boundary=b", multipart_with(FIELD + '; filename="f"')[:-9], 400),
        ("multipart/form-data; boundary=b", multipart_with(FIELD), 200),
    ],
)
def test_what_is_no_form(client: TestClient, kind: str, content: bytes, status: int) -> None:
    header = kind.encode().decode("latin-1")
    headers = {"Content-Type": header} if header else {}
    assert client.post("/", body=content, headers=headers).status == status


def test_too_many_parts(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MAX_FIELDS", 2)
    assert client.post("/", form=dict.fromkeys("ab", ""), files={}).status == 200
    assert client.post("/", form=dict.fromkeys("abc", ""), files={}).status == 400


def test_the_missing_parser_is_named(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "multipart", None)
    assert client.post("/", files={}).status == 500
    assert "pip install 'fuego-web[forms]'" in caplog.text
    assert client.post("/", form={"a": "1"}).status == 200


def test_collector_discards_what_it_has() -> None:
    collector = body.Collector()
    collector.add(b"x" * 2_000_000)
    collector.add(b"y")
    content = collector.content()
    assert not isinstance(content, bytes)
    collector.discard()
    assert content.closed


def test_multipart_helper() -> None:
    content, kind = multipart({"a": "1"}, {})
    assert kind.startswith("multipart/form-data; boundary=")
    assert content.endswith(b"--\r\n")
