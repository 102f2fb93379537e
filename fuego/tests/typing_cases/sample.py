"""Not run: mypy reads it. A line marked `# error: code` must be refused so, every other pass."""

from collections.abc import AsyncIterator

from fuego import (
    EventStream,
    FileResponse,
    Fuego,
    HTMLResponse,
    HTTPError,
    JSONResponse,
    RedirectResponse,
    Request,
    Response,
    StreamResponse,
    WebSocket,
)
from fuego.middleware import cors, gzip
from fuego.testing import TestClient

app = Fuego(max_body=1000)
Fuego(max_body="1000")  # error: arg-type
app.middleware(cors(["https://example.com"]))
app.middleware(gzip(minimum="x"))  # error: arg-type


@app.get("/items/{id:int}")
def item(request: Request, id: int) -> dict[str, int]:
    return {"id": id}


@app.get("/async")
async def asynchronous(request: Request) -> str | Response:
    return request.query.get("a") or HTMLResponse("<p>")


@app.get("/number")  # error: type-var
def number(request: Request) -> int:
    return 7


@app.get(5)  # error: arg-type
def path_is_text(request: Request) -> None:
    return None


app.get("/text")("not a handler")  # error: type-var


@app.post("/form")
def form(request: Request) -> Response:
    upload = request.form().file("f")
    upload.read()  # error: union-attr
    size: int = request.query["n"]  # error: assignment
    request.path.nothing()  # error: attr-defined
    response = JSONResponse({"size": size}, 201)
    response.set_cookie("a", "b", same_site="sometimes")  # error: arg-type
    response.headers["x-a"] = 5  # error: assignment
    response.headers["x-b"] = "5"
    return response


@app.get("/option", stream=True, max_body=10)
def option(request: Request) -> bytes:
    return b"".join(request.stream())


app.get("/option", strem=True)  # error: call-arg


@app.get("/events")
async def events(request: Request) -> EventStream:
    async def numbers() -> AsyncIterator[str]:
        yield "1"

    return EventStream(numbers(), retry=5)


@app.get("/file")
def file(request: Request) -> FileResponse:
    RedirectResponse("/", status="302")  # error: arg-type
    StreamResponse([1, 2])  # error: list-item
    raise HTTPError("404")  # error: arg-type


@app.websocket("/ws")
async def socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send({"a": 1})  # error: arg-type
    async for message in socket:
        await socket.send(message)


@app.websocket("/sync")  # error: type-var
def sync_socket(socket: WebSocket) -> None: ...


item(Request(), id="7")  # error: arg-type
client = TestClient(app, "http")  # error: arg-type
status: int = TestClient(app, "asgi").get("/").status
app.run(port="8000")  # error: arg-type
