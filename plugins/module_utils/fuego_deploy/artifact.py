"""One release as one file on the controller: the source, its local packages, our server's lock."""

import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import pins
from .layout import DeployError
from .release import HOUSE, SETTLED
from .source import Listing, copy_entries, list_source

# Part of every id: raise it when the same source must become another release.
FORMAT = b"fuego-deploy release 1\n"
KEPT = 20
"""How many artifacts the cache holds; the hosts keep those of their own releases."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a release is made from. Paths are absolute."""

    app: str
    folder: Path
    """Empty where the app is nothing but requirements and distributions."""
    lock: Path
    packages: tuple[Path, ...] = ()
    requirements: tuple[str, ...] = ()
    distributions: tuple[Path, ...] = ()
    """Files of wheels and sdists."""
    index_url: str = ""
    wheels: Path | None = None
    """A folder of wheels that hosts install from, in place of any index."""
    whole: bool = False
    """The folder holds nothing but what belongs to the app, such as a commit laid out."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A release's id, and its archive where one was asked for."""

    id: str
    archive: Path | None = None
    made: bool = False
    warnings: tuple[str, ...] = field(default=())


def default_cache() -> Path:
    """The folder on the controller that artifacts are kept in."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "fuego-deploy"


def place(cache: Path, release: str) -> Path:
    return cache / "artifacts" / f"{release}.tar.gz"


def identify(source: Source) -> Artifact:
    """The id that follows from the content, and nothing made."""
    lists, warnings = _listings(source)
    release, _ = _digest(source, lists, None)
    return Artifact(release, warnings=warnings)


def make(source: Source, cache: Path, uv: Path) -> Artifact:
    """The artifact, made where the cache does not hold it.

    The id is that of the bytes in the archive, so that a source which changes while it is read
    yields a release of what was read.
    """
    lists, warnings = _listings(source)
    release, _ = _digest(source, lists, None)
    archive = place(cache, release)
    folder = archive.parent
    if archive.exists():
        os.utime(archive)
        return Artifact(release, archive, warnings=warnings)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder), tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as scratch:
        _clean(folder, Path(scratch))
        tree = Path(scratch) / "tree"
        release, newest = _digest(source, lists, tree)
        archive = place(cache, release)
        made = not archive.exists()
        if made:
            wheels = _build_wheels(source, tree, uv)
            for wheel in _house(source):
                (tree / HOUSE).mkdir(exist_ok=True)
                shutil.copyfile(wheel, tree / HOUSE / wheel.name)
            settled = pins.settle(
                _wanted(source), tree / "src", wheels, uv, Path(scratch), _known(source)
            )
            if settled is not None:
                (tree / SETTLED).write_text(settled, encoding="utf-8")
            (tree / "server.txt").write_bytes((tree / ".lock").read_bytes())
            (tree / ".lock").unlink()
            facts = {"id": release, "format": FORMAT.decode().strip()}
            (tree / "artifact.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
            _pack(tree, Path(scratch) / "archive", newest)
            os.replace(Path(scratch) / "archive", archive)
            prune(folder, archive)
    return Artifact(release, archive, made, warnings)


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """One process at a time below the folder. The system frees it when its holder dies."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _listings(source: Source) -> tuple[list[Listing], tuple[str, ...]]:
    key = f"apps.{source.app}.source"
    empty = bool(source.requirements or source.distributions) and not any(source.folder.iterdir())
    lists = [Listing(()) if empty else list_source(source.folder, f"{key}.path", source.whole)]
    lists += [list_source(folder, f"{key}.packages") for folder in source.packages]
    warnings = [warning for listing in lists for warning in listing.warnings]
    return lists, (*warnings, *pins.caution(source.folder, _wanted(source)))


def _house(source: Source) -> list[Path]:
    """The wheels that hosts install from. Raises DeployError where none were gathered."""
    if source.wheels is None:
        return []
    found = sorted(source.wheels.glob("*.whl"))
    if not found:
        raise DeployError(
            f"apps.{source.app}.source.wheels: there is no wheel in {source.wheels}; gather them: "
            f"make wheels APP={source.app}"
        )
    return found


def _known(source: Source) -> Path | None:
    """What was resolved when the wheels were gathered."""
    return source.wheels / SETTLED if source.wheels else None


def _wanted(source: Source) -> pins.Wanted:
    return pins.Wanted(f"apps.{source.app}.source", source.requirements, source.index_url)


def _digest(source: Source, lists: list[Listing], tree: Path | None) -> tuple[str, int]:
    """The id, and the newest change of a file; with `tree`, also a copy of all that it stands for.

    A package is known by its place in the list, not by where the checkout lies.
    """
    total = hashlib.sha256(FORMAT)
    newest = 0
    folders = (source.folder, *source.packages)
    try:
        for number, (folder, listing) in enumerate(zip(folders, lists, strict=True)):
            below = None if tree is None else tree / ("src" if number == 0 else f"package-{number}")
            if below is not None:
                below.mkdir(parents=True)
            digest, changed = copy_entries(folder, listing.entries, below)
            total.update(b"%d %s\n" % (number, digest))
            newest = max(newest, changed)
        for file in source.distributions:
            total.update(hashlib.sha256(file.read_bytes()).digest())
    except FileNotFoundError as problem:
        raise DeployError(
            f"apps.{source.app}.source: {problem.filename!s} went away while it was read; run "
            "again once nothing changes the source"
        ) from problem
    for wheel in _house(source):
        total.update(b"wheel %s\n" % wheel.name.encode())
        total.update(hashlib.sha256(wheel.read_bytes()).digest())
    if (known := _known(source)) is not None and known.is_file():
        total.update(hashlib.sha256(known.read_bytes()).digest())
    for line in source.requirements:
        total.update(b"requires %s\n" % line.encode())
    server = source.lock.read_bytes()
    if tree is not None:
        (tree / ".lock").write_bytes(server)
    total.update(hashlib.sha256(server).digest())
    return total.hexdigest()[:12], newest


def _build_wheels(source: Source, tree: Path, uv: Path) -> list[Path]:
    """Build each local package from its copy, so that nothing is written beside its source, and
    the source itself where it is one. The wheels go with the release."""
    wheels = tree / "wheels"
    wheels.mkdir()
    key = f"apps.{source.app}.source"
    for number, folder in enumerate(source.packages, start=1):
        copy = tree / f"package-{number}"
        _build(f"{key}.packages", copy, folder, wheels, uv)
        shutil.rmtree(copy)
    if pins.is_package(pins.project_of(tree / "src", key)):
        copy = tree / "project"
        shutil.copytree(tree / "src", copy, symlinks=True)
        _build(f"{key}.path", copy, source.folder, wheels, uv)
        shutil.rmtree(copy)
    for file in source.distributions:
        if file.suffix != ".whl":
            _build(f"{key}.distributions", file, file, wheels, uv)
    for other in wheels.iterdir():
        if other.suffix != ".whl":  # uv leaves a .gitignore
            other.unlink()
        elif not other.name.endswith("-none-any.whl"):
            raise DeployError(
                f"{key}: {other.name} fits this machine's platform only; what is built here must "
                "be pure Python. Name a wheel for the hosts' platform in source.distributions"
            )
    for file in source.distributions:
        if file.suffix == ".whl":
            shutil.copyfile(file, wheels / file.name)
    return sorted(wheels.glob("*.whl"))


def _build(key: str, copy: Path, given: Path, wheels: Path, uv: Path) -> None:
    command = [str(uv), "build", "--wheel", "--no-config", "--no-progress", "--out-dir",
               str(wheels), str(copy)]  # fmt: skip
    env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        said = done.stderr.replace(str(copy), str(given)).strip().splitlines()[-12:]
        raise DeployError(f"{key}: no wheel can be built from {given}:\n" + "\n".join(said))


def _pack(tree: Path, archive: Path, newest: int) -> None:
    """Pack the tree so that the same tree gives the same bytes.

    Every file gets the newest file's time: equal on all hosts, and later in a later release, so
    that the ETag and Last-Modified of static files, made from it, neither differ between hosts
    nor outlive a change.
    """

    def plain(item: tarfile.TarInfo) -> tarfile.TarInfo:
        item.uid = item.gid = 0
        item.uname = item.gname = ""
        item.mtime = newest
        return item

    with archive.open("wb") as file:
        with (
            gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in sorted(tree.rglob("*"), key=lambda path: os.fsencode(path)):
                tar.add(path, arcname=str(path.relative_to(tree)), recursive=False, filter=plain)
        file.flush()
        os.fsync(file.fileno())


def _clean(folder: Path, own: Path) -> None:
    """Take away what interrupted runs left. We hold the lock, so nobody else is at work."""
    for left in folder.glob(".making-*"):
        if left != own:
            shutil.rmtree(left, ignore_errors=True)


def prune(folder: Path, keep: Path) -> None:
    """Remove the oldest archives of the folder, but never `keep`."""
    found = sorted(folder.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in found[KEPT:]:
        if old != keep:
            old.unlink(missing_ok=True)
