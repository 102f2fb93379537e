"""The module that configures a balancer, with a real nginx before real apps on loopback."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pool_render
import pytest
from fuego_deploy import maintenance, pool
from loopback import Running, app
from modules import Result, call
from nginx_tree import Tree

Run = Callable[..., Result]
HAND = {"state": "drained", "by": "bob@ctl", "when": "2026-11-21T10:00:00Z", "why": "kernel"}


@pytest.fixture
def shop() -> Iterator[Running]:
    with app() as running:
        yield running


def sites(port: int, **members: int) -> list[dict[str, Any]]:
    """One site whose app1 listens at `port`, with further members by name and port."""
    found = {"app1": port, **members}
    return [
        {
            "name": "shop",
            "domains": ["shop.example.com"],
            "port": port,
            "health": {"path": "/healthz", "status": []},
            "members": [{"name": n, "address": "127.0.0.1", "port": p} for n, p in found.items()],
        }
    ]


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    return tmp_path / "lib" / "pools.json"


def main_conf(tree: Tree, more: str = "") -> str:
    return tree.here(
        "# Managed by fuego-deploy\npid /run/nginx.pid;\nworker_processes auto;\n"
        "error_log /var/log/nginx/error.log;\nevents {\n}\nhttp {\n    access_log off;\n"
        "    upstream shop {\n        include pools/*.conf;\n    }\n"
        f"    server {{\n        listen 127.0.0.1:{tree.port};\n"
        f"        location / {{ proxy_pass http://shop; }}\n    }}\n{more}}}\n"
    )


@pytest.fixture
def run(tree: Tree, state_file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(sites: Any = None, check: bool = False, **options: Any) -> Result:
        given: dict[str, Any] = {
            "state_file": str(state_file), "timeout": 2, "path": str(tree.path),
            "executable": tree.program, "pid_file": str(tree.pid_file),
            "error_log": str(tree.error_log), "files": {"nginx.conf": main_conf(tree)},
        }  # fmt: skip
        given |= {"options": {"max_fails": 3, "fail_timeout": "2s"}}
        given |= {"sites": sites} if sites is not None else {"state": "read"}
        return call(pool_render.main, capsys, check, **{**given, **options})

    return run


def test_a_healthy_member_serves_and_one_that_is_not_stays_out(
    run: Run, shop: Running, tree: Tree, state_file: Path
) -> None:
    result = run(sites(shop.port, app2=1))
    _, first, second = result["files"]["pools/shop.conf"].splitlines()
    assert first == f"server 127.0.0.1:{shop.port} max_fails=3 fail_timeout=2s;  # app1"
    assert " down;  # app2: has not passed its health check" in second
    assert [line.split(": GET")[0] for line in result["refused"]] == ["shop: app2 at 127.0.0.1:1"]
    assert (result["held_out"], state_file.exists()) == ([], True)
    assert (tree.path / "pools/shop.conf").read_text() == result["files"]["pools/shop.conf"]


def test_a_second_run_asks_nobody_and_changes_nothing(
    run: Run, shop: Running, state_file: Path
) -> None:
    first = run(sites(shop.port))
    text = state_file.read_text()
    second = run(sites(shop.port))
    assert (first["changed"], second["changed"]) == (True, False)
    assert first["files"] == second["files"]
    assert state_file.read_text() == text
    assert len(shop.seen) == 1


def test_a_check_tells_the_same_and_writes_nothing(
    run: Run, shop: Running, state_file: Path
) -> None:
    told = run(sites(shop.port), check=True)
    assert not state_file.parent.exists()
    done = run(sites(shop.port))
    for key in ("changed", "files", "refused", "held_out"):
        assert told[key] == done[key]


def test_a_member_that_moved_is_asked_again(run: Run, shop: Running) -> None:
    run(sites(shop.port))
    with app() as other:
        run(sites(other.port))
        assert len(other.seen) == 1


def test_an_admission_outlives_a_fault(run: Run, shop: Running) -> None:
    run(sites(shop.port))
    (site,) = sites(shop.port)
    site["health"]["path"] = "/broken"
    result = run([site])
    assert result["refused"] == []
    assert " down;" not in result["files"]["pools/shop.conf"]


def drained(run: str) -> pool.Drain:
    return {"run": run, "by": "alice@ctl", "when": "then", "why": "a release"}


def drain(state_file: Path, who: str, run: str) -> None:
    state = pool.read(state_file)
    state.drained = {"shop": {who: drained(run)}}
    pool.write(state_file, state)


def test_what_another_run_left_drained_is_restored_where_it_is_healthy(
    run: Run, shop: Running, state_file: Path
) -> None:
    with app() as other:
        both = sites(shop.port, app2=other.port)
        run(both)
        drain(state_file, "app2", "r2")
        other_runs = run(both, over_drains={"shop": {"app2": drained("r1")}})
        assert other_runs["held_out"] == ["shop: app2: drained by alice@ctl at then: a release"]
        assert len(other.seen) == 1
        drain(state_file, "app2", "r1")
        over = run()["drained"]
        assert over == {"shop": {"app2": drained("r1")}}
        result = run(both, over_drains=over)
        assert (result["held_out"], result["refused"]) == ([], [])
        assert " down;" not in result["files"]["pools/shop.conf"]
        drain(state_file, "app2", "r1")
    result = run(both, over_drains=over)
    assert result["held_out"] == other_runs["held_out"]
    assert result["refused"][0].startswith("shop: app2 at")


def test_a_new_balancer_takes_over_what_was_drained_by_hand(run: Run, shop: Running) -> None:
    older = HAND | {"state": "restored", "when": "2026-11-20T00:00:00Z"}
    result = run(sites(shop.port, app2=1), hand_drains=[{"app2": HAND}, {"app2": older}])
    assert result["refused"] == []
    assert result["held_out"] == ["shop: app2: drained by bob@ctl at 2026-11-21T10:00:00Z: kernel"]
    assert run()["hosts"] == {"app2": HAND}


def test_reading_needs_no_file_and_writes_none(run: Run, state_file: Path) -> None:
    result = run()
    assert (result["hosts"], result["changed"]) == ({}, False)
    assert not state_file.exists()


def test_what_nginx_refuses_leaves_state_and_files_as_they_were(
    run: Run, shop: Running, tree: Tree, state_file: Path
) -> None:
    run(sites(shop.port))
    tree.start()
    drain(state_file, "app1", "r1")
    left = state_file.read_text()
    result = run(sites(shop.port), files={"nginx.conf": main_conf(tree, "    no_such_word;\n")})
    assert 'unknown directive "no_such_word"' in result["msg"]
    assert state_file.read_text() == left
    assert "no_such_word" not in (tree.path / "nginx.conf").read_text()
    done = run(sites(shop.port), over_drains={"shop": {"app1": drained("r1")}})
    assert (done["changed"], done["running"]) == (True, True)
    assert pool.read(state_file).drained == {}


def test_of_its_folders_what_is_wanted_no_more_goes(run: Run, shop: Running, tree: Tree) -> None:
    with app() as other:
        both = [*sites(shop.port), {**sites(other.port)[0], "name": "blog"}]
        run(both, owned=["pools"])
        assert {path.name for path in (tree.path / "pools").iterdir()} == {"shop.conf", "blog.conf"}
    run(sites(shop.port), owned=["pools"])
    assert {path.name for path in (tree.path / "pools").iterdir()} == {"shop.conf"}


def test_a_pool_that_is_served_is_not_emptied(run: Run, shop: Running, state_file: Path) -> None:
    run(sites(shop.port))
    before = state_file.read_text()
    result = run(sites(1))
    assert result["failed"]
    assert "shop: app1 would leave the pool, and nobody would serve it" in result["msg"]
    assert state_file.read_text() == before


def test_a_broken_state_is_refused_by_name(run: Run, shop: Running, state_file: Path) -> None:
    state_file.parent.mkdir()
    state_file.write_text("{")
    assert f"{state_file}: " in run(sites(shop.port))["msg"]
    assert f"{state_file}: " in run()["msg"]
    state_file.write_text(json.dumps({"shop": {"app1": {"address": "a:1"}}}))
    assert run(sites(shop.port))["changed"]


def test_a_new_balancer_takes_over_which_sites_are_in_maintenance(
    run: Run, shop: Running, state_file: Path
) -> None:
    on = {"state": "on", "message": "soon", "retry_after": 300, "by": "bob@ctl", "when": "2026-11"}
    older = on | {"state": "off", "when": "2026-10"}
    result = run(sites(shop.port), maintenance=[{"shop": on, "gone": on}, {"shop": older}, {}])
    assert result["in_maintenance"] == ["shop: maintenance on by bob@ctl since 2026-11: soon"]
    assert "return 503" in result["files"]["maintenance/shop.conf"]
    assert run()["maintenance"] == {"shop": on}
    again = run(sites(shop.port), maintenance=[{"shop": on}])
    assert not again["changed"]
    over = run(sites(shop.port), maintenance=[{"shop": on | {"state": "off", "when": "2026-12"}}])
    assert over["in_maintenance"] == []
    assert over["files"]["maintenance/shop.conf"].count("\n") == 1


def test_what_is_on_wins_over_what_was_turned_off_in_the_same_second() -> None:
    on: Any = {"state": "on", "message": "", "retry_after": 300, "by": "bob@ctl", "when": "2026"}
    off = on | {"state": "off"}
    for order in ([on, off], [off, on]):
        assert maintenance.merge({"shop": one} for one in order) == {"shop": on}


def test_a_state_from_before_maintenance_has_none(state_file: Path) -> None:
    state_file.parent.mkdir()
    state_file.write_text('{"version": 2, "pools": {}, "admitted": {}, "drained": {}, "hosts": {}}')
    assert pool.read(state_file) == pool.State()


def test_a_new_balancer_takes_over_which_canaries_are_on(
    run: Run, shop: Running, state_file: Path
) -> None:
    on = {"state": "on", "release": "abc", "hosts": ["app1"], "weight": 10, "by": "bob@ctl",
          "when": "2026-11"}  # fmt: skip
    with app() as other:
        both = sites(shop.port, app2=other.port)
        result = run(both, canaries=[{}, {"shop": on, "gone": on}])
        assert "weight=1 " in result["files"]["pools/shop.conf"].splitlines()[1]
        assert "weight=9 " in result["files"]["pools/shop.conf"].splitlines()[2]
        assert result["on_canary"][0].startswith("shop: a canary of release abc on app1 gets 10 %")
        assert run()["canaries"] == {"shop": on}
        assert not run(both, canaries=[{"shop": on}])["changed"]
        off = run(both, canaries=[{"shop": on}, {"shop": on | {"state": "off", "when": "2026-12"}}])
        assert (off["on_canary"], "weight" in off["files"]["pools/shop.conf"]) == ([], False)


def test_what_is_expected_beside_nginx_is_looked_for(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "watch.py"
    wanted = {str(file): hashlib.sha1(b"new").hexdigest()}
    assert not run(expects=wanted)["expected"]
    file.write_text("old")
    assert not run(expects=wanted)["expected"]
    file.write_text("new")
    assert run(expects=wanted)["expected"]
