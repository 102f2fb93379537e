"""Hello over both protocols. Run with fuego importable (PYTHONPATH=fuego/src)."""

import importlib.util
import json
import logging
import os
import socket
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Literal

import pytest
from fuego.testing import TestClient


@pytest.fixture(scope="module")
def main() -> ModuleType:
    """By its path: every app here has a module named main."""
    spec = importlib.util.spec_from_file_location("hello", Path(__file__).with_name("main.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["wsgi", "asgi"])
def client(main: ModuleType, request: pytest.FixtureRequest) -> TestClient:
    protocol: Literal["wsgi", "asgi"] = request.param
    return TestClient(main.app, protocol)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whoami(client: TestClient, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_RELEASE", "r-1")
    headers = {
        "X-Request-ID": "id-1",
        "X-Load-Balancer": "lb1",
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
    }
    body = b"abc" if method == "POST" else b""
    got = client.request(method, "/whoami", headers=headers, body=body)
    assert (got.status, got.headers["Cache-Control"]) == (200, "no-store")
    seen = got.json()
    assert seen.pop("server")
    assert seen.pop("fuego")
    assert seen.pop("python")
    assert seen == {
        "app": "hello",
        "host": socket.gethostname(),
        "protocol": client.protocol,
        "release": "r-1",
        "pid": os.getpid(),
        "request_id": "id-1",
        "method": method,
        "received": len(body),
        "client": "203.0.113.9",
        "scheme": "https",
        "load_balancer": "lb1",
        "forwarded_for": "203.0.113.9",
        "forwarded_proto": "https",
        "forwarded_host": None,
        "forwarded_port": None,
    }


def test_release_is_null_outside_a_deployment(client: TestClient) -> None:
    assert client.get("/whoami").json()["release"] is None


@pytest.mark.parametrize(
    ("modules", "server"),
    [
        (["gunicorn.arbiter"], "gunicorn"),
        (["gunicorn.arbiter", "uvicorn.server"], "gunicorn"),
        (["uvicorn.server"], "uvicorn"),
        (["fuego.development"], "fuego"),
        ([], "program"),
    ],
)
def test_server_is_what_runs_the_process(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch, modules: list[str], server: str
) -> None:
    process = SimpleNamespace(modules=dict.fromkeys(modules), argv=["/bin/program"])
    monkeypatch.setattr(main, "sys", process)
    assert main.server() == server


def test_page_shows_the_path(client: TestClient) -> None:
    page = client.get("/", headers={"X-Load-Balancer": "<lb&1>", "X-Request-ID": "id-2"})
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for shown in ("&lt;lb&amp;1&gt;", "id-2", socket.gethostname(), str(os.getpid())):
        assert shown in page.text
    assert client.protocol.upper() in page.text
    assert "<lb" not in page.text
    assert "straight to the host" in client.get("/").text


def test_healthz(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_each_request_is_one_line_of_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("hello")
    log.addHandler(caplog.handler)
    try:
        client.get("/none\u00e9", headers={"X-Request-ID": "id-3"})
    finally:
        log.removeHandler(caplog.handler)
    [line] = caplog.messages
    seen = json.loads(line)
    assert seen.pop("ms") >= 0
    assert (seen["request_id"], seen["method"], seen["status"]) == ("id-3", "GET", 404)
    assert seen["path"].startswith("/none")
