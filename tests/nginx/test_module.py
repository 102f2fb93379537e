"""The module against a real nginx: what lands, what does not, and what is running afterwards."""

import hashlib
import os
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nginx_config
import pytest
from ansible.module_utils.basic import AnsibleModule
from fuego_deploy import nginx
from modules import Result, call
from nginx_tree import Tree

MARK = "# Managed by fuego-deploy\n"
Run = Callable[..., Result]


def main_conf(tree: Tree, *, port: int | None = None) -> str:
    return tree.here(
        f"{MARK}pid /run/nginx.pid;\nworker_processes auto;\n"
        "error_log /var/log/nginx/error.log;\nevents {\n}\nhttp {\n    access_log off;\n"
        f"    server {{\n        listen 127.0.0.1:{port or tree.port};\n"
        "        include sites/*.conf;\n    }\n}\n"
    )


def answer(text: str) -> str:
    return f"{MARK}location / {{ return 200 {text}; }}\n"


def get(tree: Tree) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{tree.port}/", timeout=5) as response:
        body: bytes = response.read()
        return body.decode()


def content(tree: Tree) -> dict[str, tuple[str, int]]:
    """Every file with its text and inode, and nothing forgotten beside the folder."""
    assert not list(tree.home.glob(".nginx-*"))
    return {
        str(path.relative_to(tree.path)): (path.read_text(), path.stat().st_ino)
        for path in tree.path.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def run(tree: Tree, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the module as Ansible does."""

    def run(files: dict[str, str], check: bool = False, **options: Any) -> Result:
        where = {
            "path": str(tree.path),
            "executable": tree.program,
            "pid_file": str(tree.pid_file),
            "error_log": str(tree.error_log),
        }
        return call(nginx_config.main, capsys, check, **{"files": files, **where, **options})

    return run


@pytest.fixture
def served(tree: Tree) -> dict[str, str]:
    """Files of a running nginx that answers `old`."""
    files = {"sites/a.conf": answer("old"), "nginx.conf": main_conf(tree)}
    tree.write(files)
    tree.start()
    return files


def test_lays_files_and_says_which(tree: Tree, run: Run) -> None:
    files = {"sites/a.conf": answer("hi"), "nginx.conf": main_conf(tree)}
    result = run(files)
    assert result["changed"]
    assert result["files"] == list(files)
    assert (result["tested"], result["reloaded"]) == (True, False)
    assert [d["after"] for d in result["diff"]] == list(files.values())
    assert stat.S_IMODE((tree.path / "nginx.conf").stat().st_mode) == 0o644


def test_second_run_changes_nothing(tree: Tree, run: Run, served: dict[str, str]) -> None:
    before, workers = content(tree), tree.workers()
    result = run(served)
    assert (result["changed"], result["files"], result["reloaded"]) == (False, [], False)
    assert content(tree) == before
    assert tree.workers() == workers


def test_running_nginx_has_taken_it_when_the_task_ends(
    tree: Tree, run: Run, served: dict[str, str]
) -> None:
    assert get(tree) == "old"
    for n in range(5):
        assert run({**served, "sites/a.conf": answer(f"new{n}")})["reloaded"]
        assert get(tree) == f"new{n}"


@pytest.mark.parametrize("check", [False, True])
def test_refused_by_nginx_never_lands(
    tree: Tree, run: Run, served: dict[str, str], check: bool
) -> None:
    before = content(tree)
    result = run({**served, "sites/a.conf": f"{MARK}\nnonsense on;\n"}, check)
    assert result["failed"]
    assert f'unknown directive "nonsense" in {tree.path}/sites/a.conf:3' in result["msg"]
    assert content(tree) == before
    assert get(tree) == "old"


def test_check_mode_tells_the_truth_and_does_nothing(
    tree: Tree, run: Run, served: dict[str, str]
) -> None:
    new = {**served, "sites/a.conf": answer("new"), "sites/b.conf": MARK}
    before = content(tree)
    told = run(new, check=True)
    assert content(tree) == before
    assert get(tree) == "old"
    done = run(new)
    assert {**told, "invocation": 0} == {**done, "invocation": 0}


def test_check_mode_without_nginx_tells_what_would_change(tree: Tree, run: Run) -> None:
    result = run({"nginx.conf": MARK}, check=True, executable="no-nginx", path="/no/such/folder")
    assert (result["changed"], result["tested"]) == (True, False)
    assert result["files"] == ["nginx.conf"]
    result = run({"nginx.conf": MARK}, executable="no-nginx")
    assert "no-nginx is not installed" in result["msg"]


def test_reload_that_does_not_take_is_undone(tree: Tree, run: Run, served: dict[str, str]) -> None:
    """A port that somebody else has passes `nginx -t`, and nginx keeps the former configuration."""
    before = {name: text for name, (text, _) in content(tree).items()}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        new = {"sites/new.conf": MARK, "nginx.conf": main_conf(tree, port=taken.getsockname()[1])}
        result = run({**served, **new}, owned=["sites"])
    assert result["failed"]
    assert "Address already in use" in result["msg"]
    assert "former files are back" in result["msg"]
    assert {name: text for name, (text, _) in content(tree).items()} == before
    assert get(tree) == "old"


def test_what_a_killed_run_left_is_finished(tree: Tree, run: Run, served: dict[str, str]) -> None:
    """Killed after the files were replaced and before nginx was told."""
    (tree.path / nginx.PENDING).touch()
    (tree.path / "sites/a.conf").write_text(answer("new"))
    (tree.home / f"{nginx.TRIAL}left").mkdir()
    new = {**served, "sites/a.conf": answer("new")}
    assert run(new, check=True)["changed"]
    assert get(tree) == "old"
    result = run(new)
    assert (result["changed"], result["reloaded"], result["files"]) == (True, True, [])
    assert get(tree) == "new"
    # The trial of a killed run goes with the next one.
    run({**served, "sites/a.conf": answer("newer")})
    assert not run({**served, "sites/a.conf": answer("newer")})["changed"]
    content(tree)


def test_interrupted_between_two_files_is_undone(
    tree: Tree, run: Run, served: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: text for name, (text, _) in content(tree).items()}
    rename, calls = os.replace, []

    def full(source: str, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "replace", full)
    new = {"sites/0.conf": MARK, "sites/a.conf": answer("new")}
    result = run({**served, **new})
    assert "no space left on the disk" in result["msg"]
    assert {name: text for name, (text, _) in content(tree).items()} == before


def test_removes_only_files_with_our_mark_from_owned_folders(tree: Tree, run: Run) -> None:
    files = {"nginx.conf": main_conf(tree), "sites/a.conf": MARK}
    ours = {"sites/gone.conf": MARK, "other/gone.conf": MARK}
    theirs = {"sites/theirs.conf": "# mine\n", "sites/a.d/theirs.conf": "# mine\n"}
    tree.write({**files, **ours, **theirs})
    result = run(files, owned=["sites", "no-such-folder"])
    assert result["files"] == ["sites/gone.conf"]
    assert {*theirs, "other/gone.conf"} <= content(tree).keys()
    assert "sites/gone.conf" not in content(tree)


def test_files_of_others_are_refused_by_name(tree: Tree, run: Run) -> None:
    (tree.path / "nginx.conf").write_text("# mine\n")
    result = run({"nginx.conf": main_conf(tree)})
    assert f"{tree.path}/nginx.conf is not ours" in result["msg"]
    assert f"mv {tree.path}/nginx.conf" in result["msg"]
    assert (tree.path / "nginx.conf").read_text() == "# mine\n"


@pytest.fixture
def shipped(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> str:
    """The distribution's nginx.conf, as its package database knows it."""
    text = "# as shipped\n"
    (tree.path / "nginx.conf").write_text(text)
    digest = hashlib.md5(text.encode()).hexdigest()
    lines = f"\n {tree.path}/nginx.conf {digest}\n"
    known = subprocess.run

    def dpkg(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if command[0] != "dpkg-query":
            done: subprocess.CompletedProcess[str] = known(command, **options)
            return done
        return subprocess.CompletedProcess(command, 0, stdout=lines, stderr="")

    monkeypatch.setattr(subprocess, "run", dpkg)
    return text


def test_the_distributions_file_gives_way_and_is_kept(tree: Tree, run: Run, shipped: str) -> None:
    result = run({"nginx.conf": main_conf(tree)})
    assert result["files"] == ["nginx.conf.distribution", "nginx.conf"]
    assert (tree.path / "nginx.conf.distribution").read_text() == shipped
    assert not run({"nginx.conf": main_conf(tree)})["changed"]


def test_sites_that_would_be_lost_are_named(tree: Tree, run: Run, shipped: str) -> None:
    tree.write({"sites-enabled/default": "", "sites-enabled/blog": ""})
    result = run({"nginx.conf": main_conf(tree)})
    assert f"{tree.path}/sites-enabled/blog" in result["msg"]
    assert "default" not in result["msg"]
    assert (tree.path / "nginx.conf").read_text() == shipped


def test_a_broken_drop_in_fails_though_nothing_of_ours_changed(
    tree: Tree, run: Run, served: dict[str, str]
) -> None:
    (tree.path / "sites/own.conf").write_text("nonsense;\n")
    for check in (True, False):
        assert f"{tree.path}/sites/own.conf:1" in run(served, check)["msg"]


def test_warnings_of_nginx_are_passed_on(
    tree: Tree, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _, text: told.append(text))
    twice = f"server {{ listen 127.0.0.1:{tree.port}; server_name a; }}\n" * 2
    run({"nginx.conf": main_conf(tree).replace("http {\n", "http {\n" + twice)})
    assert told == [f'[warn] conflicting server name "a" on 127.0.0.1:{tree.port}, ignored']


def test_links_and_private_files_survive(tree: Tree, run: Run, served: dict[str, str]) -> None:
    (tree.home / "outside.conf").write_text("# theirs\n")
    (tree.path / "sites/link.conf").symlink_to("../../outside.conf")
    key = tree.path / "key.pem"
    key.write_text("secret")
    key.chmod(0o600)
    inode = key.stat().st_ino
    assert run({**served, "sites/a.conf": answer("new")})["changed"]
    assert (tree.path / "sites/link.conf").is_symlink()
    assert (key.stat().st_ino, key.stat().st_nlink, key.read_text()) == (inode, 1, "secret")


@pytest.mark.parametrize("name", ["/etc/passwd", "../other.conf"])
def test_paths_stay_below_the_folder(run: Run, name: str) -> None:
    assert "does not stay below" in run({name: MARK})["msg"]


def test_every_file_carries_the_mark(run: Run) -> None:
    assert "lacks 'Managed by fuego-deploy'" in run({"nginx.conf": "events {}\n"})["msg"]


def test_ipv6_listeners_only_where_the_host_has_it() -> None:
    text = f"{MARK}server {{\n    listen 80;\n    listen [::]:80 default_server;\n}}\n"
    assert nginx.wanted({"a": text}, "Managed", ipv6=True) == {"a": text.encode()}
    short = f"{MARK}server {{\n    listen 80;\n}}\n"
    assert nginx.wanted({"a": text}, "Managed", ipv6=False) == {"a": short.encode()}


def test_a_stale_pid_file_is_no_running_nginx(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    assert nginx.running(file) is None
    for text in ("", "words", str(os.getpid())):
        file.write_text(text)
        assert nginx.running(file) is None
