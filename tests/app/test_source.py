"""Which files are an app's source, and that its id follows from them and from nothing else."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from fuego_deploy import artifact
from fuego_deploy.artifact import Source, identify, make
from fuego_deploy.layout import DeployError
from fuego_deploy.source import list_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "static").mkdir(parents=True)
    (folder / "main.py").write_text("app = 1\n")
    (folder / "static" / "style.css").write_text("a {}\n")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o755)
    (folder / "latest.css").symlink_to("static/style.css")
    return folder


@pytest.fixture
def source(folder: Path, tmp_path: Path) -> Source:
    (tmp_path / "lock.txt").write_text("gunicorn==1 --hash=sha256:00\n")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "library.py").write_text("x = 1\n")
    return Source("shop", folder, tmp_path / "lock.txt", (tmp_path / "library",))


def names(folder: Path) -> list[str]:
    return [os.fsdecode(e.path) for e in list_source(folder, "apps.shop.source.path").entries]


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


# What counts ------------------------------------------------------------------------------------


def edit(source: Source) -> None:
    (source.folder / "main.py").write_text("app = 2\n")


def rename(source: Source) -> None:
    (source.folder / "main.py").rename(source.folder / "shop.py")


def rename_in_its_place(source: Source) -> None:
    (source.folder / "main.py").rename(source.folder / "main2.py")


def make_executable(source: Source) -> None:
    (source.folder / "main.py").chmod(0o755)


def point_elsewhere(source: Source) -> None:
    (source.folder / "latest.css").unlink()
    (source.folder / "latest.css").symlink_to("main.py")


def replace_link_by_its_content(source: Source) -> None:
    (source.folder / "latest.css").unlink()
    (source.folder / "latest.css").write_text("static/style.css")


def add(source: Source) -> None:
    (source.folder / "new.py").write_text("")


def move_content_between_files(source: Source) -> None:
    (source.folder / "main.py").write_text("a {}\n")
    (source.folder / "static" / "style.css").write_text("app = 1\n")


def edit_package(source: Source) -> None:
    (source.packages[0] / "library.py").write_text("x = 2\n")


def edit_lock(source: Source) -> None:
    source.lock.write_text("gunicorn==2 --hash=sha256:00\n")


@pytest.mark.parametrize(
    "change",
    [edit, rename, rename_in_its_place, make_executable, point_elsewhere,
     replace_link_by_its_content, add, move_content_between_files, edit_package, edit_lock],
)  # fmt: skip
def test_id_follows_the_content(source: Source, change: Callable[[Source], None]) -> None:
    before = identify(source).id
    change(source)
    assert identify(source).id != before


def touch(source: Source) -> None:
    os.utime(source.folder / "main.py", (1, 1))


def restrict(source: Source) -> None:
    (source.folder / "main.py").chmod(0o640)


def leave_bytecode(source: Source) -> None:
    (source.folder / "__pycache__").mkdir()
    (source.folder / "__pycache__" / "main.cpython-313.pyc").write_bytes(b"x")
    (source.packages[0] / "library.pyc").write_bytes(b"x")


def leave_environment(source: Source) -> None:
    (source.folder / ".venv" / "bin").mkdir(parents=True)
    (source.folder / ".venv" / "bin" / "python").symlink_to("/usr/bin/python3")
    (source.folder / "other-env").mkdir()
    (source.folder / "other-env" / "pyvenv.cfg").write_text("home = /usr/bin\n")


def leave_what_tools_leave(source: Source) -> None:
    for name in (".git", ".pytest_cache", "node_modules", ".mypy_cache"):
        (source.folder / name).mkdir()
        (source.folder / name / "file").write_text("x")
    (source.folder / ".env").write_text("SECRET=x\n")


@pytest.mark.parametrize(
    "change", [touch, restrict, leave_bytecode, leave_environment, leave_what_tools_leave]
)
def test_id_follows_nothing_else(source: Source, change: Callable[[Source], None]) -> None:
    before = identify(source).id
    change(source)
    assert identify(source).id == before


def test_id_is_the_same_wherever_the_checkout_lies(source: Source, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(source.folder, copy, symlinks=True)
    assert identify(Source("other", copy, source.lock, source.packages)).id == identify(source).id


# Which files ------------------------------------------------------------------------------------


def test_gitignore_is_honoured(folder: Path) -> None:
    git(folder, "init")
    (folder / ".gitignore").write_text("*.sqlite\n/secret\n")
    (folder / "db.sqlite").write_text("x")
    (folder / "secret").mkdir()
    (folder / "secret" / "key").write_text("x")
    git(folder, "add", "main.py")
    assert names(folder) == [".gitignore", "latest.css", "main.py", "run", "static/style.css"]


def test_source_below_the_top_of_a_work_tree(folder: Path) -> None:
    git(folder.parent, "init")
    (folder.parent / "other.py").write_text("x")
    assert names(folder) == ["latest.css", "main.py", "run", "static/style.css"]


def test_a_file_deleted_and_not_committed_is_gone(folder: Path) -> None:
    git(folder, "init")
    git(folder, "add", ".")
    (folder / "main.py").unlink()
    assert "main.py" not in names(folder)


def test_a_repository_inside_is_part_of_it(folder: Path) -> None:
    git(folder, "init")
    (folder / "vendor").mkdir()
    git(folder / "vendor", "init")
    (folder / "vendor" / "code.py").write_text("x")
    assert "vendor/code.py" in names(folder)


def test_source_that_a_repository_above_ignores(folder: Path) -> None:
    git(folder.parent, "init")
    (folder.parent / ".gitignore").write_text("*\n")
    assert "main.py" in names(folder)


def test_git_that_refuses_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".git").mkdir()  # no repository, so that git fails as over a foreign owner
    listing = list_source(folder, "apps.shop.source.path")
    assert "main.py" in [os.fsdecode(e.path) for e in listing.entries]
    assert ".gitignore is not honoured" in listing.warnings[0]


def test_no_git_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(folder, "init")
    monkeypatch.setenv("PATH", "/nonexistent")
    listing = list_source(folder, "apps.shop.source.path")
    assert "no git here" in listing.warnings[0]


def test_names_that_are_no_text(folder: Path) -> None:
    with open(os.path.join(os.fsencode(folder), b"caf\xe9.txt"), "w"):
        pass
    git(folder, "init")
    assert os.fsdecode(b"caf\xe9.txt") in names(folder)


@pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "static/../../outside"])
def test_a_symlink_that_leaves_is_refused_by_name(folder: Path, target: str) -> None:
    (folder / "static" / "out").symlink_to(f"../{target}" if target[0] != "/" else target)
    with pytest.raises(DeployError, match=r"apps\.shop\.source\.path: static/out is a symlink to"):
        names(folder)


def test_a_symlink_through_a_symlink_is_judged_by_its_end(folder: Path) -> None:
    (folder / "here").symlink_to("static")
    (folder / "up").symlink_to("here/../main.py")
    assert "up" in names(folder)


def test_an_empty_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    with pytest.raises(DeployError, match="no file in"):
        names(tmp_path / "empty")


def test_pipes_and_sockets_are_left_out(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert "pipe" not in names(folder)


# The archive ------------------------------------------------------------------------------------


@pytest.fixture
def alone(source: Source) -> Source:
    """Without a package, which would need a real build."""
    return Source(source.app, source.folder, source.lock)


UV = Path("/nonexistent/uv")


def test_the_same_source_gives_the_same_bytes(alone: Source, tmp_path: Path) -> None:
    one, other = (make(alone, tmp_path / cache, UV).archive for cache in ("one", "other"))
    assert one is not None
    assert other is not None
    assert one.read_bytes() == other.read_bytes()


def test_archive_holds_the_source(alone: Source, tmp_path: Path) -> None:
    made = make(alone, tmp_path / "cache", UV)
    assert made.made
    assert made.archive
    with tarfile.open(made.archive) as tar:
        found = {item.name: item for item in tar}
    assert found["src/run"].mode == 0o755
    assert found["src/main.py"].mode == 0o644
    assert found["src/latest.css"].linkname == "static/style.css"
    assert {item.uid for item in found.values()} == {0}
    assert {"server.txt", "artifact.json", "wheels"} <= set(found)


def test_made_once(alone: Source, tmp_path: Path) -> None:
    first = make(alone, tmp_path / "cache", UV)
    again = make(alone, tmp_path / "cache", UV)
    assert (again.id, again.archive, again.made) == (first.id, first.archive, False)
    assert identify(alone).id == first.id


def test_a_file_that_changes_while_it_is_read_is_in_its_own_release(
    alone: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = artifact._digest
    before = identify(alone).id

    def change_between(*arguments: object) -> tuple[str, int]:
        result = real(*arguments)  # type: ignore[arg-type]
        edit(alone)
        return result

    monkeypatch.setattr(artifact, "_digest", change_between)
    made = make(alone, tmp_path / "cache", UV)
    monkeypatch.undo()
    assert made.id != before
    assert made.id == identify(alone).id
    assert made.archive
    with tarfile.open(made.archive) as tar:
        file = tar.extractfile("src/main.py")
        assert file is not None
        assert file.read() == b"app = 2\n"


def test_interrupted_leaves_nothing_that_is_taken_for_an_artifact(
    alone: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(artifact, "_pack", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make(alone, tmp_path / "cache", UV)
    (tmp_path / "cache" / "artifacts" / ".making-killed").mkdir()  # as SIGKILL would leave
    monkeypatch.undo()
    assert make(alone, tmp_path / "cache", UV).made
    left = {path.name for path in (tmp_path / "cache" / "artifacts").iterdir()}
    assert left == {".lock", f"{identify(alone).id}.tar.gz"}


def test_a_package_that_does_not_build_is_named(source: Source, tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho 'no build system' >&2\nexit 1\n")
    uv.chmod(0o755)
    with pytest.raises(DeployError, match=r"(?s)shop\.source\.packages: .*library.*no build sys"):
        make(source, tmp_path / "cache", uv)


def test_loose_requirements_are_warned_of(alone: Source) -> None:
    (alone.folder / "requirements.txt").write_text("flask>=3\njinja2==3.1.6\n")
    warning = identify(alone).warnings[0]
    assert "does not pin flask>=3;" in warning


def test_controllers_at_once_make_one_artifact(alone: Source, tmp_path: Path) -> None:
    for number in range(200):
        (alone.folder / f"file-{number}").write_text("x" * 5000)
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(make, alone, tmp_path / "cache", UV) for _ in range(4)]
        made = [job.result() for job in jobs]
    assert len({one.archive for one in made}) == 1
    assert sum(one.made for one in made) == 1
    left = {path.name for path in (tmp_path / "cache" / "artifacts").iterdir()}
    assert left == {".lock", f"{made[0].id}.tar.gz"}
