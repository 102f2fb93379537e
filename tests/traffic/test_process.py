"""The tool as tests and people use it: a process of its own, against apps/hello itself."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from traffic import Report, Traffic
from traffic.clients import Client

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hello() -> Iterator[str]:
    """Serve apps/hello with uvicorn; return its address."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "main:asgi_app", "--log-level=warning"]
        server = subprocess.Popen(
            [*command, f"--fd={held.fileno()}"],
            cwd=ROOT / "apps/hello",
            env=os.environ | {"PYTHONPATH": str(ROOT / "fuego/src"), "APP_RELEASE": "r-7"},
            pass_fds=[held.fileno()],
        )
        try:
            yield f"127.0.0.1:{port}"  # connections wait until it accepts them
        finally:
            server.terminate()
            server.wait()


@pytest.fixture(scope="module")
def nobody() -> str:
    """Return an address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"127.0.0.1:{unused.getsockname()[1]}"


def command_line(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "traffic", *arguments],
        cwd=ROOT / "molecule",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_hello_answers_every_kind_of_client(hello: str) -> None:
    with Traffic("hello.localhost", hello, rate=100, lasting=2) as traffic:
        traffic.mark("look\nat it")
    report = traffic.report()
    assert not report.failed, report.summary()
    assert all(report.clients[client].requests for client in Client), report.summary()
    assert report.releases == {"r-7": report.requests}
    assert report.hosts == {socket.gethostname(): report.requests}
    assert sum(second.requests for second in report.timeline) == report.requests
    assert [mark.text for mark in report.marks] == ["look at it"]
    assert report.processor_seconds > 0
    assert Report.from_json(report.json()) == report


def test_failures_name_the_last_mark_before_them(
    nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        with Traffic("hello.localhost", nobody, rate=50, without=set(Client) - {"get"}) as traffic:
            time.sleep(0.3)
            traffic.mark("drain app1")
            time.sleep(0.3)
            raise LookupError(traffic)

    with pytest.raises(LookupError) as raised:
        fail()
    report: Report = raised.value.args[0].report()
    (mark,) = report.marks
    assert {failure.mark for failure in report.failures if failure.at < mark.at} == {None}
    assert {failure.mark for failure in report.failures if failure.at > mark.at} == {"drain app1"}
    # The summary is what a failing scenario shows.
    shown = capsys.readouterr().out
    assert shown == report.summary() + "\n"
    assert f"{report.failed} of {report.requests} requests to hello.localhost failed" in shown
    assert "get: refused, +0.0" in shown
    assert f"get through {nobody}: refused, Connection refused while connecting" in shown
    assert "mark: drain app1" in shown


def test_command_line_stops_by_itself_and_says_what_it_found(hello: str, nobody: str) -> None:
    lasting = ["--without", "slow", "websocket", "events"]
    good = command_line("hello.localhost", hello, "--seconds=1", "--rate=40", *lasting)
    assert good.returncode == 0, good.stderr
    report = json.loads(good.stdout)
    assert report["requests"] >= 30
    assert set(report["clients"]) == {"get", "get-kept", "post", "post-kept"}
    bad = command_line("hello.localhost", nobody, "--seconds=1", "--rate=40", *lasting)
    assert bad.returncode == 1
    assert "refused" in bad.stderr
    assert json.loads(bad.stdout)["failed"] > 0


def test_requests_are_shared_by_the_balancers(hello: str, nobody: str) -> None:
    lasting = ["--without", "slow", "websocket", "events"]
    done = command_line("hello.localhost", hello, nobody, "--seconds=1", "--rate=40", *lasting)
    report = Report.from_json(done.stdout)
    assert {failure.balancer for failure in report.failures} == {nobody}
    assert all(totals.failures for totals in report.clients.values())
    assert abs(2 * report.failed - report.requests) <= 4


def test_stop_file_and_marks_file(hello: str, tmp_path: Path) -> None:
    stop, marks = tmp_path / "stop", tmp_path / "marks"
    marks.write_text(f"{time.time()} by hand\n")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "traffic", "hello.localhost", hello, "--seconds=60"),
            *(f"--stop-file={stop}", f"--marks={marks}", "--without", "slow"),
        ],
        cwd=ROOT / "molecule",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "running\n"
    stop.touch()
    report = Report.from_json(process.communicate(timeout=30)[0])
    assert report.seconds < 30
    assert [mark.text for mark in report.marks] == ["by hand"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hello.localhost", "lb1"], "'lb1' is not address:port"),
        (["hello.localhost", "lb1:80", "--rate=0"], "--rate must be more than 0"),
        (["hello.localhost", "lb1:80", "--without", *Client], "--without leaves no client"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], said: str) -> None:
    done = command_line(*arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_start_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="'lb1' is not address:port"):
        Traffic("hello.localhost", "lb1").start()


def test_nothing_is_reported_before_a_start() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        Traffic("hello.localhost", "127.0.0.1:1").report()


def test_limit_ends_traffic_that_nobody_stops(hello: str) -> None:
    traffic = Traffic("hello.localhost", hello, rate=40, limit=1, without=["slow"])
    traffic.start()
    process = traffic._process
    assert process is not None
    assert process.wait(timeout=30) == 0
    assert 1 <= traffic.report().seconds < 10
