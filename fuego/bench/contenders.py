# mypy: disable-error-code="import-not-found, import-untyped", allow-untyped-decorators
"""One app in each framework, as its own tutorial writes it: JSON from a path parameter.

Each function makes one app, for `gunicorn "contenders:flask()"` or `uvicorn --factory`. Handlers
are sync under WSGI and async under ASGI.
"""

import json
import sys
from typing import Any

WSGI = {
    "bare WSGI": "bare_wsgi",
    "Fuego": "fuego_wsgi",
    "Falcon": "falcon_wsgi",
    "Bottle": "bottle",
    "Flask": "flask",
    "Django": "django_wsgi",
}
ASGI = {
    "bare ASGI": "bare_asgi",
    "Fuego": "fuego_asgi",
    "Falcon": "falcon_asgi",
    "Starlette": "starlette",
    "BlackSheep": "blacksheep",
    "FastAPI": "fastapi",
    "Django": "django_asgi",
}


def bare_wsgi() -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        body = json.dumps({"id": int(environ["PATH_INFO"].rpartition("/")[2])}).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    return app


def bare_asgi() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = json.dumps({"id": int(scope["path"].rpartition("/")[2])}).encode()
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def fuego_wsgi() -> Any:
    from fuego import Fuego, Request

    app = Fuego()

    @app.get("/items/{id:int}")
    def item(request: Request, id: int) -> dict[str, int]:
        return {"id": id}

    return app.wsgi


def fuego_asgi() -> Any:
    from fuego import Fuego, Request

    app = Fuego()

    @app.get("/items/{id:int}")
    async def item(request: Request, id: int) -> dict[str, int]:
        return {"id": id}

    return app.asgi


def falcon_wsgi() -> Any:
    import falcon

    class Item:
        def on_get(self, request: Any, response: Any, id: int) -> None:
            response.media = {"id": id}

    app = falcon.App()
    app.add_route("/items/{id:int}", Item())
    return app


def falcon_asgi() -> Any:
    import falcon.asgi

    class Item:
        async def on_get(self, request: Any, response: Any, id: int) -> None:
            response.media = {"id": id}

    app = falcon.asgi.App()
    app.add_route("/items/{id:int}", Item())
    return app


def bottle() -> Any:
    from bottle import Bottle

    app = Bottle()

    @app.get("/items/<id:int>")
    def item(id: int) -> dict[str, int]:
        return {"id": id}

    return app


def flask() -> Any:
    from flask import Flask

    app = Flask("bench")

    @app.get("/items/<int:id>")
    def item(id: int) -> dict[str, int]:
        return {"id": id}

    return app


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def item(request: Any) -> Any:
        return JSONResponse({"id": request.path_params["id"]})

    return Starlette(routes=[Route("/items/{id:int}", item)])


def blacksheep() -> Any:
    from blacksheep import Application, json

    app = Application()

    @app.router.get("/items/{int:id}")
    async def item(id: int) -> Any:
        return json({"id": id})

    return app


def fastapi() -> Any:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/items/{id}")
    async def item(id: int) -> dict[str, int]:
        return {"id": id}

    return app


def django_wsgi() -> Any:
    from django.core.wsgi import get_wsgi_application
    from django.http import JsonResponse

    def item(request: Any, id: int) -> Any:
        return JsonResponse({"id": id})

    _configure_django(item)
    return get_wsgi_application()


def django_asgi() -> Any:
    from django.core.asgi import get_asgi_application
    from django.http import JsonResponse

    async def item(request: Any, id: int) -> Any:
        return JsonResponse({"id": id})

    _configure_django(item)
    return get_asgi_application()


def _configure_django(item: Any) -> None:
    """Without the middleware that its project template adds."""
    from django.conf import settings
    from django.urls import path

    module: Any = sys.modules[__name__]
    module.urlpatterns = [path("items/<int:id>", item)]
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="benchmark", MIDDLEWARE=[]
    )
