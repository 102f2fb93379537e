"""One of each thing that a proxy has to carry, with FastAPI: ASGI.

uvicorn main:app --reload
"""

import hashlib
from pathlib import Path
from typing import Annotated

import live
from fastapi import FastAPI, Form, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates
from place import client, place

HERE = Path(__file__).parent

app = FastAPI(title="FastAPI behind nginx")
app.include_router(live.router)
app.mount("/static", StaticFiles(directory=HERE / "static"))
templates = Jinja2Templates(HERE / "templates")


@app.get("/", response_class=HTMLResponse)
def page(request: Request) -> Response:
    seen = {"place": place(request), "client": client(request)}
    return templates.TemplateResponse(request, "page.html", seen)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.api_route("/whoami", methods=["GET", "POST"])
async def whoami(request: Request) -> dict[str, object]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
    return {
        **place(request),
        "method": request.method,
        "received": received,
        "client": client(request),
        "scheme": request.url.scheme,
        "forwarded_for": request.headers.get("X-Forwarded-For"),
        "load_balancer": request.headers.get("X-Load-Balancer"),
    }


@app.get("/form", response_class=HTMLResponse)
def form(request: Request) -> Response:
    return templates.TemplateResponse(request, "form.html")


@app.post("/form")
async def received(
    request: Request, text: Annotated[str, Form()] = "", file: UploadFile | None = None
) -> Response:
    """What arrived: as a page for a browser, as JSON for anybody else."""
    # A browser sends one without a name where none was chosen.
    files = [await told(file)] if file is not None and file.filename else []
    seen = {"text": text, "files": files}
    if "text/html" not in request.headers.get("Accept", ""):
        return JSONResponse(seen)
    return templates.TemplateResponse(request, "form.html", {"received": True, **seen})


async def told(file: UploadFile) -> dict[str, object]:
    digest = hashlib.sha256()
    while chunk := await file.read(64 * 1024):
        digest.update(chunk)
    return {"name": file.filename, "size": file.size, "sha256": digest.hexdigest()}
