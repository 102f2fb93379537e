"""An app's source on the controller: which files belong to it, and the digest of them."""

import hashlib
import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from .layout import DeployError

# Never part of a source: made by tools, or by whoever works on it.
ALWAYS_LEFT_OUT = {".git", ".hg", ".svn", "__pycache__", ".venv", ".DS_Store"}
# Also left out where no .gitignore could say so.
LEFT_OUT = ALWAYS_LEFT_OUT | {
    ".cache", ".coverage", ".direnv", ".env", ".eggs", ".hypothesis", ".idea", ".mypy_cache",
    ".nox", ".pytest_cache", ".ruff_cache", ".tox", ".vscode", "node_modules", "venv",
}  # fmt: skip
GIT_LISTING = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or symlink of a source. `path` is relative, in the bytes the file system has."""

    path: bytes
    executable: bool
    target: bytes | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()


def list_source(folder: Path, key: str, whole: bool = False) -> Listing:
    """The files of a source, in the order of their names.

    `key` is the inventory's name for the folder, for messages. Inside a git work tree it is what
    git knows or would offer to add, so that .gitignore is honoured; elsewhere all but the usual
    leavings, and where the folder is the source as a `whole` all that is there.
    """
    warnings: list[str] = []
    names = set() if whole else _git_names(folder, key, warnings)
    if not names:
        names = set(_walk(os.fsencode(folder), {".git"} if whole else LEFT_OUT))
    entries = [entry for name in sorted(names) if (entry := _entry(folder, name, key)) is not None]
    if not entries:
        raise DeployError(f"{key}: no file in {folder} belongs to the app")
    return Listing(tuple(entries), tuple(warnings))


def _git_names(folder: Path, key: str, warnings: list[str]) -> set[bytes]:
    """What git lists below the folder; nothing where it is in no work tree, or not to be asked."""
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return set()
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *GIT_LISTING], capture_output=True, env=env, check=False
        )
    except OSError:
        warnings.append(f"{key}: {folder} is in a git work tree and there is no git here, so "
                        ".gitignore is not honoured")  # fmt: skip
        return set()
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        warnings.append(f"{key}: .gitignore is not honoured, for git refuses: {reason[0]}")
        return set()
    names: set[bytes] = set()
    for name in filter(None, done.stdout.split(b"\0")):
        if any(os.fsdecode(part) in ALWAYS_LEFT_OUT for part in name.split(b"/")):
            continue
        below = folder / os.fsdecode(name.rstrip(b"/"))
        if below.is_dir() and not below.is_symlink():  # a submodule, or a repository not added
            inner = _git_names(below, key, warnings) or set(_walk(os.fsencode(below)))
            names |= {name.rstrip(b"/") + b"/" + path for path in inner}
        elif not name.endswith((b".pyc", b".pyo")):
            names.add(name)
    return names


def _walk(folder: bytes, left_out: Set[str] = LEFT_OUT, above: bytes = b"") -> Iterator[bytes]:
    with os.scandir(folder) as found:
        for item in found:
            name = os.fsdecode(item.name)
            if name in left_out or name.endswith((".pyc", ".pyo")):
                continue
            if not item.is_dir(follow_symlinks=False):
                yield above + item.name
            elif not os.path.exists(os.path.join(item.path, b"pyvenv.cfg")):
                yield from _walk(item.path, left_out, above + item.name + b"/")


def _entry(folder: Path, name: bytes, key: str) -> Entry | None:
    """The file, or None where it is gone (deleted, not yet committed) or no file at all."""
    path = os.path.join(os.fsencode(folder), name)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        target = os.readlink(path)
        _refuse_leaving(folder, path, name, target, key)
        return Entry(name, False, target)
    if not stat.S_ISREG(found.st_mode):
        return None
    return Entry(name, bool(found.st_mode & 0o100))


def _refuse_leaving(folder: Path, path: bytes, name: bytes, target: bytes, key: str) -> None:
    top = os.path.realpath(os.fsencode(folder))
    leads = os.path.realpath(path)
    if os.path.isabs(target) or os.path.commonpath([top, leads]) != top:
        raise DeployError(
            f"{key}: {os.fsdecode(name)} is a symlink to {os.fsdecode(target)}, which leaves the "
            f"folder {folder} and would lead nowhere on a host; put a copy there, or take it out"
        )


def copy_entries(folder: Path, entries: Iterable[Entry], to: Path | None) -> tuple[bytes, int]:
    """Read every file once: its digest, and a copy below `to` of exactly what was digested.

    Returns the digest of all of them and the newest modification time in seconds.
    """
    total = hashlib.sha256()
    newest = 0
    for entry in entries:
        path = os.path.join(os.fsencode(folder), entry.path)
        out = None if to is None else os.path.join(os.fsencode(to), entry.path)
        if out is not None:
            os.makedirs(os.path.dirname(out), exist_ok=True)
        if entry.target is not None:
            kind, content = b"link", hashlib.sha256(entry.target).digest()
            if out is not None:
                os.symlink(entry.target, out)
        else:
            kind = b"exec" if entry.executable else b"file"
            content = _copy(path, out, 0o755 if entry.executable else 0o644)
            newest = max(newest, int(os.lstat(path).st_mtime))
        total.update(b"%s %d %s %s\n" % (kind, len(entry.path), entry.path, content))
    return total.digest(), newest


def _copy(path: bytes, out: bytes | None, mode: int) -> bytes:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if out is None:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            return digest.digest()
        with open(out, "wb") as copy:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                copy.write(chunk)
    os.chmod(out, mode)
    return digest.digest()
