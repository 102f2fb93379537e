"""What an app requires, settled on the controller so that all hosts install the same.

A source says it in requirements.txt, pylock.toml (the specification "pylock.toml" of packaging.
python.org), uv.lock or pyproject.toml: the first of them that it has. An entry may add
requirements (PEP 508) and distributions, files of wheels or sdists. Whatever is not pinned is
resolved once, for every Python that hosts may have, and the result travels with the release.
"""

import hashlib
import os
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import requirements
from .layout import DeployError, redact

OLDEST = "3.11"
UNREAD = ("poetry.lock", "pdm.lock", "Pipfile.lock")
"""Locks of tools that write a standard one as well."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an app requires beside its source. `at` is the inventory's key, for messages."""

    at: str
    lines: tuple[str, ...] = ()
    index_url: str = ""


def project_of(folder: Path, at: str) -> dict[str, Any]:
    """pyproject.toml, where it describes a project and says what that requires; else nothing.

    requirements.txt wins: many a pyproject.toml beside one configures tools only.
    """
    file = folder / "pyproject.toml"
    if (folder / "requirements.txt").is_file() or not file.is_file():
        return {}
    found = _toml(file, at)
    return found if "project" in found else {}


def is_package(project: dict[str, Any]) -> bool:
    """Whether the project is to be built and installed, as uv judges it."""
    said = project.get("tool", {}).get("uv", {}).get("package")
    return bool("build-system" in project if said is None else said)


def loose(folder: Path, wanted: Wanted) -> tuple[list[str], str]:
    """What is said without a pin, and where."""
    found = [line for line in wanted.lines if not requirements.is_pinned(line)]
    if found:
        return found, f"{wanted.at}.requirements"
    own = folder / "requirements.txt"
    if own.is_file():
        lines = requirements.read(own)
        return [line for line in lines if not requirements.is_pinned(line)], str(own)
    project = project_of(folder, wanted.at)
    if project and not any((folder / name).is_file() for name in ("pylock.toml", "uv.lock")):
        given = project["project"].get("dependencies", [])
        return [line for line in given if not requirements.is_pinned(line)], str(
            folder / "pyproject.toml"
        )
    return [], ""


def caution(folder: Path, wanted: Wanted) -> list[str]:
    """What an app's owner should know of its pins. Raises DeployError where a file is no TOML."""
    names, where = loose(folder, wanted)
    if not names:
        return []
    told = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    unread = [name for name in UNREAD if (folder / name).is_file()]
    lock = f" {unread[0]} is not read; let its tool write a pylock.toml." if unread else ""
    return [
        f"{wanted.at}: {where} does not pin {told}; what is newest when a release is first made "
        f"stays in it, and the next release may get another version.{lock} Pin it, for example "
        "with `uv pip compile --generate-hashes`"
    ]


def settle(
    wanted: Wanted,
    source: Path,
    wheels: Sequence[Path],
    uv: Path,
    scratch: Path,
    known: Path | None = None,
) -> str | None:
    """The app's requirements as a requirements file, or None where the source's own will do.

    `source` is the copy that goes to the hosts, `wheels` what goes along with it, `known` what this
    returned before, which holds as long as the same is required. Raises DeployError where they
    cannot be found or do not go together.
    """
    own = source / "requirements.txt"
    listed: list[Path] = []
    if own.is_file():
        lines = requirements.read(own)
        if all(requirements.is_pinned(line) for line in lines) and not wanted.lines:
            return None
        paths = any(requirements.name_of(line) is None for line in lines)
        if paths or requirements.has_index(own):
            if wanted.lines:
                raise DeployError(
                    f"{wanted.at}.requirements: {own.name} of the source names paths, or an index "
                    "of its own, so the two cannot be resolved together; write the ones of the "
                    "inventory into it"
                )
            return None  # hosts read the file where it means something
        listed = [own]
    elif (source / "pylock.toml").is_file():
        text = from_pylock(_toml(source / "pylock.toml", wanted.at), wanted.at)
        if not wanted.lines:
            return text
        listed = [_written(scratch / "pylock.txt", text)]
    elif project_of(source, wanted.at):
        if not (source / "uv.lock").is_file():
            listed = [source / "pyproject.toml"]
        else:
            text = _export(wanted, source, uv)
            if not wanted.lines:
                return text
            listed = [_written(scratch / "uv.txt", text)]
    if wanted.lines:
        listed.append(_written(scratch / "wanted.txt", "\n".join(wanted.lines) + "\n"))
    if not listed and not wheels:
        return None
    total = hashlib.sha256(b"".join(file.read_bytes() for file in listed))
    first = f"# resolved of {total.hexdigest()}\n"
    if known and known.is_file() and known.read_text(encoding="utf-8").startswith(first):
        return known.read_text(encoding="utf-8")
    if wheels:
        named = {requirements.wheel_name(wheel): wheel for wheel in wheels}
        lines = [f"{name} @ {wheel.as_uri()}" for name, wheel in named.items()]
        listed.append(_written(scratch / "wheels.txt", "\n".join(lines) + "\n"))
    return first + _compile(wanted, listed, wheels, uv, source)


def from_pylock(lock: dict[str, Any], at: str) -> str:
    """The lines of a requirements file that a pylock.toml stands for, hashes and markers kept."""
    lines = []
    for package in lock.get("packages", []):
        name = package.get("name", "?")
        files = [*package.get("wheels", []), package.get("sdist"), package.get("archive")]
        hashes = [
            f"--hash={kind}:{digest}"
            for file in files
            if file
            for kind, digest in file.get("hashes", {}).items()
        ]
        if "directory" in package:
            raise DeployError(
                f"{at}: pylock.toml names the folder '{package['directory'].get('path')}' for "
                f"{name}; folders go into source.packages"
            )
        if "vcs" in package:
            vcs = package["vcs"]
            wanted = f"{name} @ {vcs.get('type')}+{vcs.get('url')}@{vcs.get('commit-id')}"
        elif "archive" in package:
            wanted = f"{name} @ {package['archive'].get('url')}"
        else:
            wanted = f"{name}=={package.get('version')}"
        marker = f" ; {package['marker']}" if package.get("marker") else ""
        lines.append(" ".join([wanted + marker, *hashes]) + "\n")
    return "".join(lines)


def surroundings(index_url: str) -> dict[str, str]:
    """The environment in which uv and pip ask the inventory's index, or their own default one."""
    env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    env |= {"UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    return env | ({"UV_DEFAULT_INDEX": index_url, "PIP_INDEX_URL": index_url} if index_url else {})


def _toml(file: Path, at: str) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as problem:
        raise DeployError(f"{at}: {file} cannot be read: {problem}") from problem


def _written(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def _export(wanted: Wanted, source: Path, uv: Path) -> str:
    command = ["export", "--frozen", "--no-dev", "--no-emit-project", "--no-editable",
               "--format=requirements.txt", "--no-header", "--no-annotate"]  # fmt: skip
    text = _run(wanted, uv, command, source, "uv.lock cannot be read")
    for line in requirements.logical_lines(text):
        if requirements.name_of(line) is None:
            raise DeployError(
                f"{wanted.at}: uv.lock names the folder '{line.partition(' ')[0]}', which is no "
                "part of the release; name it in source.packages"
            )
    return text


def _compile(
    wanted: Wanted, listed: Sequence[Path], wheels: Sequence[Path], uv: Path, cwd: Path
) -> str:
    names = [requirements.wheel_name(wheel) for wheel in wheels]
    # The app's own index and options come from its file; hosts ask the inventory's.
    command = ["pip", "compile", "--universal", f"--python-version={OLDEST}", "--generate-hashes",
               "--no-header", "--no-annotate", "--no-strip-extras", "--quiet",
               *(f"--no-emit-package={name}" for name in names), *map(str, listed)]  # fmt: skip
    return _run(wanted, uv, command, cwd, "what it requires cannot be resolved")


def _run(wanted: Wanted, uv: Path, command: Sequence[str], cwd: Path, failing: str) -> str:
    env = surroundings(wanted.index_url)
    done = subprocess.run(
        [str(uv), *command], capture_output=True, text=True, env=env, cwd=cwd, check=False
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-15:]
        raise DeployError(f"{wanted.at}: {failing}:\n" + redact("\n".join(said)))
    return done.stdout
