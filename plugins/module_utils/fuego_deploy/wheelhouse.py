"""The wheels that an app's hosts need, gathered on the controller for hosts that reach no index."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import artifact, pins, release, requirements
from .layout import App, DeployError, redact

NEWEST = 40
"""The newest glibc 2.x whose wheels uv tells apart; what is newer takes the same."""
OLDEST = 17
"""The oldest one that wheels are made for (PEP 599)."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What decides which wheel fits a host."""

    machine: str
    """As `uname -m` gives it."""
    python: str
    """Major and minor version."""
    libc: str
    """glibc's version."""

    def __str__(self) -> str:
        return f"Python {self.python} on {self.machine} with glibc {self.libc}"

    @property
    def newest(self) -> int:
        return min(int(self.libc.split(".")[1]), NEWEST)

    @property
    def tags(self) -> list[str]:
        """The platform tags of wheels that run there, the newest first (PEP 600)."""
        found = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.newest, 4, -1)]
        return [*found, f"manylinux2014_{self.machine}", f"linux_{self.machine}"]


def gather(
    source: artifact.Source,
    platforms: Sequence[Platform],
    folder: Path,
    cache: Path,
    uv: Path,
    keep: bool = True,
) -> list[str]:
    """Put into the folder what the source's release needs on each platform, and what was resolved
    for it; without `keep` it finds out, and writes nothing there. Returns the names of wheels that
    are new. Raises DeployError where something has none.
    """
    made = artifact.make(replace(source, wheels=None), cache, uv)
    assert made.archive is not None
    with tempfile.TemporaryDirectory() as name:
        to, found = Path(name) / "release", Path(name) / "found"
        found.mkdir()
        release.unpack(App(source.app), made.archive, to, made.id)
        wanted = Path(name) / "wanted.txt"
        release.plan_requirements(to, wanted)
        for platform in platforms:
            _download(source, to, wanted, platform, folder, found, uv)
        new = sorted(path.name for path in found.iterdir() if not (folder / path.name).exists())
        if not keep:
            return new
        folder.mkdir(parents=True, exist_ok=True)
        for wheel in new:
            shutil.move(found / wheel, folder / wheel)
        settled = to / release.SETTLED
        if settled.is_file():
            shutil.copyfile(settled, folder / release.SETTLED)
    return new


def _download(
    source: artifact.Source,
    to: Path,
    wanted: Path,
    platform: Platform,
    folder: Path,
    found: Path,
    uv: Path,
) -> None:
    own = release.own_requirements(to)
    local = [path.name.partition("-")[0] for path in (to / "wheels").glob("*.whl")]
    there = [f"--find-links={folder}"] if folder.is_dir() else []
    pinned = wanted.with_name("pins.txt")
    command = [str(uv), "pip", "compile", f"--python-version={platform.python}",
               f"--python-platform={platform.machine}-manylinux_2_{max(platform.newest, OLDEST)}",
               "--generate-hashes", "--emit-index-url", "--no-header", "--no-annotate",
               "--no-strip-extras", "--quiet", *(f"--no-emit-package={name}" for name in local),
               *there, f"--output-file={pinned}", str(wanted)]  # fmt: skip
    command += [str(own)] if own.is_file() else []
    _run(source, platform, folder, command, to / "src")
    text = pinned.read_text(encoding="utf-8")
    pinned.write_text(requirements.with_wheels(requirements.logical_lines(text), folder))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
               "--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp",
               f"--python-version={platform.python}", *there,
               *(f"--platform={tag}" for tag in platform.tags),
               *(f"--abi={abi}" for abi in (f"cp{platform.python.replace('.', '')}", "abi3",
                                            "none")),
               f"--dest={found}", f"--requirement={pinned}"]  # fmt: skip
    _run(source, platform, folder, command, to / "src")


def _run(
    source: artifact.Source, platform: Platform, folder: Path, command: list[str], cwd: Path
) -> None:
    env = pins.surroundings(source.index_url)
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-8:]
        raise DeployError(
            f"apps.{source.app}.source: not all that it requires has a wheel for {platform}:\n"
            + redact("\n".join(said))
            + f"\nBuild what is missing on such a host (pip wheel NAME==VERSION) and put it into "
            f"{folder}, or require another version"
        )
