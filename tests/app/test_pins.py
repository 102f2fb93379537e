"""What an app requires: where it is said, what is resolved on the controller, and what is refused.

uv is real; its index is a folder of wheels served on loopback.
"""

import functools
import hashlib
import http.server
import io
import re
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fuego_deploy import artifact, pins, requirements, tool, wheelhouse
from fuego_deploy.artifact import Source
from fuego_deploy.layout import App, DeployError
from fuego_deploy.release import (
    HOUSE,
    SETTLED,
    NoWheelError,
    Python,
    Settings,
    install,
    own_requirements,
    plan_requirements,
)

HASH = "0" * 64
LOCK = f"gunicorn==1.0 --hash=sha256:{HASH}\n"
PROJECT = """
[project]
name = "shop"
version = "1.0"
requires-python = ">=3.11"
dependencies = {dependencies}
"""
BUILD = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'


def wheel(folder: Path, name: str, version: str = "1.0", requires: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(f"{name}.py", "x = 1\n")
        packed.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        packed.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        packed.writestr(f"{info}/RECORD", "")
    return file


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """An index with cake 1.0 and 2.0, which requires flour 1.0."""
    root = tmp_path / "index"
    for name, version, requires in (
        ("cake", "1.0", "flour"), ("cake", "2.0", "flour"), ("flour", "1.0", ""),
    ):  # fmt: skip
        wheel(root / name, name, version, requires)
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "main.py").write_text("app = 1\n")
    return folder


Made = Callable[..., tuple[artifact.Artifact, Path]]


@pytest.fixture
def made(folder: Path, tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch) -> Made:
    """A release of the folder: what its artifact holds, unpacked."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_INDEX", "")
    (tmp_path / "lock.txt").write_text(LOCK)

    def make(source: Path = folder, **given: object) -> tuple[artifact.Artifact, Path]:
        whole = Source("shop", source, tmp_path / "lock.txt", index_url=index, **given)  # type: ignore[arg-type]
        found = artifact.make(whole, tmp_path / "cache", tool.find())
        to = tmp_path / "unpacked" / found.id
        assert found.archive is not None
        with tarfile.open(found.archive) as tar:
            # Debian 12's Python has none of 3.12's filters.
            safe: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(to, **safe)
        return found, to

    return make


def settled(to: Path) -> dict[str, str]:
    """Package → version, of what was resolved on the controller; each has a hash."""
    lines = list(requirements.logical_lines((to / SETTLED).read_text()))
    assert all(requirements.is_hashed(line) for line in lines)
    return dict(re.match(r"([\w-]+)==([\w.]+)", line).groups() for line in lines)  # type: ignore[union-attr, misc]


def test_pinned_requirements_stay_as_they_are(made: Made, folder: Path) -> None:
    (folder / "requirements.txt").write_text("cake==1.0\nflour==1.0\n")
    found, to = made()
    assert not (to / SETTLED).exists()
    assert own_requirements(to) == to / "src" / "requirements.txt"
    assert not found.warnings


def test_what_is_not_pinned_is_resolved_once_and_told_of(
    made: Made, folder: Path, tmp_path: Path
) -> None:
    (folder / "requirements.txt").write_text("cake\n")
    found, to = made()
    assert settled(to) == {"cake": "2.0", "flour": "1.0"}
    assert own_requirements(to).name == SETTLED
    assert plan_requirements(to, to / "wanted.txt"), "hosts check the hashes"
    (warning,) = found.warnings
    assert f"apps.shop.source: {folder / 'requirements.txt'} does not pin cake" in warning
    wheel(tmp_path / "index" / "cake", "cake", "3.0")
    again, to = made()
    assert again.id == found.id
    assert settled(to) == {"cake": "2.0", "flour": "1.0"}, "the release is what it was"


@pytest.mark.parametrize("line", ["./vendor/spoon-1.0-py3-none-any.whl", "--find-links vendor"])
def test_what_means_something_in_its_folder_only_is_left_there(
    made: Made, folder: Path, line: str
) -> None:
    wheel(folder / "vendor", "spoon")
    (folder / "requirements.txt").write_text(f"{line}\ncake\n")
    _, to = made()
    assert not (to / SETTLED).exists()
    with pytest.raises(DeployError, match=r"apps\.shop\.source\.requirements: requirements\.txt"):
        made(requirements=("flour",))


def test_requirements_alone_are_an_app(made: Made, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    first, to = made(empty, requirements=("cake==1.0",))
    assert settled(to) == {"cake": "1.0", "flour": "1.0"}
    assert (to / "src").is_dir()
    assert not first.warnings
    second, to = made(empty, requirements=("cake>=1", "flour"))
    assert settled(to)["cake"] == "2.0"
    assert second.id != first.id
    assert "apps.shop.source.requirements does not pin cake>=1, flour" in second.warnings[0]


def test_requirements_beside_a_folder_are_resolved_with_its_own(made: Made, folder: Path) -> None:
    (folder / "requirements.txt").write_text("flour==1.0\n")
    _, to = made(requirements=("cake==2.0",))
    assert settled(to) == {"cake": "2.0", "flour": "1.0"}


def test_a_wheel_travels_with_the_release_and_what_it_requires_is_resolved(
    made: Made, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    file = wheel(tmp_path / "dist", "shop", requires="cake==1.0")
    found, to = made(tmp_path / "empty", distributions=(file,))
    assert settled(to) == {"cake": "1.0", "flour": "1.0"}
    assert (to / "wheels" / file.name).read_bytes() == file.read_bytes()
    wheel(tmp_path / "dist", "shop", requires="cake==2.0")
    assert made(tmp_path / "empty", distributions=(file,))[0].id != found.id
    file.unlink()
    with pytest.raises(DeployError, match="went away while it was read"):
        made(tmp_path / "empty", distributions=(file,))


def test_an_sdist_becomes_a_wheel_here(made: Made, tmp_path: Path, index: str) -> None:
    (tmp_path / "empty").mkdir()
    file = tmp_path / "shop-1.0.tar.gz"
    backend = (
        "import zipfile\n"
        "def build_wheel(folder, config_settings=None, metadata_directory=None):\n"
        "    name = 'shop-1.0-py3-none-any.whl'\n"
        "    with zipfile.ZipFile(f'{folder}/{name}', 'w') as file:\n"
        "        file.writestr('shop.py', '')\n"
        "        file.writestr('shop-1.0.dist-info/METADATA',\n"
        "                      'Metadata-Version: 2.1\\nName: shop\\nVersion: 1.0\\n')\n"
        "        file.writestr('shop-1.0.dist-info/WHEEL',\n"
        "                      'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n'\n"
        "                      'Tag: py3-none-any\\n')\n"
        "        file.writestr('shop-1.0.dist-info/RECORD', '')\n"
        "    return name\n"
    )
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    with tarfile.open(file, "w:gz") as tar:
        for name, text in (
            ("backend.py", backend), ("pyproject.toml", project + PROJECT.format(dependencies=[])),
            ("PKG-INFO", "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n"),
        ):  # fmt: skip
            item = tarfile.TarInfo(f"shop-1.0/{name}")
            item.size = len(text.encode())
            tar.addfile(item, io.BytesIO(text.encode()))
    _, to = made(tmp_path / "empty", distributions=(file,))
    assert [path.name for path in (to / "wheels").iterdir()] == ["shop-1.0-py3-none-any.whl"]
    file.write_bytes(b"broken")
    with pytest.raises(DeployError, match=r"apps\.shop\.source\.distributions: no wheel can be"):
        made(tmp_path / "empty", distributions=(file,))


def test_a_project_without_a_lock_is_resolved_and_told_of(made: Made, folder: Path) -> None:
    (folder / "pyproject.toml").write_text(PROJECT.format(dependencies=["cake>=2", "flour==1.0"]))
    (folder / "poetry.lock").write_text("")
    found, to = made()
    assert settled(to) == {"cake": "2.0", "flour": "1.0"}
    assert not list((to / "wheels").iterdir()), "without a build system it is no package"
    (warning,) = found.warnings
    assert "pyproject.toml does not pin cake>=2;" in warning
    assert "poetry.lock is not read" in warning


def test_uv_s_lock_is_what_is_installed(made: Made, folder: Path, index: str) -> None:
    (folder / "pyproject.toml").write_text(PROJECT.format(dependencies=["cake"]))
    entry = (
        '[[package]]\nname = "{0}"\nversion = "1.0"\nsource = {{ registry = "{1}" }}\n'
        'wheels = [{{ url = "{1}/{0}/{0}-1.0-py3-none-any.whl", hash = "sha256:{2}" }}]\n'
    )
    locked = (
        'version = 1\nrevision = 3\nrequires-python = ">=3.11"\n'
        + entry.format("cake", index, HASH)
        + '[[package]]\nname = "shop"\nversion = "1.0"\nsource = { virtual = "." }\n'
        'dependencies = [{ name = "cake" }]\n[package.metadata]\n'
        'requires-dist = [{ name = "cake" }]\n'
    )
    (folder / "uv.lock").write_text(locked)
    found, to = made()
    assert settled(to) == {"cake": "1.0"}
    assert not found.warnings
    (folder / "uv.lock").write_text("version = 1\n[[package]]\n")
    with pytest.raises(DeployError, match=r"apps\.shop\.source: uv\.lock cannot be read"):
        made()


def test_a_pylock_is_what_is_installed(made: Made, folder: Path) -> None:
    lock = f"""
        lock-version = "1.0"
        [[packages]]
        name = "cake"
        version = "1.0"
        marker = "sys_platform == 'linux'"
        sdist = {{ url = "https://x/cake.tar.gz", hashes = {{ sha256 = "{HASH}" }} }}
        wheels = [{{ url = "https://x/cake.whl", hashes = {{ sha256 = "{"1" * 64}" }} }}]
        [[packages]]
        name = "spoon"
        archive = {{ url = "https://x/spoon.zip", hashes = {{ sha256 = "{HASH}" }} }}
        [[packages]]
        name = "fork"
        vcs = {{ type = "git", url = "https://x/fork", commit-id = "abc" }}
    """
    (folder / "pylock.toml").write_text(lock)
    found, to = made()
    assert (to / SETTLED).read_text().splitlines() == [
        f"cake==1.0 ; sys_platform == 'linux' --hash=sha256:{'1' * 64} --hash=sha256:{HASH}",
        f"spoon @ https://x/spoon.zip --hash=sha256:{HASH}",
        "fork @ git+https://x/fork@abc",
    ]
    assert not found.warnings
    (folder / "pylock.toml").write_text('[[packages]]\nname = "a"\ndirectory = { path = "../a" }\n')
    with pytest.raises(DeployError, match=r"names the folder '\.\./a' for a; folders go"):
        made()
    (folder / "pylock.toml").write_text("packages = [")
    with pytest.raises(DeployError, match=r"apps\.shop\.source: .*pylock\.toml cannot be read"):
        made()


def test_what_cannot_be_resolved_is_told(made: Made, folder: Path) -> None:
    with pytest.raises(DeployError) as caught:
        made(requirements=("cake==9.0",))
    assert "apps.shop.source: what it requires cannot be resolved" in str(caught.value)
    assert "cake==9.0" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PROJECT + BUILD, True),
        (PROJECT, False),
        ("[tool.ruff]\n" + BUILD, False),
        (PROJECT + "[tool.uv]\npackage = true", True),
        (PROJECT + BUILD + "[tool.uv]\npackage = false", False),
    ],
)
def test_a_project_is_installed_where_it_is_a_package(
    folder: Path, text: str, expected: bool
) -> None:
    (folder / "pyproject.toml").write_text(text.replace("{dependencies}", "[]"))
    project = pins.project_of(folder, "apps.shop.source")
    assert (bool(project) and pins.is_package(project)) == expected
    (folder / "requirements.txt").write_text("")
    assert not pins.project_of(folder, "apps.shop.source"), "it says what is required instead"


def test_wheels_that_were_gathered_are_all_that_hosts_install_from(
    made: Made, folder: Path, tmp_path: Path
) -> None:
    (folder / "requirements.txt").write_text("cake==1.0\n")
    house = tmp_path / "house"
    before, _ = made()
    with pytest.raises(DeployError, match=r"apps\.shop\.source\.wheels: .*make wheels APP=shop"):
        made(wheels=house)
    wheel(house, "cake", "1.0", "flour")
    found, to = made(wheels=house)
    assert found.id != before.id
    assert [path.name for path in (to / HOUSE).iterdir()] == ["cake-1.0-py3-none-any.whl"]
    wheel(house, "flour", "1.0")
    assert made(wheels=house)[0].id != found.id


def test_wheels_are_gathered_for_a_platform(
    folder: Path, tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for one that this machine is not; what has no wheel is named with the mend."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, index)
    for name in ("PIP_EXTRA_INDEX_URL", "UV_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "lock.txt").write_text("")
    (folder / "requirements.txt").write_text("cake==1.0\nflour==1.0\n")
    source = Source("shop", folder, tmp_path / "lock.txt")
    house, cache = tmp_path / "house", tmp_path / "cache"
    platform = wheelhouse.Platform("aarch64", "3.11", "2.36")
    missing = wheelhouse.gather(source, [platform], house, cache, tool.find(), keep=False)
    assert not house.exists()
    found = wheelhouse.gather(source, [platform], house, cache, tool.find())
    assert found == missing == ["cake-1.0-py3-none-any.whl", "flour-1.0-py3-none-any.whl"]
    assert wheelhouse.gather(source, [platform], house, cache, tool.find()) == []

    (tmp_path / "index" / "cake" / "cake-1.0-py3-none-any.whl").rename(
        tmp_path / "index" / "cake" / "cake-1.0-cp311-cp311-macosx_11_0_arm64.whl"
    )
    with pytest.raises(DeployError) as caught:
        wheelhouse.gather(source, [platform], tmp_path / "other", cache, tool.find())
    for words in ("apps.shop.source: not all", "Python 3.11 on aarch64 with glibc 2.36", "cake"):
        assert words in str(caught.value)


def test_a_wheel_that_was_built_by_hand_counts(
    folder: Path, tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index has another file of that version, with another hash."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    (tmp_path / "lock.txt").write_text("")
    (folder / "requirements.txt").write_text("flour==1.0\n")
    (tmp_path / "index/flour/flour-1.0-py3-none-any.whl").rename(
        tmp_path / "index/flour/flour-1.0-cp311-cp311-macosx_11_0_arm64.whl"
    )
    source = Source("shop", folder, tmp_path / "lock.txt", index_url=index)
    house = tmp_path / "house"
    platform = wheelhouse.Platform("x86_64", "3.13", "2.41")

    def gather() -> list[str]:
        return wheelhouse.gather(source, [platform], house, tmp_path / "cache", tool.find())

    with pytest.raises(DeployError, match="Build what is missing"):
        gather()
    ours = wheel(house, "flour", "1.0", "")
    assert gather() == []
    assert ours.exists()
    digest = hashlib.sha256(ours.read_bytes()).hexdigest()
    pinned = ["flour==1.0 --hash=sha256:aa", "other==1.0 --hash=sha256:bb"]
    assert requirements.with_wheels(pinned, house).splitlines() == [
        f"{pinned[0]} --hash=sha256:{digest}", pinned[1],
    ]  # fmt: skip


def test_what_was_resolved_for_wheels_stays(
    made: Made, folder: Path, tmp_path: Path, index: str
) -> None:
    """The index has a newer flour by then, the wheels have not."""
    (folder / "requirements.txt").write_text("flour\n")
    house = tmp_path / "house"
    source = Source("shop", folder, tmp_path / "lock.txt", index_url=index)
    platform = wheelhouse.Platform("x86_64", "3.13", "2.41")
    (tmp_path / "lock.txt").write_text("")
    wheelhouse.gather(source, [platform], house, tmp_path / "cache", tool.find())
    wheel(tmp_path / "index/flour", "flour", "2.0")
    found, to = made(wheels=house)
    assert settled(to) == {"flour": "1.0"}
    wheel(house, "flour", "1.0", "cake")  # of the same name, with other bytes
    assert made(wheels=house)[0].id != found.id
    (folder / "requirements.txt").write_text("flour>=2\n")
    assert settled(made(wheels=house)[1]) == {"flour": "2.0"}


def test_what_has_no_wheel_is_not_built_unasked(tmp_path: Path, index: str) -> None:
    (tmp_path / "index" / "grain").mkdir()
    (tmp_path / "index/grain/grain-1.0.tar.gz").write_bytes(b"")
    folder = tmp_path / "release"
    (folder / "src").mkdir(parents=True)
    (folder / "server.txt").write_text("")
    (folder / "src" / "requirements.txt").write_text("grain==1.0\n")
    python = Python(sys.executable, "3.13.0", "abi", "/usr")
    app, settings = App("shop", tmp_path), Settings(str(tool.find()), index, from_source=False)
    with pytest.raises(NoWheelError, match="grain"):
        install(app, folder, python, settings)


def test_the_tags_of_a_platform() -> None:
    platform = wheelhouse.Platform("x86_64", "3.13", "2.41")
    assert platform.tags[0] == "manylinux_2_40_x86_64"
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64"} <= set(platform.tags)
