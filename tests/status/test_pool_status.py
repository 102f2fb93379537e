"""What a balancer tells of its pools, and of what it cannot read."""

import json
import time
from pathlib import Path
from typing import Any

import pool_status
import pytest
from fuego_deploy import pool, units
from fuego_deploy.units import State
from modules import call

SITE = {
    "name": "shop", "domains": [], "port": 8000, "health": {},
    "members": [{"name": f"app{n}", "address": f"10.0.0.{n}"} for n in range(1, 5)],
}  # fmt: skip
HAND = {"state": "drained", "by": "bob@ctl", "when": "2026-11-21T10:00:00Z", "why": "disk"}


@pytest.fixture
def told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setattr(
        units, "states", lambda names: {n: State("active", "", False, "", 0, 17) for n in names}
    )
    return lambda **given: call(
        pool_status.main, capsys, state_file=str(tmp_path / "pools.json"),
        access_log=str(tmp_path / "access.log"), **given,
    )  # fmt: skip


def write(folder: Path) -> None:
    """app1 serves, app2 is drained by a run, app3 by hand, app4 has not passed its check."""
    state = pool.State(pools=pool.wanted([SITE], {}, 80), hosts={"app3": HAND})  # type: ignore[dict-item]
    state.admitted["shop"] = {
        m["name"]: {"address": pool.where(m), "since": "now"}
        for m in state.pools["shop"]["members"]
        if m["name"] != "app4"
    }
    state.drained["shop"] = {"app2": {"run": "r1", "by": "al", "when": "now", "why": "deploy"}}
    pool.write(folder / "pools.json", state)


def test_who_is_in_and_who_is_out_and_why(tmp_path: Path, told: Any) -> None:
    write(tmp_path)
    found = told()
    members = {one["name"]: one for one in found["pools"]["shop"]}
    assert [one["state"] for one in members.values()] == ["in", "drained", "drained", "waiting"]
    assert members["app1"]["logged_as"] == ["10.0.0.1:8000"]
    drains = [tuple(members[one][key] for key in ("by", "why", "hand")) for one in ("app2", "app3")]
    assert drains == [("al", "deploy", False), ("bob@ctl", "disk", True)]
    assert found["hosts"]["app3"] == HAND
    assert found["nginx"] == {"active": "active", "since": 17}
    assert found["changed"] is False


def test_a_balancer_without_anything_tells_so(told: Any) -> None:
    found = told()
    assert (found["pools"], found["requests"]) == ({}, None)
    assert len(found["problems"]) == 1
    assert "access.log" in found["problems"][0]


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"version": 2}', "\udcff",
        '{"version": 2, "pools": {"shop": 7}, "admitted": {}, "drained": {}, "hosts": {}}',
        '{"version": 2, "pools": {"shop": {}}, "admitted": {}, "drained": {}, "hosts": {}}',
        '{"version": 2, "pools": {"shop": {"members": [{"name": "app1", "address": "a", "port": 1}]'
        '}}, "admitted": {"shop": 7}, "drained": {}, "hosts": {}}',
    ],
)  # fmt: skip
def test_a_broken_state_is_a_problem_beside_the_figures(
    tmp_path: Path, told: Any, text: str
) -> None:
    (tmp_path / "pools.json").write_bytes(text.encode(errors="surrogateescape"))
    entry = {"msec": time.time(), "app": "shop", "upstream_addr": "10.0.0.1:8000"}
    (tmp_path / "access.log").write_text(json.dumps(entry) + "\n")
    found = told()
    assert found["pools"] == {}
    assert "pools.json" in found["problems"][0]
    assert found["requests"]["shop"]["10.0.0.1:8000"]["requests"] == 1
    assert not found.get("failed")
