"""What lasts: a slow answer, an event stream, a WebSocket, work after the answer."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Header, Query, Request, WebSocket
from fastapi.sse import EventSourceResponse, ServerSentEvent
from place import place

LONGEST = 30  # seconds: whatever lasts ends within a server's graceful time-out
TICK = 1.0  # seconds between two events
WORK = 1.0  # seconds of a background task

router = APIRouter()
done = 0  # background tasks, in this process


@router.get("/slow")
async def slow(
    request: Request, seconds: Annotated[float, Query(ge=0, le=LONGEST)] = 2.0
) -> dict[str, object]:
    await asyncio.sleep(seconds)
    return {**place(request), "seconds": seconds}


@router.get("/events", response_class=EventSourceResponse)
async def events(
    count: Annotated[int, Query(ge=0, le=LONGEST - 5)] = 10,
    last_event_id: Annotated[int, Header(ge=0)] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """A tick each second. The browser comes back for more and says how far it was, so that the
    count goes on though another host may answer."""
    where = {"host": socket.gethostname(), "release": os.environ.get("APP_RELEASE")}
    for number in range(last_event_id + 1, last_event_id + 1 + count):
        if number > last_event_id + 1:
            await asyncio.sleep(TICK)
        yield ServerSentEvent(data={**where, "count": number}, id=str(number), retry=1000)


@router.websocket("/ws")
async def echo(websocket: WebSocket) -> None:
    """Says where it is, then returns each message as it came."""
    await websocket.accept()
    await websocket.send_json(place(websocket))
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


async def work() -> None:
    global done
    await asyncio.sleep(WORK)
    done += 1


@router.post("/later", status_code=202)
def later(request: Request, tasks: BackgroundTasks) -> dict[str, object]:
    """Starts work once the answer is out, as a part of its request: uvicorn waits for it before it
    ends."""
    tasks.add_task(work)
    return {**place(request), "done": done}


@router.get("/later")
def so_far(request: Request) -> dict[str, object]:
    return {**place(request), "done": done}
