"""Where everything of an app lives on a host, and how we know that it is ours."""

import contextlib
import errno
import fcntl
import grp
import json
import os
import pwd
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

MARK = "Managed by fuego-deploy"
FOLDER_MARK = ".fuego-deploy"
TOOLS = Path("/usr/local/lib/fuego-deploy")
CACHE = Path("/var/cache/fuego-deploy")
SERVING = "serving.json"


FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says where nothing more may be written."""


class DeployError(Exception):
    """A failure to be told to the operator as it stands."""


def redact(text: str) -> str:
    """The text without the credentials of any address in it."""
    return re.sub(r"(\w+://)[^/\s@]+@", r"\1***@", text)


@dataclass(frozen=True, slots=True)
class App:
    """The places of one app. `root` is / on hosts and another folder in tests."""

    name: str
    root: Path = Path("/")

    @property
    def home(self) -> Path:
        return self.root / "srv" / self.name

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def activations(self) -> Path:
        return self.home / "activations"

    @property
    def current(self) -> Path:
        """The symlink to the activation that the units use."""
        return self.home / "current"

    @property
    def previous(self) -> Path:
        """The symlink to the activation that the fleet had before, which a rollback goes to."""
        return self.home / "previous"

    @property
    def shared(self) -> Path:
        return self.home / "shared"

    @property
    def settings(self) -> Path:
        return self.root / "etc" / self.name

    @property
    def units(self) -> Path:
        return self.root / "etc" / "systemd" / "system"

    @property
    def comment(self) -> str:
        """The comment of the app's user, by which we know it."""
        return f"fuego-deploy app {self.name}"

    @property
    def unit_names(self) -> tuple[str, str]:
        """What serves requests: the service, and the socket that it may have."""
        return f"{self.name}.service", f"{self.name}.socket"

    def stamp(self, unit: str) -> Path:
        """Where systemd notes when a timer elapsed last."""
        return self.root / "var/lib/systemd/timers" / f"stamp-{unit}"

    def installed_units(self) -> list[str]:
        """The app's units that are there and ours: what serves, its processes and jobs. No app has
        an underscore in its name, so that those of others are told apart."""
        further = (
            path.name
            for kind in ("service", "timer")
            for path in sorted(self.units.glob(f"{self.name}_*.{kind}"))
        )
        return [name for name in (*self.unit_names, *further) if is_ours(self.units / name)]


def refuse_foreign(app: App, units: Iterable[str] = ()) -> None:
    """Refuse a user, folder or unit that has the app's name and not our mark; `units` are those of
    its processes and jobs."""
    names = dict.fromkeys((*app.unit_names, *units))
    found = [*_foreign_user(app), *_foreign_folders(app), *_foreign_units(app, names)]
    if found:
        raise DeployError(
            f"apps.{app.name}: {'; '.join(found)}. It is none of ours and stays as it is: "
            "take another name, or take the other away by hand"
        )


def installed(root: Path = Path("/")) -> list[str]:
    """The apps that have a folder of ours on this host."""
    return sorted(mark.parent.name for mark in root.glob(f"srv/*/{FOLDER_MARK}"))


def has_account(app: App) -> bool:
    """Whether the app's own user exists."""
    try:
        return pwd.getpwnam(app.name).pw_gecos.split(",")[0] == app.comment
    except KeyError:
        return False


def _foreign_user(app: App) -> Iterator[str]:
    with contextlib.suppress(KeyError):
        user = pwd.getpwnam(app.name)
        if user.pw_gecos.split(",")[0] != app.comment:
            yield f"the user {app.name} (uid {user.pw_uid}) exists already"
        return
    with contextlib.suppress(KeyError):
        group = grp.getgrnam(app.name)
        yield f"the group {app.name} (gid {group.gr_gid}) exists already"


def _foreign_folders(app: App) -> Iterator[str]:
    for folder in (app.home, app.settings):
        if not os.path.lexists(folder) or os.path.lexists(folder / FOLDER_MARK):
            continue
        if folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()):
            yield f"{folder} exists already"


def _foreign_units(app: App, names: Iterable[str]) -> Iterator[str]:
    """Units of these names anywhere systemd looks, ours excepted."""
    for folder in ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system",
                   "usr/lib/systemd/system", "lib/systemd/system"):  # fmt: skip
        for name in names:
            unit = app.root / folder / name
            if os.path.lexists(unit) and not is_ours(unit):
                yield f"the unit {unit} exists already"


def is_ours(unit: Path) -> bool:
    """Whether the file begins with our header."""
    try:
        with unit.open("rb") as file:
            return MARK.encode() in file.read(400)
    except OSError:
        return False


def claim(app: App) -> list[str]:
    """Make the app's folders, all root's, and mark them. Returns what was made or mended."""
    return [
        *claim_folder(app.home, 0o755),
        *claim_folder(app.settings, 0o750),
        *ensure_folder(app.releases, 0o750),
        *ensure_folder(app.artifacts, 0o700),
        *ensure_folder(app.activations, 0o750),
        *ensure_folder(app.root / TOOLS.relative_to("/"), 0o755),
    ]


def missing_claims(app: App) -> list[str]:
    """What `claim` would make."""
    marks = (app.home / FOLDER_MARK, app.settings / FOLDER_MARK)
    wanted = (app.releases, app.artifacts, app.activations, app.root / TOOLS.relative_to("/"))
    return [str(path) for path in (*marks, *wanted) if not path.exists()]


def claim_folder(folder: Path, mode: int) -> list[str]:
    made = ensure_folder(folder, mode)
    mark = folder / FOLDER_MARK
    if not mark.exists():
        write_file(mark, f"{MARK}; this file says so. Take it away together with the folder.\n")
        made.append(str(mark))
    return made


def ensure_folder(folder: Path, mode: int, owner: int = 0, group: int | None = None) -> list[str]:
    """Make the folder with that mode, and mend one that differs; group None leaves the group."""
    made = not folder.is_dir()
    if made:
        folder.mkdir(parents=True)
    mended = set_access(folder, mode, owner, group)
    return [str(folder)] if made or mended else []


def set_access(path: Path, mode: int, owner: int = 0, group: int | None = None) -> bool:
    """Set owner, group and mode where they differ; says whether they did.

    Not being root, as in tests, leaves the owner alone.
    """
    now = path.stat()
    changed = False
    wanted = (owner, now.st_gid if group is None else group)
    if os.geteuid() == 0 and (now.st_uid, now.st_gid) != wanted:
        os.chown(path, *wanted)
        changed = True
    if stat.S_IMODE(now.st_mode) != mode:
        path.chmod(mode)
        changed = True
    return changed


def write_file(path: Path, text: str | bytes, mode: int = 0o644, group: int | None = None) -> None:
    """Write the file as a whole or not at all; it is on disk when this returns."""
    data = text.encode() if isinstance(text, str) else text
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        set_access(Path(name), mode, os.geteuid(), group)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def write_json(path: Path, value: dict[str, Any], mode: int = 0o644) -> None:
    write_file(path, json.dumps(value, indent=2, sort_keys=True) + "\n", mode)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in the file, or None where there is none that can be read whole."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None


def pointed_to(link: Path) -> str | None:
    """The name of what the symlink leads to, or None."""
    return os.path.basename(os.readlink(link)) if link.is_symlink() else None


def serving(app: App) -> dict[str, Any]:
    """What is known of the app on this host:

    `proved`     the activation that passed its health gate, None from a switch to the gate
    `since`      when it did, and `release` and `units` (name → digest) that it did so with
    `committed`  the activation that the whole fleet has taken; the way back until then
    `hold`       the rollback that stays until the next deploy, with who and when
    """
    return read_json(app.home / SERVING) or {}


def held(app: App) -> set[str]:
    """The activations that stay, however old: in force, to go back to, and the one before."""
    names = {pointed_to(app.current), pointed_to(app.previous)}
    committed = serving(app).get("committed")
    return {name for name in (*names, committed and str(committed)) if name}


def point(link: Path, target: str) -> None:
    """Make the symlink point at the target in one step."""
    new = link.with_name(f".{link.name}.new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    new.symlink_to(target)
    os.replace(new, link)


def remove_tree(path: Path) -> None:
    """Remove a folder or file that may be half there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(app: App, seconds: float = 600) -> Iterator[None]:
    """Work on the app alone: what an interrupted run left running here is waited for.

    The system frees the lock when its holder dies.
    """
    with (app.home / FOLDER_MARK).open() as file:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise DeployError(
                        f"apps.{app.name}: another run has been at work on this host for "
                        f"{seconds:.0f} s; see what it is with: fuser -v {file.name}"
                    ) from None
                time.sleep(0.2)
        yield


@contextlib.contextmanager
def telling_of_a_full_disk(app: App, doing: str, below: Path) -> Iterator[None]:
    """Turn the system's "no space left" into words that name the app and the folder."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in FULL:
            raise
        raise DeployError(full_disk(app, doing, below)) from problem


def full_disk(app: App, doing: str, below: Path) -> str:
    free = shutil.disk_usage(below).free // 2**20
    return (
        f"apps.{app.name}: no space left on the disk while {doing} (below {below}, "
        f"{free} MiB free). What was half done is removed; make room and run again"
    )


def told(problem: Exception) -> str:
    """What an operator is told: a DeployError's own words, and of what the system refuses the host,
    since a task that is delegated fails under another one's name."""
    if not isinstance(problem, OSError):
        return str(problem)
    host = socket.gethostname()
    if problem.errno in FULL:
        return f"{host}: no space left on the disk; make room there and run again"
    return f"{host}: {problem}"


def now_in_words() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def group_of(app: App) -> int | None:
    """The id of the app's group; None before there is one."""
    try:
        return grp.getgrnam(app.name).gr_gid
    except KeyError:
        return None
