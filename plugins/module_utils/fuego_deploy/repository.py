"""A git repository as an app's source: fetched on the controller, and one commit of it laid out."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .artifact import lock
from .layout import DeployError, redact

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
PROTOCOLS = "file:git:http:https:ssh"
SECONDS = 600
KEPT = 20
"""How many commits stay laid out; one more is a fetch that has been paid for."""


@dataclass(frozen=True, slots=True)
class Repository:
    """Where the source is: an address as git takes it, and a tag, branch or commit of it; empty, it
    is what the repository itself calls HEAD. `key` names it in messages."""

    address: str
    version: str
    key: str


def lay_out(repository: Repository, cache: Path) -> tuple[Path, str]:
    """The folder of the commit that the version is now, and that commit.

    A whole commit id that is in the cache asks nobody. Raises DeployError with git's own words.
    """
    home = cache / "git" / hashlib.sha256(repository.address.encode()).hexdigest()[:16]
    home.parent.mkdir(parents=True, exist_ok=True)
    with lock(home.parent):
        return _lay_out(repository, home)


def _lay_out(repository: Repository, home: Path) -> tuple[Path, str]:
    mirror = home.with_suffix(".git")
    if not (mirror / "HEAD").exists():
        _git(repository, "init", "--quiet", "--bare", str(mirror))
    commit = repository.version if COMMIT.match(repository.version) else ""
    if not commit or not _has(mirror, commit):
        _fetch(repository, mirror)
        commit = _resolve(repository, mirror)
    folder = home / commit
    if not folder.is_dir():
        _extract(repository, mirror, commit, folder)
    os.utime(folder)
    for old in sorted(home.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder, commit


def _fetch(repository: Repository, mirror: Path) -> None:
    """All branches and tags as they are there now; where no version is named, what HEAD is."""
    head = [] if repository.version else ["+HEAD:refs/there/HEAD"]
    _git(repository, "-C", str(mirror), "fetch", "--quiet", "--force", "--prune",
         "--no-write-fetch-head",
         "--", repository.address, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*",
         *head)  # fmt: skip


def _resolve(repository: Repository, mirror: Path) -> str:
    """The commit that the version names. A tag wins over a branch of its name."""
    version = repository.version
    names = [f"refs/tags/{version}", f"refs/heads/{version}"] if version else ["refs/there/HEAD"]
    if re.fullmatch(r"[0-9a-f]{7,64}", version):
        names.append(version)
    for name in names:
        done = _run("-C", str(mirror), "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")
        if done.returncode == 0:
            return done.stdout.decode().strip()
    raise DeployError(
        f"{repository.key}.version: '{version}' is no tag, branch or commit of "
        f"{redact(repository.address)}; name one, a commit by at least 7 of its digits"
    )


def _has(mirror: Path, commit: str) -> bool:
    return _run("-C", str(mirror), "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def _extract(repository: Repository, mirror: Path, commit: str, folder: Path) -> None:
    """Have git itself write the files, which follows no symlink of the repository's."""
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent.parent) as scratch:
        tree, index = Path(scratch) / "tree", {"GIT_INDEX_FILE": f"{scratch}/index"}
        tree.mkdir()
        _git(repository, "-C", str(mirror), "read-tree", commit, **index)
        _git(repository, "-C", str(mirror), "-c", "core.bare=false", f"--work-tree={tree}",
             "checkout-index", "--all", "--quiet", **index)  # fmt: skip
        if (tree / ".gitmodules").exists():
            raise DeployError(
                f"{repository.key}: {redact(repository.address)} has submodules, which are not "
                "fetched; deploy a checkout that has them, as source.path"
            )
        # All of the commit's time, so that each controller makes the same of it.
        seconds = int(_git(repository, "-C", str(mirror), "log", "-1", "--format=%ct", commit))
        for path in tree.rglob("*"):
            os.utime(path, (seconds, seconds), follow_symlinks=False)
        folder.parent.mkdir(exist_ok=True)
        os.replace(tree, folder)


def _git(repository: Repository, *arguments: str, **environment: str) -> bytes:
    try:
        done = _run(*arguments, **environment)
    except FileNotFoundError as problem:
        raise DeployError(f"{repository.key}: there is no git on the controller") from problem
    except subprocess.TimeoutExpired as problem:
        raise DeployError(
            f"{repository.key}: {redact(repository.address)} did not answer within {SECONDS} s"
        ) from problem
    if done.returncode:
        said = redact(done.stderr.decode(errors="replace").strip()) or "it said nothing"
        raise DeployError(
            f"{repository.key}: {redact(repository.address)} cannot be fetched; git says:\n{said}"
        )
    return done.stdout


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """git with the operator's own keys and helpers, and nobody to answer a question."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    kept = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_CONFIG_GLOBAL", "GIT_SSL_CAINFO")
    env |= {name: os.environ[name] for name in kept if name in os.environ}
    env |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": PROTOCOLS, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["git", *arguments], capture_output=True, env=env | environment, check=False,
        stdin=subprocess.DEVNULL, timeout=SECONDS,
        start_new_session=True,  # without a terminal, on which ssh would ask
    )  # fmt: skip
