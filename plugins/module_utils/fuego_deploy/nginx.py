"""nginx on a host: its files replaced as one step, proved before, loaded after, or undone."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .layout import MARK, DeployError

Contents = dict[str, bytes | None]
"""Path below the folder → content; None for a file that is not there."""

IPV6_LISTENER = re.compile(rb"^[ \t]*listen[ \t]+\[.*\n?", re.MULTILINE)
OPTIONS: dict[str, dict[str, Any]] = {
    "path": {"type": "path", "default": "/etc/nginx"},
    "executable": {"type": "str", "default": "nginx"},
    "pid_file": {"type": "path", "default": "/run/nginx.pid"},
    "error_log": {"type": "path", "default": "/var/log/nginx/error.log"},
    "reload_timeout": {"type": "float", "default": 10.0},
}
"""The parameters of a module that say where nginx is."""
SBIN = ["/usr/sbin", "/usr/local/sbin"]
# Left in the folder from the first replacement to the proof that nginx has loaded all of it.
PENDING = ".fuego-deploy-pending"
TRIAL = ".nginx-trial-"


class RefusedError(DeployError):
    """What the operator is told: the path, the reason and the mend."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a run changes, as contents before and after, in the order of its steps."""

    before: Contents = field(default_factory=dict)
    after: Contents = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.after)


@dataclass(frozen=True, slots=True)
class Nginx:
    """nginx of this host. All but `lock` is called by whoever holds the lock."""

    folder: Path
    executable: str | None
    """None where it is not installed."""
    pid_file: Path
    error_log: Path
    reload_timeout: float

    @classmethod
    def given(cls, params: dict[str, Any], executable: str | None) -> "Nginx":
        """As the parameters of a module say, which are `OPTIONS`."""
        return cls(
            Path(params["path"]),
            executable,
            Path(params["pid_file"]),
            Path(params["error_log"]),
            params["reload_timeout"],
        )

    def lock(self) -> contextlib.AbstractContextManager[None]:
        return lock_if_there(self.folder)

    @property
    def master(self) -> int | None:
        """The process id of the running nginx's master, or None."""
        return running(self.pid_file)

    @property
    def is_quiet(self) -> bool:
        """Whether no former worker is left that finishes requests."""
        master = self.master
        return master is None or not any(all_workers(master).values())

    @property
    def unfinished(self) -> bool:
        """Whether a run was killed before nginx had loaded what it laid."""
        return (self.folder / PENDING).exists()

    def compare(self, files: dict[str, bytes], owned: list[str], mark: str = MARK) -> "Change":
        """What has to change. Raises RefusedError for a file that somebody else made."""
        return compare(self.folder, files, owned, mark)

    def prove(self, change: "Change") -> list[str]:
        """nginx's warnings of the folder as it will be, none where nginx is not installed.

        Raises RefusedError with its errors.
        """
        if self.executable is None:
            return []
        if not change:
            return test(self.executable, self.folder, self.folder)
        with trial(self.folder, change.after) as tree:
            return test(self.executable, tree, self.folder)

    def install(self, change: "Change") -> None:
        """Replace the files and have nginx load them, or leave all as it was and raise."""
        install(self.folder, change, self.master, self.error_log, self.reload_timeout)


def has_ipv6() -> bool:
    """Whether this host can open an IPv6 socket at all."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def read(path: Path) -> bytes | None:
    """The content of a file, or None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def is_marked(content: bytes, mark: str) -> bool:
    return mark.encode() in b"\n".join(content.splitlines()[:3])


def is_as_shipped(path: Path) -> bool:
    """Whether a Debian package brought this file and nobody has edited it since."""
    try:
        listed = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${Conffiles}\n", "nginx*"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except FileNotFoundError:
        return False
    # MD5 is what dpkg keeps; nothing here depends on its strength.
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return f"{path} {digest}" in listed


def wanted(files: dict[str, str], mark: str, ipv6: bool) -> dict[str, bytes]:
    """The files as this host gets them. Raises RefusedError for what is not ours."""
    contents = {}
    for path, text in files.items():
        content = text.encode()
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise RefusedError(f"files: {path!r} does not stay below the folder")
        if not is_marked(content, mark):
            raise RefusedError(f"files: {path!r} lacks {mark!r} in its first lines")
        contents[path] = content if ipv6 else IPV6_LISTENER.sub(b"", content)
    return contents


def compare(folder: Path, files: dict[str, bytes], owned: list[str], mark: str) -> Change:
    """What has to change below `folder`. Raises RefusedError for a file that somebody else made."""
    change = Change()
    for path, content in files.items():
        live = folder / path
        present = read(live)
        if present == content:
            continue
        if present is not None and not is_marked(present, mark):
            check_takeover(folder, live)
            backup = f"{path}.distribution"
            if not (folder / backup).exists():
                change.before[backup] = None
                change.after[backup] = present
        change.before[path] = present
        change.after[path] = content
    for name in owned:
        for live in sorted((folder / name).glob("*")):
            path = str(live.relative_to(folder))
            if path not in files and live.is_file() and is_marked(live.read_bytes(), mark):
                change.before[path] = live.read_bytes()
                change.after[path] = None
    return change


def check_takeover(folder: Path, live: Path) -> None:
    """Raise RefusedError unless `live` is the distribution's, with nothing that would be lost."""
    if not is_as_shipped(live):
        raise RefusedError(
            f"{live} is not ours and not as the distribution ships it; move it away "
            f"(mv {live} {live}.before) and run again"
        )
    others = [p for p in sorted((folder / "sites-enabled").glob("*")) if p.name != "default"]
    if live.name == "nginx.conf" and others:
        raise RefusedError(
            f"{live} serves sites that would be lost: {', '.join(map(str, others))}; move what "
            f"you want to keep to {folder}/conf.d/*.conf, the rest away, and run again"
        )


@contextlib.contextmanager
def trial(folder: Path, after: Contents) -> Iterator[Path]:
    """A copy of `folder` with `after` in it, beside it so that relative links still lead."""
    for stale in folder.parent.glob(f"{TRIAL}*"):
        shutil.rmtree(stale)
    copy = Path(tempfile.mkdtemp(prefix=TRIAL, dir=folder.parent))
    try:
        shutil.copytree(
            folder, copy, symlinks=True, copy_function=link, ignore=special, dirs_exist_ok=True
        )
        # copytree gives the copy the folder's mode; some of its files may be private.
        copy.chmod(0o700)
        for path, content in after.items():
            (copy / path).unlink(missing_ok=True)
            if content is not None:
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                (copy / path).write_bytes(content)
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def link(source: str, target: str, *, follow_symlinks: bool = True) -> str:
    """Stand in for copying where a second name will do: keys stay where they are."""
    try:
        os.link(source, target, follow_symlinks=follow_symlinks)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=follow_symlinks)
    return target


def special(folder: str, names: list[str]) -> set[str]:
    """Sockets and the like, which cannot be copied."""
    paths = {name: Path(folder, name) for name in names}
    return {n for n, p in paths.items() if not (p.is_symlink() or p.is_file() or p.is_dir())}


def plain(line: str) -> str:
    """A line of nginx's log without its time and process."""
    return re.sub(r"^\S+ \S+ (\[\w+\]) \d+#\d+:", r"\1", line.strip().removeprefix("nginx: "))


def test(executable: str, tree: Path, folder: Path) -> list[str]:
    """Put `tree` to nginx's own test, paths told as below `folder`.

    Returns its warnings. Raises RefusedError with its lines.
    """
    result = subprocess.run(
        [executable, "-t", "-c", str(tree / "nginx.conf")],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = [
        plain(line).replace(str(tree), str(folder))
        for line in result.stderr.splitlines()
        if not re.search(r"configuration file \S+ (syntax is ok|test (failed|is successful))", line)
    ]
    if result.returncode:
        raise RefusedError("\n".join(["nginx refuses the configuration:", *lines]))
    return [line for line in lines if "[warn]" in line]


def replace(folder: Path, contents: Contents) -> None:
    """Put each content in its place by an atomic rename; what it replaces is never half there."""
    touched = set()
    for path, content in contents.items():
        live = folder / path
        if content is None:
            live.unlink(missing_ok=True)
            touched.add(live.parent)
            continue
        live.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{live.name}.", dir=live.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(descriptor, 0o644)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, live)
        except BaseException:
            os.unlink(temporary)
            raise
        touched |= {live.parent, live.parent.parent}
    for directory in touched:
        sync(directory)


def sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def running(pid_file: Path) -> int | None:
    """The process id of the running nginx's master, or None."""
    try:
        pid = int(pid_file.read_text())
        title = Path(f"/proc/{pid}/cmdline").read_text()
    except (OSError, ValueError):
        return None
    return pid if title.startswith("nginx: master process") else None


def workers(master: int) -> set[int]:
    """The workers that take requests, those that only finish theirs left out."""
    return {pid for pid, leaving in all_workers(master).items() if not leaving}


def all_workers(master: int) -> dict[int, bool]:
    """Every worker, and whether it takes no new connection and only finishes its requests."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            title = (entry / "cmdline").read_bytes()
            if not title.startswith(b"nginx: worker process"):
                continue
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue  # it has just ended
        if int(parent) == master:
            found[int(entry.name)] = b"shutting down" in title
    return found


def reload(master: int, error_log: Path, timeout: float) -> None:
    """Have nginx load its configuration and wait until it has, or raise RefusedError."""
    before = workers(master)
    with contextlib.ExitStack() as stack:
        log = None
        with contextlib.suppress(OSError):
            log = stack.enter_context(error_log.open(errors="replace"))
            log.seek(0, os.SEEK_END)
        os.kill(master, signal.SIGHUP)
        said: list[str] = []
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            time.sleep(0.02)
            now = workers(master)
            if now and not now & before:
                return
            if log:
                said += [line for line in log if "[emerg]" in line]
            # It tries a port that is taken for 2.5 seconds before it gives up.
            if any("[emerg] " in line and " bind() to " not in line for line in said):
                break
    lines = dict.fromkeys(map(plain, said))
    raise RefusedError(
        "\n".join(lines) or f"no new worker process within {timeout:g} s, and no word in its log"
    )


def install(folder: Path, change: Change, master: int | None, log: Path, timeout: float) -> None:
    """Replace the files and have nginx load them, or leave all as it was and raise."""
    pending = folder / PENDING
    unfinished = pending.exists()
    pending.touch()
    sync(folder)
    try:
        replace(folder, change.after)
        if master is not None:
            reload(master, log, timeout)
    except BaseException as error:
        replace(folder, dict(reversed(change.before.items())))
        if not unfinished:
            pending.unlink()
        if master is not None:
            # Should it have read the new files after all, it reads the former ones last.
            os.kill(master, signal.SIGHUP)
        if isinstance(error, RefusedError):
            fate = ", the former files are back in their place" if change else ""
            raise RefusedError(
                f"nginx did not take the configuration; it serves on as before{fate}:\n{error}"
            ) from error
        raise
    pending.unlink()


def differences(folder: Path, change: Change) -> list[dict[str, str]]:
    """The change as Ansible shows it with --diff."""
    found = []
    for path, content in change.after.items():
        before = change.before[path]
        found.append(
            {
                "before_header": str(folder / path) if before is not None else "/dev/null",
                "after_header": str(folder / path) if content is not None else "/dev/null",
                "before": (before or b"").decode(errors="replace"),
                "after": (content or b"").decode(errors="replace"),
            }
        )
    return found


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep other modules away from the folder; the system frees it when its holder dies."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def lock_if_there(folder: Path) -> contextlib.AbstractContextManager[None]:
    """The lock, where there is a folder; a dry run may have none."""
    return lock(folder) if folder.is_dir() else contextlib.nullcontext()
