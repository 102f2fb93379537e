"""The WebSocket echo that Autobahn talks to, in Fuego and without a framework."""

from typing import Any

from fuego import Fuego, WebSocket


def fuego_echo() -> Any:
    app = Fuego()

    @app.websocket("/")
    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        async for message in socket:
            await socket.send(message)

    return app.asgi


def bare_echo() -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            kind = "text" if message.get("text") is not None else "bytes"
            await send({"type": "websocket.send", kind: message[kind]})

    return app
