"""Whatever comes in: never a 500, never out of the folder, never two headers made of one."""

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuego import Fuego, Request, Response, cookies
from fuego.headers import ResponseHeaders
from fuego.testing import TestClient
from fuego.testing_form import multipart

FOLDER = Path(tempfile.mkdtemp(prefix="fuego-test-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
(FOLDER / "static" / "sub").mkdir(parents=True)
(FOLDER / "static" / "a.txt").write_bytes(bytes(range(100)))
(FOLDER / "static" / "sub" / "b.txt").write_text("b")
(FOLDER / "secret").write_text("secret")

app = Fuego(max_body=100_000)
app.static("/static", FOLDER / "static")


@app.post("/form")
def form(request: Request) -> dict[str, Any]:
    found = request.form()
    files = [[file.name, file.filename, file.read().hex()] for file in found.files]
    return {"fields": found.pairs(), "files": files}


@app.get("/echo")
def echo(request: Request) -> dict[str, Any]:
    return {
        "query": request.query.pairs(),
        "cookies": request.cookies,
        "header": request.headers.get("x-value"),
        "client": request.client,
        "scheme": request.scheme,
        "id": request.id,
    }


@app.get("/int/{n:int}")
@app.get("/float/{n:float}")
@app.get("/uuid/{n:uuid}")
@app.get("/str/{n}")
@app.get("/path/{n:path}")
def typed(request: Request, n: Any) -> dict[str, Any]:
    return {"n": str(n)}


@app.post("/json")
def as_json(request: Request) -> Any:
    request.json()


CLIENTS = [TestClient(app, "wsgi"), TestClient(app, "asgi")]
LATIN = st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f")
VALUES = st.text(LATIN, max_size=60)
TARGETS = st.text(st.sampled_from("/.%ab2eEfF5cC0{}:;?#=&+~ \\é\x00"), max_size=40)

# A deadline would measure the machine.
quick = settings(deadline=None, max_examples=150)


def statuses(target: str, method: str = "GET", **options: Any) -> set[int]:
    found = {client.request(method, target, **options).status for client in CLIENTS}
    assert max(found) < 500
    return found


def latin(text: str) -> str:
    return text.encode().decode("latin-1")


@quick
@given(st.sampled_from(["/", "/static/", "/int/", "/float/", "/uuid/", "/str/"]), TARGETS)
def test_any_path(start: str, rest: str) -> None:
    statuses(latin(start + rest))


@quick
@given(
    st.lists(
        st.sampled_from(["..", ".", "a.txt", "sub", "b.txt", "secret", "", "%2e%2e", "%2f", "\\"]),
        max_size=8,
    )
)
def test_nothing_leaves_the_folder(parts: list[str]) -> None:
    for client in CLIENTS:
        response = client.get("/static/" + "/".join(parts))
        assert response.status in (200, 404)
        assert b"secret" not in response.body


@quick
@given(st.lists(st.text("ab1", min_size=1, max_size=3), min_size=1, max_size=5), st.data())
def test_a_url_finds_its_route(names: list[str], data: st.DataObject) -> None:
    """Each parameter is what it was, whatever text it holds."""
    routed = Fuego()
    pattern = "".join(f"/{name}/{{p{number}}}" for number, name in enumerate(names))
    routed.get(pattern, name="route")(lambda request, **values: values)
    text = st.text(st.characters(exclude_characters="/", codec="utf-8"), min_size=1, max_size=9)
    values = {f"p{number}": data.draw(text) for number in range(len(names))}
    for protocol in ("wsgi", "asgi"):
        client = TestClient(routed, protocol)
        assert client.get(routed.url_for("route", **values)).json() == values


@quick
@given(VALUES, VALUES, VALUES, VALUES)
def test_any_header(value: str, cookie: str, forwarded: str, query: str) -> None:
    headers = {
        "X-Value": value,
        "Cookie": cookie,
        "X-Forwarded-For": forwarded,
        "X-Request-ID": value,
        "Accept": value,
    }
    assert statuses(f"/echo?{query}", headers=headers) == {200}
    assert statuses("/none", headers=headers) == {404}


@quick
@given(st.one_of(VALUES, st.from_regex(r"\Abytes=[0-9]{0,3}-[0-9]{0,3}(,[0-9]-)?\Z")), VALUES)
def test_any_range(field: str, condition: str) -> None:
    content = bytes(range(100))
    for client in CLIENTS:
        headers = {"Range": field, "If-Range": "", "If-None-Match": condition}
        response = client.get("/static/a.txt", headers=headers)
        assert response.status in (200, 206, 304, 416)
        if response.status == 206:
            assert response.body in content
            first = int(response.headers["content-range"].split()[1].partition("-")[0])
            assert content[first:].startswith(response.body)
    names = ("If-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range")
    assert statuses("/static/a.txt", headers=dict.fromkeys(names, field)) <= {
        200,
        206,
        304,
        412,
        416,
    }


@quick
@given(st.binary(max_size=300), st.text(LATIN, max_size=20))
def test_any_body(body: bytes, boundary: str) -> None:
    pytest.importorskip("multipart")
    for kind in (
        f"multipart/form-data; boundary={boundary}",
        "multipart/form-data; boundary=b",
        "application/x-www-form-urlencoded",
    ):
        for content in (body, b"--b\r\n" + body + b"\r\n--b--\r\n"):
            headers = {"Content-Type": kind}
            assert statuses("/form", "POST", body=content, headers=headers) <= {200, 400}
    assert statuses("/json", "POST", body=body) <= {204, 400}


FIELDS = st.dictionaries(st.text("abc", min_size=1, max_size=5), st.text(max_size=30), max_size=4)
FILES = st.dictionaries(st.text("xyz", min_size=1, max_size=5), st.binary(max_size=90), max_size=3)


@quick
@given(FIELDS, FILES)
def test_a_form_is_read_as_it_was_written(fields: dict[str, str], files: dict[str, bytes]) -> None:
    pytest.importorskip("multipart")
    sent = {name: (f"{name}.bin", content, "a/b") for name, content in files.items()}
    body, kind = multipart(fields, sent)
    for client in CLIENTS:
        got = client.post("/form", body=body, headers={"Content-Type": kind}).json()
        assert dict(got["fields"]) == fields
        assert {name: bytes.fromhex(data) for name, _, data in got["files"]} == files


@quick
@given(st.text(max_size=20), st.text(max_size=20))
def test_one_header_stays_one(name: str, value: str) -> None:
    headers = ResponseHeaders([])
    try:
        headers[name] = value
    except ValueError:
        return
    [(sent_name, sent_value)] = headers.pairs
    assert not set(sent_name + sent_value) & set("\r\n\0")


@quick
@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(["/", "/a;b", "\r\n"]))
def test_a_cookie_comes_back_as_it_was_set(name: str, value: str, path: str) -> None:
    response = Response("")
    try:
        response.set_cookie(name, value, path=path)
    except ValueError:
        return
    pair = response.headers["set-cookie"].partition(";")[0]
    assert cookies.parse(pair) == {name: value}


@quick
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]),
    st.sampled_from(["/echo", "/form", "/json", "/static/a.txt", "/none", "/int/1"]),
)
def test_any_method(method: Literal["GET"], path: str) -> None:
    assert statuses(path, method) <= {200, 204, 400, 404, 405}
