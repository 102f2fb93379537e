"""Releases on a host: which is complete, where the next is built, which are cleared away."""

import errno
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
from fuego_deploy import artifact, release, requirements
from fuego_deploy.layout import App, DeployError, write_json
from fuego_deploy.release import Python, Settings
from packaging.markers import Marker

PYTHON = Python("/usr/bin/python3", "3.13.5", "cpython-313-x86_64-linux-gnu", "/usr")
SETTINGS = Settings("/nonexistent/uv")
ID = "0123456789ab"


def built(app: App, name: str, python: Python = PYTHON, when: str = "2026-01-01") -> Path:
    folder = app.releases / name
    folder.mkdir()
    marker = {"id": name.partition(".")[0], "python": python.version, "abi": python.abi,
              "base": python.base, "built": when}  # fmt: skip
    write_json(folder / release.MARKER, marker)
    return folder


def activate(app: App, number: int, name: str) -> None:
    (app.activations / str(number)).mkdir()
    (app.activations / str(number) / "release").symlink_to(f"../../releases/{name}")


def packed(app: App, tmp_path: Path) -> Path:
    """An artifact of a small source."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "main.py").write_text("app = 1\n")
    (tmp_path / "lock").write_text("")
    made = artifact.make(artifact.Source("x", folder, tmp_path / "lock"), tmp_path, Path("uv"))
    assert made.archive
    return made.archive


def test_a_release_without_its_marker_is_missing(app: App) -> None:
    (app.releases / ID).mkdir()
    assert release.find(app, ID, PYTHON) is None
    (app.releases / ID / release.MARKER).write_text("{")  # half written
    assert release.find(app, ID, PYTHON) is None


@pytest.mark.parametrize(
    ("python", "found"),
    [
        (replace(PYTHON, version="3.13.9"), True),
        (replace(PYTHON, version="3.14.0", abi="cpython-314-x86_64-linux-gnu"), False),
        (replace(PYTHON, base="/opt/python"), False),
        (replace(PYTHON, abi="cpython-313t-x86_64-linux-gnu"), False),
    ],
)
def test_a_release_of_another_python_is_missing(app: App, python: Python, found: bool) -> None:
    built(app, ID)
    assert (release.find(app, ID, python) is not None) is found


def test_an_unfinished_folder_is_built_over(app: App) -> None:
    (app.releases / ID).mkdir()
    assert release.place(app, ID).name == ID


def test_a_folder_in_use_is_never_built_over(app: App) -> None:
    built(app, ID)
    activate(app, 1, ID)
    assert release.place(app, ID).name == f"{ID}.2"
    newer = replace(PYTHON, version="3.14.0", abi="cpython-314")
    built(app, f"{ID}.2", newer)
    assert release.find(app, ID, newer) == app.releases / f"{ID}.2"
    assert release.find(app, ID, PYTHON) == app.releases / ID


def test_another_release_that_begins_alike_is_another(app: App) -> None:
    built(app, ID + "cd")
    assert release.find(app, ID, PYTHON) is None


def failing(problem: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise problem

    return fail


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), DeployError("uv says no")])
def test_what_fails_leaves_no_release(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    archive = packed(app, tmp_path)
    monkeypatch.setattr(release, "install", failing(problem))
    with pytest.raises(type(problem)):
        release.build(app, archive.name.split(".")[0], archive, PYTHON, SETTINGS)
    assert list(app.releases.iterdir()) == []


def test_a_full_disk_is_told_in_words(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(app, tmp_path)
    monkeypatch.setattr(release, "install", failing(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(
        DeployError, match=r"apps\.fuego-test-hello: no space left .*/releases, .* MiB free"
    ):
        release.build(app, archive.name.split(".")[0], archive, PYTHON, SETTINGS)
    assert list(app.releases.iterdir()) == []


def test_an_archive_cut_short_is_told_in_words(app: App, tmp_path: Path) -> None:
    archive = packed(app, tmp_path)
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(DeployError, match="cannot be read"):
        release.build(app, archive.name.split(".")[0], archive, PYTHON, SETTINGS)


def test_an_environment_is_taken_from_another_host(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its scripts lie in a folder of the same name; else it is made here."""
    archive, shared = packed(app, tmp_path), tmp_path / "shared"
    name = archive.name.split(".")[0]
    there = tmp_path / "there" / name / ".venv"
    (there / "bin").mkdir(parents=True)
    (there / "bin" / "python").symlink_to("/usr/bin/python3")
    release.pack_environment(there.parent, shared)
    monkeypatch.setattr(release, "install", failing(DeployError("is made here")))
    monkeypatch.setattr(release, "_uv_version", lambda _: "0")
    folder = release.build(app, name, archive, PYTHON, SETTINGS, shared)
    assert (folder / ".venv/bin/python").readlink() == Path("/usr/bin/python3")
    activate(app, 1, name)
    with pytest.raises(DeployError, match="is made here"):
        release.build(app, name, archive, PYTHON, SETTINGS, shared)
    shared.write_bytes(shared.read_bytes()[:-30])
    (app.activations / "1/release").unlink()
    with pytest.raises(DeployError, match="another host built cannot be read"):
        release.build(app, name, archive, PYTHON, SETTINGS, shared)


def test_another_releases_archive_is_refused(app: App, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=f"is not release {ID}"):
        release.build(app, ID, packed(app, tmp_path), PYTHON, SETTINGS)


def test_uvs_own_words_and_no_password(app: App, tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text(
        "#!/bin/sh\necho 'no flask at https://me:secret@index.example/simple' >&2\nexit 1\n"
    )
    uv.chmod(0o755)
    archive = packed(app, tmp_path)
    with pytest.raises(DeployError) as refusal:
        release.build(app, archive.name.split(".")[0], archive, PYTHON, Settings(str(uv)))
    assert "apps.fuego-test-hello: the packages cannot be installed" in str(refusal.value)
    assert "no flask at https://***@index.example/simple" in str(refusal.value)


def test_python_has_to_run(app: App) -> None:
    with pytest.raises(DeployError, match="app_python /nonexistent does not run"):
        release.ask_python(app, "/nonexistent")
    assert release.ask_python(app, sys.executable).version.startswith("3.")


def test_python_has_to_be_recent(app: App, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    facts = json.dumps({"version": "3.9.2", "abi": "x", "base": "/usr"})
    old.write_text(f"#!/bin/sh\necho '{facts}'\n")
    old.chmod(0o755)
    with pytest.raises(DeployError, match=r"is Python 3\.9\.2; 3\.11 or later is needed"):
        release.ask_python(app, str(old))


def test_prune_keeps_the_newest_the_current_and_the_previous(app: App) -> None:
    for number in range(1, 10):
        built(app, f"{number:012}", when=f"2026-01-{number:02}")
        activate(app, number, f"{number:012}")
        (app.artifacts / f"{number:012}.tar.gz").write_text("")
    app.current.symlink_to("activations/2")
    app.previous.symlink_to("activations/1")
    (app.releases / "cccccccccccc").mkdir()  # unfinished
    release.prune(app, 3)
    kept = [f"{number:012}" for number in (1, 2, 7, 8, 9)]
    assert sorted(path.name for path in app.releases.iterdir()) == kept
    assert sorted(path.name for path in app.activations.iterdir()) == ["1", "2", "7", "8", "9"]
    assert sorted(path.name for path in app.artifacts.iterdir()) == [f"{i}.tar.gz" for i in kept]
    assert release.prune(app, 3) == []


def test_prune_takes_activations_whose_release_goes(app: App) -> None:
    for number in range(1, 4):
        built(app, f"{number:012}", when=f"2026-01-{number:02}")
        activate(app, number, "000000000001")
    activate(app, 4, "000000000003")
    release.prune(app, 1)
    assert [path.name for path in app.releases.iterdir()] == ["000000000003"]
    assert [path.name for path in app.activations.iterdir()] == ["4"]


def test_prune_leaves_an_old_release_that_was_just_staged_again(app: App) -> None:
    for number in range(1, 4):
        built(app, f"{number:012}", when=f"2026-01-{number:02}")
        activate(app, number, f"{number:012}")
    activate(app, 4, "000000000001")
    app.current.symlink_to("activations/3")
    release.prune(app, 2)
    kept = [f"{number:012}" for number in (1, 2, 3)]
    assert sorted(path.name for path in app.releases.iterdir()) == kept
    assert sorted(path.name for path in app.activations.iterdir()) == ["3", "4"]


# What is installed ------------------------------------------------------------------------------


def wheel(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    with ZipFile(folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl", "w") as file:
        info = f"{name.replace('-', '_')}-1.0.dist-info/METADATA"
        file.writestr(info, f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n")


LOCK = """\
# ours
click==8.5.1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
uvicorn==0.54.0 \\
    --hash=sha256:cc
uvloop==0.22.0 ; sys_platform != 'win32' \\
    --hash=sha256:dd
"""


@pytest.mark.parametrize(
    ("own", "left", "strict"),
    [
        (None, ["click", "uvicorn", "uvloop"], False),
        ("flask\n", ["click", "uvicorn", "uvloop"], False),
        ("Click==8.0\nuvicorn[standard] >= 0.30\n", ["uvloop"], False),
        ("uv-loop==1\n", ["click", "uvicorn", "uvloop"], False),
        ("click==8.0 --hash=sha256:ee\n", ["uvicorn", "uvloop"], True),
        ("click==8.0 \\\n  --hash=sha256:ee\nflask==3\n", ["uvicorn", "uvloop"], False),
        ("# nothing yet\n", ["click", "uvicorn", "uvloop"], False),
    ],
)
def test_what_the_app_names_wins_over_the_servers_lock(
    tmp_path: Path, own: str | None, left: list[str], strict: bool
) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "server.txt").write_text(LOCK)
    if own is not None:
        (tmp_path / "src" / "requirements.txt").write_text(own)
    assert release.plan_requirements(tmp_path, tmp_path / "wanted") is strict
    lines = (tmp_path / "wanted").read_text().splitlines()
    assert [line.split("==")[0] for line in lines] == left
    assert all("--hash=sha256:" in line for line in lines)


def test_local_packages_come_from_their_files_alone(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "server.txt").write_text(LOCK)
    wheel(tmp_path / "wheels", "fuego-web")
    wheel(tmp_path / "wheels", "Click")
    release.plan_requirements(tmp_path, tmp_path / "wanted")
    lines = (tmp_path / "wanted").read_text().splitlines()
    assert [line.split()[0].split("==")[0] for line in lines] == [
        "uvicorn", "uvloop", "click", "fuego-web",
    ]  # fmt: skip
    assert f"fuego-web @ file://{tmp_path}/wheels/fuego_web-1.0" in lines[-1]


NARROW = "click==8.0 ; python_full_version < '3.13' \\\n  --hash=sha256:ee\n"
SPLIT = "click==7 ; python_version < '3.12'\nclick==8 ; python_version >= '3.12'\n"
ELSEWHERE = (
    "uvloop==1 ; sys_platform == 'darwin' or (os_name == 'nt' and 'arm' in platform_machine)\n"
)


@pytest.mark.parametrize(
    ("own", "name", "holds"),
    [
        (NARROW, "click", {"python_full_version": "3.13.5"}),
        (NARROW, "click", {"python_full_version": "3.11.2"}),
        (SPLIT, "click", {"python_version": "3.11"}),
        (SPLIT, "click", {"python_version": "3.12"}),
        (ELSEWHERE, "uvloop", {"sys_platform": "linux"}),
        (ELSEWHERE, "uvloop", {"sys_platform": "darwin"}),
        (ELSEWHERE, "uvloop", {"os_name": "nt", "platform_machine": "arm64"}),
        (ELSEWHERE, "uvloop", {"os_name": "nt", "platform_machine": "x86_64"}),
        (ELSEWHERE, "uvloop", {"sys_platform": "win32"}),
    ],
)
def test_what_the_app_names_for_other_platforms_alone_comes_from_the_servers_lock(
    own: str, name: str, holds: dict[str, str]
) -> None:
    """uv would refuse two pins of one package, and miss one that no file has."""
    there = {"sys_platform": "linux", "os_name": "posix"} | holds
    added = requirements.beside(LOCK, requirements.logical_lines(own), ())
    lines = [line for line in added.splitlines() if line.startswith(name)]
    named = [requirements.marker_of(line) for line in requirements.logical_lines(own)]
    by_app = any(Marker(marker).evaluate(there) for marker in named)
    by_lock = [requirements.marker_of(line) for line in lines]
    excluded = there["sys_platform"] == "win32" and name == "uvloop"
    assert [Marker(marker).evaluate(there) for marker in by_lock] == [not by_app and not excluded]
    assert all(line.endswith(("sha256:bb", "sha256:dd")) for line in lines)


def test_a_marker_that_cannot_be_turned_round_leaves_the_package_to_the_app() -> None:
    added = requirements.beside(LOCK, ["click==8 ; python_version ~= '3.11'"], ())
    assert "click" not in added
    assert "uvicorn" in added


def test_requirements_named_by_another_file_count(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "server.txt").write_text(LOCK)
    (tmp_path / "src" / "requirements.txt").write_text("-r base.txt\n")
    (tmp_path / "src" / "base.txt").write_text("uvicorn==0.30\n-r requirements.txt\n")
    release.plan_requirements(tmp_path, tmp_path / "wanted")
    assert "uvicorn" not in (tmp_path / "wanted").read_text()


def test_uv_is_given_our_settings_and_not_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_INDEX_URL", "https://elsewhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    env = release.uv_environment(Settings("uv", "https://index/simple", "/etc/ca.pem"))
    assert "UV_INDEX_URL" not in env
    assert env["HTTPS_PROXY"] == "http://proxy"
    assert env["UV_DEFAULT_INDEX"] == "https://index/simple"
    assert env["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert env["UV_PYTHON_DOWNLOADS"] == "never"
