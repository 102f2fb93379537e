"""The health gate: what passes, when it stops, and what it says of the last answer."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from clock import Clock
from fuego_deploy import health
from fuego_deploy.health import Answer, Gate

GATE = Gate("127.0.0.1", 1, "/healthz", {"Host": "shop.example"}, (), 5.0)


def wait(
    monkeypatch: pytest.MonkeyPatch, answers: Iterator[Answer], gate: Gate = GATE,
    given_up: bool = False,
) -> health.Outcome:  # fmt: skip
    clock = Clock()
    monkeypatch.setattr(health, "ask", lambda *_: next(answers))
    return health.wait(gate, lambda: given_up, clock, clock.sleep)


def test_waits_until_it_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([Answer(None, "refused"), Answer(503, ""), Answer(404, "")])
    outcome = wait(monkeypatch, answers)
    assert (outcome.healthy, outcome.attempts, outcome.answer.status) == (True, 3, 404)


def test_stops_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = wait(monkeypatch, iter([Answer(500, "boom")] * 100))
    assert not outcome.healthy
    assert 4.0 <= outcome.seconds <= 5.0
    assert outcome.attempts < 10
    assert outcome.answer == Answer(500, "boom")


def test_stops_once_systemd_gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = wait(monkeypatch, iter([Answer(None, "refused")]), given_up=True)
    assert (outcome.healthy, outcome.attempts) == (False, 1)


@pytest.mark.parametrize(
    ("wanted", "status", "passes"),
    [((), 200, True), ((), 499, True), ((), 500, False), ((200, 204), 204, True),
     ((200,), 301, False), ((500,), 500, True)],
)  # fmt: skip
def test_expected_status(wanted: tuple[int, ...], status: int, passes: bool) -> None:
    assert Gate("x", 1, "/", {}, wanted, 1).passes(Answer(status, "")) is passes


class Handler(BaseHTTPRequestHandler):
    seen: dict[str, str | None]

    def do_GET(self) -> None:
        type(self).seen = {"path": self.path, "host": self.headers["Host"],
                           "proto": self.headers["X-Forwarded-Proto"]}  # fmt: skip
        self.send_response(301)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


def test_asks_with_the_sites_headers() -> None:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        headers = {"Host": "shop.example", "X-Forwarded-Proto": "https"}
        gate = Gate("127.0.0.1", server.server_port, "/healthz", headers, (), 5)
        assert health.ask(gate, 5) == Answer(301, "ok")
    assert Handler.seen == {"path": "/healthz", "host": "shop.example", "proto": "https"}


def test_no_answer_is_an_answer() -> None:
    answer = health.ask(GATE, 1)
    assert answer.status is None
    assert "no answer" in answer.text
