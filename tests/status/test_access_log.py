"""The figures of the last minutes, from logs as nginx writes them and as they may turn out."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from fuego_deploy import access_log
from fuego_deploy.access_log import Figures

NOW = 1_795_255_200.0


def line(ago: float = 1, **more: Any) -> bytes:
    entry = {
        "msec": NOW - ago, "status": 200, "app": "shop", "upstream_addr": "10.0.0.1:8000",
        "upstream_status": "200", "upstream_header_time": "0.010",
        "upstream_response_time": "0.020", "uri": "/", **more,
    }  # fmt: skip
    return json.dumps(entry).encode() + b"\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def shop(log: Path, **more: Any) -> dict[str, Figures]:
    return access_log.read(log, 300, NOW, **more).apps.get("shop", {})


def test_only_the_last_minutes_count(log: Path) -> None:
    log.write_bytes(line(400) + line(301) + line(299) + line(1))
    assert shop(log) == {"10.0.0.1:8000": Figures(2, 0, 0.01)}


def test_every_host_that_was_tried_has_its_part(log: Path) -> None:
    log.write_bytes(
        line(
            upstream_addr="10.0.0.1:8000, 10.0.0.2:8000",
            upstream_status="502, 200",
            upstream_header_time="-, 0.004",
            upstream_response_time="1.001, 0.005",
        )
    )
    assert shop(log) == {
        "10.0.0.1:8000": Figures(1, 1, 1.001),
        "10.0.0.2:8000": Figures(1, 0, 0.004),
    }


def test_a_stream_is_as_slow_as_its_first_byte(log: Path) -> None:
    log.write_bytes(line(upstream_response_time="600.000"))
    assert shop(log)["10.0.0.1:8000"].slowest == 0.01


def test_what_no_host_was_asked_stands_apart(log: Path) -> None:
    log.write_bytes(
        line(upstream_addr="", upstream_status="", status=413)
        + line(upstream_addr="shop", upstream_status="502", status=502)
        + line(app="", status=404)
    )
    assert {where: (one.requests, one.errors) for where, one in shop(log).items()} == {
        "": (1, 0), "shop": (1, 1),
    }  # fmt: skip


def test_lines_that_are_no_requests_are_passed_over(log: Path) -> None:
    junk = [b"\xff\xfe\x00", b"[1, 2]", b'{"msec": "soon"}', b"{" * 100_000, b"null", b'{"msec": 1']
    bytes_in_a_path = line().replace(b'"/"', b'"/caf\xe9\xff"')
    odd = line(app=["shop"]) + line(upstream_addr=None, upstream_status=7)
    log.write_bytes(b"\n".join(junk) + b"\n" + bytes_in_a_path + odd + line()[:-20])
    assert shop(log)["10.0.0.1:8000"] == Figures(1, 0, 0.01)


def test_an_empty_log_is_no_requests_and_none_is_an_error(log: Path) -> None:
    with pytest.raises(FileNotFoundError):
        shop(log)
    log.touch()
    assert shop(log) == {}


def test_a_rotation_is_read_over_and_older_logs_are_not_opened(log: Path) -> None:
    log.write_bytes(line(1))
    log.with_name("access.log.1").write_bytes(line(200))
    log.with_name("access.log.2.gz").write_bytes(b"packed")
    older = log.with_name("access.log.3")
    older.write_bytes(line(2))
    os.utime(older, (NOW - 9000, NOW - 9000))
    assert shop(log)["10.0.0.1:8000"].requests == 2
    log.unlink()
    assert shop(log)["10.0.0.1:8000"].requests == 1, "renamed, and nginx has no new one yet"


def test_a_busy_log_is_read_for_less_time_and_says_so(log: Path) -> None:
    log.write_bytes(b"".join(line(ago) for ago in range(200, 0, -1)))
    found = access_log.read(log, 300, NOW, most=20 * len(line(1)))
    assert 15 <= found.seconds <= 25
    assert found.apps["shop"]["10.0.0.1:8000"].requests == pytest.approx(found.seconds, abs=1)
    assert access_log.read(log, 300, NOW).seconds == 300
    assert access_log.read(log, 300, NOW, longest=0).seconds < 1, "a machine that is too busy"


def test_a_large_log_is_read_from_its_end_alone(log: Path) -> None:
    with log.open("wb") as file:
        file.truncate(1 << 30)  # a gigabyte that would take minutes to go through
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + line(400) + line(1))
    assert shop(log)["10.0.0.1:8000"].requests == 1
