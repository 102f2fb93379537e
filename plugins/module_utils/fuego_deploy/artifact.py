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

from . import requirements
from .layout import DeployError
from .source import Listing, copy_entries, list_source

# Part of every id: raise it when the same source must become another release.
FORMAT = b"fuego-deploy release 1\n"
KEPT = 20
"""How many artifacts the cache holds; the hosts keep those of their own releases."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a release is made from. Folders are absolute."""

    app: str
    folder: Path
    lock: Path
    packages: tuple[Path, ...] = ()
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
            _build_wheels(source, tree, uv)
            (tree / "server.txt").write_bytes((tree / ".lock").read_bytes())
            (tree / ".lock").unlink()
            facts = {"id": release, "format": FORMAT.decode().strip()}
            (tree / "artifact.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
            _pack(tree, Path(scratch) / "archive", newest)
            os.replace(Path(scratch) / "archive", archive)
            _prune(folder, archive)
    return Artifact(release, archive, made, warnings)


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """One process at a time below the folder. The system frees it when its holder dies."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _listings(source: Source) -> tuple[list[Listing], tuple[str, ...]]:
    key = f"apps.{source.app}.source"
    lists = [list_source(source.folder, f"{key}.path", source.whole)]
    lists += [list_source(folder, f"{key}.packages") for folder in source.packages]
    warnings = [warning for listing in lists for warning in listing.warnings]
    own = source.folder / "requirements.txt"
    if own.is_file():
        loose = [line for line in requirements.read(own) if not requirements.is_pinned(line)]
        if loose:
            warnings.append(
                f"apps.{source.app}: {own} does not pin {', '.join(loose[:5])}; hosts that build "
                "at another time may get another version. Pin it, for example with "
                "`uv pip compile --generate-hashes`"
            )
    return lists, tuple(warnings)


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
    except FileNotFoundError as problem:
        raise DeployError(
            f"apps.{source.app}.source: {problem.filename!s} went away while it was read; run "
            "again once nothing changes the source"
        ) from problem
    server = source.lock.read_bytes()
    if tree is not None:
        (tree / ".lock").write_bytes(server)
    total.update(hashlib.sha256(server).digest())
    return total.hexdigest()[:12], newest


def _build_wheels(source: Source, tree: Path, uv: Path) -> None:
    """Build each local package from its copy, so that nothing is written beside its source."""
    wheels = tree / "wheels"
    wheels.mkdir()
    for number, folder in enumerate(source.packages, start=1):
        copy = tree / f"package-{number}"
        command = [str(uv), "build", "--wheel", "--no-config", "--no-progress", "--out-dir",
                   str(wheels), str(copy)]  # fmt: skip
        env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
        if done.returncode:
            said = done.stderr.replace(str(copy), str(folder)).strip().splitlines()[-12:]
            raise DeployError(
                f"apps.{source.app}.source.packages: no wheel can be built from {folder}:\n"
                + "\n".join(said)
            )
        shutil.rmtree(copy)
    for other in wheels.iterdir():
        if other.suffix != ".whl":  # uv leaves a .gitignore
            other.unlink()
        elif not other.name.endswith("-none-any.whl"):
            raise DeployError(
                f"apps.{source.app}.source.packages: {other.name} fits this machine's platform "
                "only; local packages must be pure Python"
            )


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


def _prune(folder: Path, keep: Path) -> None:
    found = sorted(folder.glob("*.tar.gz"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in found[KEPT:]:
        if old != keep:
            old.unlink(missing_ok=True)
