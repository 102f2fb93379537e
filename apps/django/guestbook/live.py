"""What lasts, over ASGI alone: an event stream, a WebSocket, work after the answer."""

import asyncio
import functools
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods

from guestbook.place import place
from guestbook.views import LONGEST, here, protocol

TICK = 1.0  # seconds between two events
WORK = 1.0  # seconds of a background task
View = Callable[[HttpRequest], Awaitable[HttpResponseBase]]

done = 0  # background tasks, in this process
running: set[asyncio.Task[None]] = set()  # asyncio itself keeps no hold of a task


def over_asgi(view: View) -> View:
    """Over WSGI an event loop lives as long as its request, and a stream would hold a thread."""

    @functools.wraps(view)
    async def checked(request: HttpRequest) -> HttpResponseBase:
        if protocol(request) == "asgi":
            return await view(request)
        return HttpResponse("This wants ASGI: guestbook.asgi:application", status=501)

    return checked


@never_cache
@require_GET
@over_asgi
async def events(request: HttpRequest) -> HttpResponseBase:
    """A tick each second. The browser comes back for more and says how far it was, so that the
    count goes on though another host may answer."""
    count, last = request.GET.get("count", "10"), request.headers.get("Last-Event-ID", "0")
    if not all(text.isascii() and text.isdigit() and len(text) < 10 for text in (count, last)):
        return HttpResponseBadRequest("count and Last-Event-ID must be whole numbers")
    stream = ticks(int(last) + 1, min(int(count), LONGEST - 5))
    headers = {"X-Accel-Buffering": "no"}  # or nginx would collect them
    return StreamingHttpResponse(stream, content_type="text/event-stream", headers=headers)


async def ticks(first: int, count: int) -> AsyncIterator[str]:
    where = {"host": socket.gethostname(), "release": os.environ.get("APP_RELEASE")}
    for number in range(first, first + count):
        if number > first:
            await asyncio.sleep(TICK)
        yield f"id: {number}\nretry: 1000\ndata: {json.dumps({**where, 'count': number})}\n\n"


class Echo(AsyncWebsocketConsumer):
    """Says where it is, then returns each message as it came."""

    async def connect(self) -> None:
        await self.accept()
        headers = {name.decode(): it.decode("latin-1") for name, it in self.scope["headers"]}
        await self.send(json.dumps(place("asgi", headers)))

    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


async def work() -> None:
    global done
    await asyncio.sleep(WORK)
    done += 1


@csrf_exempt  # it does nothing in anybody's name
@never_cache
@require_http_methods(["GET", "POST"])
@over_asgi
async def later(request: HttpRequest) -> HttpResponseBase:
    """POST starts work that goes on after the answer. It ends with its process: what must not be
    lost belongs into a queue."""
    if request.method == "POST":
        task = asyncio.get_running_loop().create_task(work())
        running.add(task)
        task.add_done_callback(running.discard)
    status = 202 if request.method == "POST" else 200
    return JsonResponse({**here(request), "done": done}, status=status)
