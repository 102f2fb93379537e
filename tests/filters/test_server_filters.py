"""What a server's process gets of an app's entry, and which change of servers is refused."""

from pathlib import Path
from typing import Any

import pytest
from run import protocol_refusals
from servers import (
    named_texts,
    server_data,
    server_per_processor,
    server_settings,
    systemd_value,
    systemd_word,
    unit_beside,
    units_beside,
)

DATA = """
protocols: [wsgi]
settings:
  workers: {env: W, default: processors, minimum: 1}
  threads: {env: T, default: 4, minimum: 1}
  max_requests: {env: M, jitter: J, minimum: 1}
environment: {A: "1", B: "2"}
files: [conf.py]
"""


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "base.yml").write_text(DATA)
    (tmp_path / "own.yml").write_text(
        'based_on: base\nprotocols: [asgi]\nsettings: {threads: null}\nenvironment: {B: "3"}\n'
    )
    return str(tmp_path)


def test_what_is_based_on_another_says_only_what_differs(folder: str) -> None:
    own = server_data("own", folder)
    assert own["protocols"] == ["asgi"]
    assert list(own["settings"]) == ["workers", "max_requests"]
    assert own["environment"] == {"A": "1", "B": "3"}
    assert own["files"] == ["conf.py"]


def test_settings_go_by_their_environment_names(folder: str) -> None:
    data = server_data("base", folder)
    spec = {"threads": 8, "max_requests": 500, "port": 8000}
    assert server_settings(data, spec) == {"T": "8", "M": "500", "J": "50"}
    assert server_per_processor(data, spec) == ["W"]
    assert server_per_processor(data, {"workers": 3}) == []


@pytest.mark.parametrize(
    ("before", "wanted", "refused"),
    [({"shop": "http"}, "uwsgi", 1), ({"shop": "uwsgi"}, "uwsgi", 0), ({}, "uwsgi", 0),
     ({"shop": "uwsgi"}, "http", 1)],
)  # fmt: skip
def test_a_pool_that_serves_keeps_its_protocol(
    before: dict[str, str], wanted: str, refused: int
) -> None:
    told: list[dict[str, Any]] = [{"protocols": before}, {}]
    found = protocol_refusals(told, [{"name": "shop", "upstream_protocol": wanted}])
    assert len(found) == refused
    assert all(line.startswith("apps.shop.server: balancers speak") for line in found)


def test_several_texts_in_one() -> None:
    text = "==> a.service\n[Unit]\n==> a.timer\n[Timer]\n==> no name\n"
    assert named_texts(text) == {"a.service": "[Unit]\n", "a.timer": "[Timer]\n==> no name\n"}
    assert named_texts("") == {}


@pytest.mark.parametrize(
    ("word", "quoted"),
    [("--loop=uvloop", "--loop=uvloop"), ("a b", '"a b"'), ("100%", "100%%"), ("$HOME", "$$HOME"),
     ('main:make("x")', '"main:make(\\"x\\")"'), ("a\\b", '"a\\\\b"'), ("", '""'), ("é", '"é"')],
)  # fmt: skip
def test_a_word_is_one_to_systemd(word: str, quoted: str) -> None:
    assert systemd_word(word) == quoted


@pytest.mark.parametrize(
    ("value", "written"), [(True, "yes"), (False, "no"), (5, "5"), ("150%", "150%")]
)
def test_a_value_is_what_systemd_reads(value: object, written: str) -> None:
    assert systemd_value(value) == written


def test_what_a_unit_says_of_the_service_alone_is_kept_from_processes_and_jobs() -> None:
    said = {"MemoryMax": "1G", "TimeoutStartSec": 60, "ExecStartPre": "x", "WatchdogSec": 5,
            "Restart": "always", "RestartSteps": 3, "MemoryDenyWriteExecute": False,
            "NotifyAccess": "all"}  # fmt: skip
    assert unit_beside(said) == {"MemoryMax": "1G", "MemoryDenyWriteExecute": False}


def test_units_of_processes_and_jobs_on_a_host() -> None:
    spec = {
        "name": "shop",
        "processes": {"worker": {"hosts": ["app1", "app2"]}},
        "jobs": {"tidy": {"hosts": ["app1"]}},
    }
    assert units_beside(spec, "app1") == [
        "shop_worker.service",
        "shop_tidy.service",
        "shop_tidy.timer",
    ]
    assert units_beside(spec, "app2") == ["shop_worker.service"]
    assert units_beside(spec, "app3") == []
