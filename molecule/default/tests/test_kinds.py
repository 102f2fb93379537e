"""Of each kind one through the whole chain: a form, events as a stream, a WebSocket, a file."""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import socket
import time

import pytest
from conftest import HTTP_PORT, Lab

SITES = ("hello.localhost", "hello-async.localhost")

sites = pytest.mark.parametrize("site", SITES)


@sites
def test_upload_arrives_whole(lab: Lab, site: str) -> None:
    content = os.urandom(1_000_000)
    body = (
        b"--limit\r\n"
        b'Content-Disposition: form-data; name="file"; filename="noise.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n--limit--\r\n"
    )
    answer = lab.request(
        site,
        "/form",
        method="POST",
        headers={"Content-Type": "multipart/form-data; boundary=limit"},
        body=body,
    )
    assert answer.status == 200, answer.body
    (file,) = answer.json()["files"]
    assert (file["name"], file["size"]) == ("noise.bin", len(content))
    assert file["sha256"] == hashlib.sha256(content).hexdigest()


@sites
def test_events_arrive_as_they_are_sent(lab: Lab, site: str) -> None:
    connection = http.client.HTTPConnection(lab.addresses["lb1"], HTTP_PORT, timeout=20)
    try:
        connection.request("GET", "/events?count=3", headers={"Host": site})
        response = connection.getresponse()
        assert response.headers["Content-Type"].startswith("text/event-stream")
        arrived = [time.monotonic() for line in response if line.startswith(b"data:")]
    finally:
        connection.close()
    assert len(arrived) == 3
    assert arrived[2] - arrived[0] > 1


def upgrade(lab: Lab, site: str) -> str:
    """Ask for a WebSocket and return the first line of the answer."""
    key = base64.b64encode(os.urandom(16)).decode()
    with socket.create_connection((lab.addresses["lb1"], HTTP_PORT), timeout=20) as client:
        client.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {site}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        return client.makefile("rb").readline().decode().strip()


def test_websocket_is_accepted_under_asgi_and_refused_under_wsgi(lab: Lab) -> None:
    assert upgrade(lab, "hello-async.localhost").startswith("HTTP/1.1 101 ")
    assert upgrade(lab, "hello.localhost").startswith("HTTP/1.1 426 ")


@sites
def test_static_file_comes_with_its_type(lab: Lab, site: str) -> None:
    answer = lab.request(site, "/static/style.css")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/css")
