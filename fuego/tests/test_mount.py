"""Other apps below a prefix, over both protocols."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from fuego import Fuego, Request, WebSocket
from fuego.testing import TestClient


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    text = f"{environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']} {environ['PATH_INFO']} "
    text += f"{environ['QUERY_STRING']} {environ.get('HTTP_X_A')} "
    content = text.encode("latin-1") + body
    start_response("201 Created", [("Content-Length", str(len(content))), ("X-B", "b")])
    return [content]


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": scope["root_path"] + " " + scope["path"]})
        await send({"type": "websocket.close", "code": 1000, "reason": ""})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    headers = dict(scope["headers"])
    text = (
        f"{scope['method']} {scope['root_path']} {scope['path'].removeprefix(scope['root_path'])} "
    )
    text += f"{scope['query_string'].decode()} {headers.get(b'x-a', b'None').decode()} "
    content = text.encode() + body
    length = str(len(content)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [(b"content-length", length), (b"x-b", b"b")],
        }
    )
    half = len(content) // 2
    await send({"type": "http.response.body", "body": content[:half], "more_body": True})
    await send({"type": "http.response.body", "body": content[half:]})


APPS = {"wsgi": wsgi_app, "asgi": asgi_app}


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("size", [3, 1_500_000])
def test_mounted(client: TestClient, app: Fuego, kind: str, size: int) -> None:
    app = Fuego()
    app.group("/g").mount("/sub", APPS[kind])
    app.get("/g/sub/own")(lambda request: "own")
    client = TestClient(app, client.protocol)
    response = client.post("/g/sub/caf%C3%A9?q=1", body=b"x" * size, headers={"X-A": "a"})
    assert response.status == 201
    assert response.text == "POST /g/sub /café q=1 a " + "x" * size
    assert response.headers["content-length"] == str(len(response.body))
    assert response.headers["x-b"] == "b"
    assert client.get("/g/sub").text == "GET /g/sub   None "
    assert client.get("/g/sub/").text == "GET /g/sub /  None "
    assert client.get("/g/sub/own").text == "own"
    assert client.get("/g/subway").status == 404
    assert client.head("/g/sub/x").body == b""


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_mounted_at_the_root(client: TestClient, app: Fuego, kind: str) -> None:
    app.mount("/", APPS[kind])
    assert client.get("/x").text == "GET  /x  None "
    assert client.get("/").text == "GET  /  None "


def test_a_fuego_in_a_fuego(client: TestClient, app: Fuego) -> None:
    inner, seen = Fuego(), []
    inner.on_startup(lambda: seen.append("start"))
    inner.on_shutdown(lambda: seen.append("stop"))
    inner.get("/items/{id:int}")(lambda request, id: {"id": id, "path": request.raw_path})

    @inner.get("/events")
    async def handler(request: Request) -> None:
        return None

    @inner.websocket("/ws")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send(socket.path)

    app.mount("/inner", inner)
    with client:
        assert client.get("/inner/items/7").json() == {"id": 7, "path": "/inner/items/7"}
        assert client.get("/inner/events").status == 204
        assert client.get("/inner/none").status == 404
    assert seen == ["start", "stop"]
    with TestClient(app, "asgi").websocket("/inner/ws") as opened:
        assert opened.receive() == "/ws"


def test_mounted_sockets(app: Fuego) -> None:
    app.mount("/sub", asgi_app)
    with TestClient(app, "asgi").websocket("/sub/x") as socket:
        assert socket.receive() == "/sub /sub/x"
    assert TestClient(app, "wsgi").get("/sub/x").status == 201


def test_forms_of_wsgi_apps(client: TestClient, app: Fuego) -> None:
    closed = []

    class Chunks:
        def __iter__(self) -> Iterator[bytes]:
            yield b"b"
            yield b"c"

        def close(self) -> None:
            closed.append(True)

    def writing(environ: Any, start_response: Any) -> Chunks:
        write = start_response("200 OK", [("Content-Type", "a/b")])
        write(b"a")
        return Chunks()

    def generating(environ: Any, start_response: Any) -> Iterator[bytes]:
        yield b""
        start_response("404 Not Found", [("Content-Type", "a/b")])
        yield b"x"

    def silent(environ: Any, start_response: Any) -> list[bytes]:
        return []

    app.mount("/writing", writing)
    app.mount("/generating", generating)
    app.mount("/silent", silent)
    assert client.get("/writing").body == b"abc"
    assert closed == [True]
    assert client.get("/generating").status == 404
    assert client.get("/silent").status == 500


def test_forms_of_asgi_apps(
    client: TestClient, app: Fuego, caplog: pytest.LogCaptureFixture
) -> None:
    left = []

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b"y", "more_body": True})
        left.append((await receive())["type"])

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        return

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    async def cut(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    for name, mounted in {"e": endless, "s": silent, "b": broken, "c": cut}.items():
        app.mount(f"/{name}", mounted)
    assert client.get("/e", chunks=2).body.startswith(b"xy")
    assert left == ["http.disconnect"]
    assert client.get("/s").status == 500
    assert client.get("/b").status == 500
    assert client.get("/c").body == b""


def test_below_a_root_path(app: Fuego) -> None:
    app.mount("/sub", asgi_app)
    app.mount("/wsgi", wsgi_app)

    def get(path: str, root: str) -> bytes:
        sent = []

        async def receive() -> Any:
            await asyncio.sleep(9)

        async def send(message: Any) -> None:
            sent.append(message.get("body", b""))

        scope = {"type": "http", "method": "GET", "headers": [], "query_string": b""}
        full = {**scope, "path": path, "root_path": root}
        asyncio.run(app.asgi(full, receive, send))
        return b"".join(sent)

    assert get("/base/sub/x", "/base") == b"GET /base/sub /x  None "
    assert get("/sub/x", "/base") == b"GET /base/sub /x  None "
    assert get("/base/wsgi/x", "/base") == b"GET /base/wsgi /x  None "


def test_a_peer_without_an_address(app: Fuego, client: TestClient) -> None:
    app.mount("/wsgi", lambda environ, start: wsgi_app(environ, start))
    app.mount("/asgi", asgi_app)
    nobody = TestClient(app, client.protocol, client="")
    assert nobody.get("/wsgi/x").status == 201
    assert nobody.get("/asgi/x").status == 201


def test_what_cannot_be_mounted(app: Fuego) -> None:
    with pytest.raises(TypeError, match="7 is not a Fuego"):
        app.mount("/x", 7)
