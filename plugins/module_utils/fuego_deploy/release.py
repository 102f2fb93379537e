"""Releases on a host: found, built from an artifact, and cleared away."""

import contextlib
import gzip
import hashlib
import json
import os
import platform
import pwd
import re
import subprocess
import sys
import tarfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import requirements
from .layout import (
    CACHE,
    App,
    DeployError,
    ensure_folder,
    full_disk,
    group_of,
    held,
    pointed_to,
    read_json,
    redact,
    remove_tree,
    telling_of_a_full_disk,
    write_json,
)

MARKER = ".release.json"
SETTLED = "settled.txt"
"""In an artifact: the app's requirements, in place of the source's own file."""
HOUSE = "wheelhouse"
"""In an artifact: wheels to install from, in place of any index."""
ID = re.compile(r"[0-9a-f]{12}\Z")
OLDEST = (3, 11)
PROBE = """
import json, sys, sysconfig
print(json.dumps({"version": ".".join(map(str, sys.version_info[:3])),
                  "abi": sysconfig.get_config_var("SOABI"), "base": sys.base_prefix}))
"""


@dataclass(frozen=True, slots=True)
class Python:
    """An interpreter of the host; two that are equal but for the patch serve one environment."""

    path: str
    version: str
    abi: str
    base: str

    def built(self, marker: dict[str, Any]) -> bool:
        """Whether the release with this marker was built with this Python."""
        then = str(marker.get("python", "")).split(".")[:2]
        same = (marker.get("abi"), marker.get("base")) == (self.abi, self.base)
        return same and then == self.version.split(".")[:2]


@dataclass(frozen=True, slots=True)
class Settings:
    """How environments are built on this host."""

    uv: str
    index_url: str = ""
    ca_file: str = ""
    from_source: bool = True
    """Whether what has no wheel for this platform may be built here."""


class NoWheelError(DeployError):
    """What the app requires has no wheel for this platform, and may not be built here."""


def ask_python(app: App, path: str) -> Python:
    """The interpreter at that path, which has to run and to be recent enough."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", PROBE], capture_output=True, text=True, check=True, timeout=60
        )
        python = Python(path, **json.loads(done.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as problem:
        raise DeployError(
            f"apps.{app.name}: app_python {path} does not run on this host ({problem}); "
            "install it, or name another"
        ) from problem
    if tuple(map(int, python.version.split(".")[:2])) < OLDEST:
        raise DeployError(
            f"apps.{app.name}: app_python {path} is Python {python.version}; "
            f"{'.'.join(map(str, OLDEST))} or later is needed: install one and name it"
        )
    return python


def find(app: App, release: str, python: Python) -> Path | None:
    """The folder of the complete release that was built with this Python, or None.

    Usually releases/<id>; one built anew while <id> was in use is <id>.2, <id>.3 …
    """
    for folder in sorted(app.releases.glob(f"{release}*")):
        if folder.name.partition(".")[0] != release:
            continue
        marker = read_json(folder / MARKER)
        if marker and marker.get("id") == release and python.built(marker):
            return folder
    return None


def in_use(app: App) -> set[str]:
    """The folders of releases that an activation points to, whether current or not."""
    links = app.activations.glob("*/release")
    return {os.path.basename(os.readlink(link)) for link in links if link.is_symlink()}


def place(app: App, release: str) -> Path:
    """Where to build: never over a folder that an activation, and so perhaps a process, uses."""
    used = in_use(app)
    number = 1
    while True:
        folder = app.releases / (release if number == 1 else f"{release}.{number}")
        if folder.name not in used:
            return folder
        number += 1


def platform_of(python: Python) -> str:
    """What decides whether an environment that another host built runs here as well."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    names = (system.get("ID", "linux"), system.get("VERSION_ID", platform.release()), python.abi)
    key = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", name) for name in names)
    # Where Python lies is written into an environment.
    return f"{key}-{hashlib.sha256(python.base.encode()).hexdigest()[:8]}"


def build(
    app: App,
    release: str,
    archive: Path,
    python: Python,
    settings: Settings,
    shared: Path | None = None,
) -> Path:
    """Make the release complete; an existing folder without its marker is begun anew.

    With `shared`, an environment that another host packed is taken in place of an installation.
    Raises NoWheelError where `settings` let nothing be built from source and something has to be.
    """
    folder = place(app, release)
    try:
        with telling_of_a_full_disk(app, f"building release {release}", app.releases):
            remove_tree(folder)
            folder.mkdir(mode=0o755)
            unpack(app, archive, folder, release)
            if not (shared and take_environment(app, shared, folder)):
                install(app, folder, python, settings)
            compile_source(folder)
            marker = {
                "id": release,
                "python": python.version,
                "abi": python.abi,
                "base": python.base,
                "uv": _uv_version(settings.uv),
                "built": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            os.sync()
            write_json(folder / MARKER, marker)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_tree(folder)
        raise
    return folder


def _read_through(archive: Path) -> None:
    """To its end, where the checksum is."""
    with gzip.open(archive) as packed:
        while packed.read(1 << 20):
            pass


def unpack(app: App, archive: Path, folder: Path, release: str) -> None:
    def ours(item: tarfile.TarInfo, _to: str) -> tarfile.TarInfo:
        """Root's, and nobody else's to write."""
        item.uid = item.gid = 0
        item.uname = item.gname = ""
        item.mode = 0o755 if item.isdir() or item.mode & 0o100 else 0o644
        return item

    try:
        _read_through(archive)
        with tarfile.open(archive) as tar:
            if sys.version_info >= (3, 12) or hasattr(tarfile, "data_filter"):
                tar.extractall(folder, filter=ours)
            else:
                tar.extractall(folder, members=[ours(item, "") for item in tar])
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise DeployError(
            f"apps.{app.name}: the artifact {archive} cannot be read ({problem}); remove it here "
            "and on the controller, and run again"
        ) from problem
    facts = read_json(folder / "artifact.json") or {}
    if facts.get("id") != release:
        raise DeployError(f"apps.{app.name}: {archive} is not release {release}")
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def install(app: App, folder: Path, python: Python, settings: Settings) -> None:
    """Make the virtual environment, with bytecode for all that is imported from it."""
    env = uv_environment(settings)
    venv = folder / ".venv"
    source = folder / "src"
    _uv(app, ["venv", "--no-project", "--quiet", "--python", python.path, str(venv)],
        settings, env, folder)  # fmt: skip
    wanted = folder / "requirements.txt"
    strict = plan_requirements(folder, wanted)
    own = own_requirements(folder)
    files = [wanted, *([own] if own.is_file() else [])]
    house = folder / HOUSE
    if house.is_dir():
        files = [_with_house(file, house, folder / f"wheels-{file.name}") for file in files]
    command = ["pip", "install", "--quiet", "--python", str(venv / "bin" / "python"),
               "--compile-bytecode", *(f"--requirement={file}" for file in files)]  # fmt: skip
    if strict:
        command.append("--require-hashes")
    if house.is_dir():
        command += ["--no-index", "--find-links", str(house)]
    elif not settings.from_source:
        command.append("--no-build")
    _uv(app, command, settings, env, source)


def _with_house(file: Path, house: Path, to: Path) -> Path:
    to.write_text(requirements.with_wheels(requirements.read(file), house), encoding="utf-8")
    return to


def compile_source(folder: Path) -> None:
    """Make the bytecode of the app's own modules."""
    subprocess.run(
        [folder / ".venv/bin/python", "-I", "-m", "compileall", "-q", str(folder / "src")],
        capture_output=True,  # a template or a test of another Python's need not compile
        check=False,
    )


def pack_environment(folder: Path, to: Path) -> None:
    """Pack the release's environment for other hosts of the same platform."""
    with tarfile.open(to, "w:gz", compresslevel=1) as tar:
        tar.add(folder / ".venv", f"{folder.name}/.venv")


def take_environment(app: App, shared: Path, folder: Path) -> bool:
    """Lay out an environment that another host packed; says whether it fits.

    Its scripts name the folder that it was built in, which has another number where a host's
    Python changed while the release was in use.
    """
    try:
        _read_through(shared)
        with tarfile.open(shared) as tar:
            first = tar.next()
            if first is None or first.name != f"{folder.name}/.venv":
                return False
            if sys.version_info >= (3, 12):
                tar.extractall(
                    folder.parent, filter="fully_trusted"
                )  # root's own, of a host of ours
            else:
                tar.extractall(folder.parent)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise DeployError(
            f"apps.{app.name}: the environment that another host built cannot be read "
            f"({problem}); run again"
        ) from problem
    return True


def own_requirements(folder: Path) -> Path:
    """The app's own requirements: those settled on the controller, else the source's file."""
    settled = folder / SETTLED
    return settled if settled.is_file() else folder / "src" / "requirements.txt"


def plan_requirements(folder: Path, wanted: Path) -> bool:
    """Write what comes on top of the app's own requirements; says whether all must have hashes.

    That is our server's lock where the app names nothing itself, and the local packages as files
    with their hashes, so that no index is ever asked for their names.
    """
    own = own_requirements(folder)
    lines = requirements.read(own) if own.is_file() else []
    local: dict[str, str] = {}
    for wheel in sorted((folder / "wheels").glob("*.whl")):
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        name = requirements.wheel_name(wheel)
        local[name] = f"{name} @ {wheel.as_uri()} --hash=sha256:{digest}\n"
    lock = (folder / "server.txt").read_text(encoding="utf-8")
    text = requirements.beside(lock, lines, local) + "".join(local.values())
    wanted.write_text(text, encoding="utf-8")
    return bool(lines) and all(requirements.is_hashed(line) for line in lines)


def uv_environment(settings: Settings) -> dict[str, str]:
    """The surroundings of uv: nothing of the caller's but the way out (proxies, PATH)."""
    dropped = ("PYTHON", "UV_", "PIP_", "VIRTUAL_ENV", "SSL_CERT")
    env = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    env |= {
        "UV_CACHE_DIR": str(CACHE / "uv"),
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_PYTHON_PREFERENCE": "only-system",
    }
    if settings.index_url:
        env["UV_DEFAULT_INDEX"] = settings.index_url
    if settings.ca_file:
        env["SSL_CERT_FILE"] = settings.ca_file
    return env


def _uv(app: App, arguments: list[str], settings: Settings, env: dict[str, str], cwd: Path) -> None:
    try:
        done = subprocess.run(
            [settings.uv, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            env=env,
            cwd=cwd,
            umask=0o022,
            check=False,
        )
    except OSError as problem:
        raise DeployError(f"apps.{app.name}: {settings.uv} does not run: {problem}") from problem
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-15:]
        if "--no-build" in arguments and any("--no-build" in line for line in said):
            raise NoWheelError(f"apps.{app.name}: " + "\n".join(said))
        if any("no space left" in line.lower() for line in said):
            raise DeployError(full_disk(app, "installing packages", app.releases))
        mend = ""
        if "--no-index" in arguments:
            mend = f"\nWhat hosts install from is gathered by `make wheels APP={app.name}`."
        elif any("No solution found" in line for line in said):
            mend = "\nThe server's own pins take part; what the app pins itself wins over them."
        raise DeployError(
            f"apps.{app.name}: the packages cannot be installed (uv {arguments[0]}):\n"
            + redact("\n".join(said))
            + mend
        )


def _uv_version(uv: str) -> str:
    done = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip().removeprefix("uv ").split(" ")[0]


def ensure_access(app: App) -> list[str]:
    """Let the app's group, and nobody else, read what is below; it may write to shared alone."""
    group = group_of(app)
    user = _user_id(app)
    changed = ensure_folder(app.releases, 0o750, 0, group)
    changed += ensure_folder(app.activations, 0o750, 0, group)
    changed += ensure_folder(app.settings, 0o750, 0, group)
    changed += ensure_folder(app.shared, 0o750, user, group)
    return changed


def _user_id(app: App) -> int:
    try:
        return pwd.getpwnam(app.name).pw_uid
    except KeyError:
        return 0


def prune(app: App, keep: int) -> list[str]:
    """Clear away all but the newest releases and activations, and whatever is held.

    The newest release and the newest activation always stay, whatever `keep` says: that is what
    was just staged, and the release of that activation may be the oldest here.
    An activation without its release goes too, and so does what an interrupted run left.
    """
    keep = max(keep, 1)
    numbers = sorted(int(p.name) for p in app.activations.iterdir() if p.name.isdigit())
    holding = held(app) | {str(number) for number in numbers[-1:]}
    kept = {str(number) for number in numbers[-keep:]} | holding
    gone = [app.activations / str(number) for number in numbers if str(number) not in kept]

    bound = {pointed_to(app.activations / name / "release") for name in holding}
    built = sorted(
        ((str(marker.get("built")), folder) for folder in app.releases.iterdir()
         if (marker := read_json(folder / MARKER))), reverse=True,
    )  # fmt: skip
    staying = {folder.name for _, folder in built[:keep]} | bound
    gone += [folder for folder in app.releases.iterdir() if folder.name not in staying]
    gone += [
        app.activations / name
        for name in kept - holding
        if pointed_to(app.activations / name / "release") not in staying
        and (app.activations / name) not in gone
    ]
    ids = {str(name).partition(".")[0] for name in staying}
    gone += [a for a in app.artifacts.iterdir() if a.name.removesuffix(".tar.gz") not in ids]
    for path in gone:
        remove_tree(path)
    return [str(path) for path in gone]
