"""Startup, shutdown, background tasks, readiness."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from fuego import Fuego, Request, lifecycle
from fuego.testing import TestClient


@pytest.fixture(autouse=True)
def _restore_signal() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_hooks_in_order(app: Fuego, client: TestClient) -> None:
    seen: list[str] = []

    @app.on_startup
    async def first() -> None:
        app.state.value = 7

    app.on_startup(lambda: seen.append("second"))
    app.on_shutdown(lambda: seen.append("last"))

    @app.on_shutdown
    async def stop() -> None:
        seen.append("first of the end")

    app.get("/")(lambda request: {"value": request.app.state.value})
    with client:
        assert client.get("/").json() == {"value": 7}
    assert seen == ["second", "first of the end", "last"]


def test_after_the_end_it_stays_ended(app: Fuego, client: TestClient) -> None:
    seen: list[str] = []
    app.on_startup(lambda: seen.append("start"))
    app.on_shutdown(lambda: seen.append("stop"))
    app.health("/healthz")
    with client:
        assert client.get("/healthz").status == 200
    assert client.get("/healthz").json() == {"status": "stopping"}
    assert seen == ["start", "stop"]
    with client:
        assert client.get("/healthz").status == 200
    assert seen == ["start", "stop"] * 2


def test_wsgi_starts_with_its_first_request_and_ends_with_the_process(app: Fuego) -> None:
    seen: list[str] = []
    app.on_startup(lambda: seen.append("start"))
    app.on_shutdown(lambda: seen.append("stop"))
    app.get("/")(lambda request: "")
    client = TestClient(app, "wsgi")
    client.get("/")
    client.get("/")
    app._core.lifecycle.start_in_thread()  # as another thread that came second
    assert seen == ["start"]
    app._core.lifecycle.stop_in_thread()
    app._core.lifecycle.stop_in_thread()
    assert seen == ["start", "stop"]


def lifespan(app: Fuego, *kinds: str) -> list[Any]:
    messages, sent = [{"type": f"lifespan.{kind}"} for kind in kinds], []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app.asgi({"type": "lifespan"}, receive, send))
    return sent


@pytest.mark.parametrize("when", ["startup", "shutdown"])
def test_a_failure_is_told(app: Fuego, when: str) -> None:
    def fail() -> None:
        raise RuntimeError("no database")

    (app.on_startup if when == "startup" else app.on_shutdown)(fail)

    with pytest.raises(RuntimeError, match="no database"):
        lifespan(app, "startup", "shutdown")
    with pytest.raises(RuntimeError, match="no database"), TestClient(app, "wsgi") as client:
        client.get("/")


def test_background_tasks_come_after_and_are_awaited(
    app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []
    go = threading.Event()

    async def later(word: str, *, more: str) -> None:
        await asyncio.to_thread(go.wait, 5)
        seen.append((word, more))

    def broken() -> None:
        raise RuntimeError("broken task")

    @app.get("/")
    def handler(request: Request) -> str:
        request.background(later, "a", more="b")
        request.background(broken)
        request.background(seen.append, "sync")
        return "now"

    with client:
        assert client.get("/").text == "now"
        assert seen == []
        go.set()
    assert seen == [("a", "b"), "sync"]
    assert "broken task" in caplog.text


def test_health(app: Fuego, client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    results: dict[str, Any] = {"database": True}

    async def queue() -> None:
        if not results["database"]:
            raise RuntimeError("no queue")

    app.health("/healthz")
    app.health("/ready", checks={"database": lambda: results["database"], "queue": queue})
    with client:
        assert client.get("/healthz").json() == {"status": "ok"}
        response = client.get("/ready")
        assert response.json() == {"status": "ok", "checks": {"database": "ok", "queue": "ok"}}
        assert response.headers["cache-control"] == "no-store"
        results["database"] = False
        response = client.get("/ready")
        assert response.status == 503
        assert response.json()["checks"] == {"database": "failed", "queue": "failed"}
        app._core.lifecycle.stopping = True
        assert client.get("/healthz").json() == {"status": "stopping"}
        assert client.get("/ready").status == 503


def test_readiness_ends_with_the_servers_signal(app: Fuego, protocol: Any) -> None:
    heard = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    app.health("/healthz")
    client = TestClient(app, protocol)
    assert client.get("/healthz").status == 200
    assert not app.stopping
    signal.raise_signal(signal.SIGTERM)
    assert client.get("/healthz").status == 503
    assert app.stopping
    assert heard == [signal.SIGTERM]


def test_a_signal_before_the_first_request(app: Fuego, client: TestClient) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    app.health("/healthz")
    signal.raise_signal(signal.SIGTERM)
    assert client.get("/healthz").status == 503


def test_nobody_else_hears_the_signal(app: Fuego) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    lifecycle.watch_sigterm(app._core.lifecycle)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_stop_outlives_a_loop(app: Fuego) -> None:
    async def wait() -> None:
        stop.__enter__()

    stop = app._core.lifecycle.awaited_stop()
    asyncio.run(wait())
    app._core.lifecycle.begin_stop()
    assert app.stopping
