"""uv for the hosts: the controller's own where it runs there, else the same version's wheel."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from .artifact import lock
from .layout import DeployError

PLATFORMS = {
    "x86_64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "aarch64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
}


def find(python: str = sys.executable) -> Path:
    """The controller's uv: beside the Python that runs Ansible, else on the PATH."""
    beside = Path(python).parent / "uv"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("uv")
    if found is None:
        raise DeployError(
            "uv is not installed on this machine, and releases are built with it; "
            "install it beside Ansible: pip install uv"
        )
    return Path(found)


def version(uv: Path) -> str:
    done = subprocess.run([uv, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"uv (\d[\w.+-]*)", done.stdout)
    if done.returncode or not match:
        raise DeployError(f"{uv} does not run: {(done.stderr or done.stdout).strip()}")
    return match[1]


def for_machine(machine: str, uv: Path, cache: Path, locked: Path) -> Path:
    """uv for Linux on that machine (`uname -m`); fetched once, its hash that of the lock."""
    if machine not in PLATFORMS:
        raise DeployError(
            f"hosts of the architecture '{machine}' are not supported; "
            f"{' and '.join(PLATFORMS)} are"
        )
    if runs_there(machine):
        return uv
    wanted = version(uv)
    kept = cache / "uv" / f"{wanted}-{machine}" / "uv"
    kept.parent.mkdir(parents=True, exist_ok=True)
    with lock(kept.parent):
        if not kept.exists():
            _fetch(machine, wanted, kept, locked)
    return kept


def runs_there(machine: str) -> bool:
    """Whether a program of this controller runs on a glibc Linux of that machine."""
    here = (platform.system(), platform.machine(), platform.libc_ver()[0])
    return here == ("Linux", machine, "glibc")


def _fetch(machine: str, wanted: str, kept: Path, locked: Path) -> None:
    requirement = pinned(locked.read_text(encoding="utf-8"), wanted)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        file = Path(scratch) / "uv.txt"
        file.write_text(requirement, encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--disable-pip-version-check", "--only-binary=:all:", "--require-hashes",
                   "--dest", scratch, "--requirement", str(file)]  # fmt: skip
        command += [f"--platform={name}" for name in PLATFORMS[machine]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            said = "\n".join((done.stderr or done.stdout).strip().splitlines()[-6:])
            raise DeployError(f"uv {wanted} for {machine} cannot be fetched:\n{said}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith("/scripts/uv"))
            new = Path(scratch) / "uv"
            new.write_bytes(wheel.read(name))
        new.chmod(0o755)
        os.replace(new, kept)


def pinned(locked: str, wanted: str) -> str:
    """The lock's own lines for uv, hashes and all."""
    match = re.search(rf"^uv=={re.escape(wanted)}\b(?:.*\\\n)*.*$", locked, re.MULTILINE)
    if not match:
        raise DeployError(
            f"uv {wanted} of this machine is not the one pinned in requirements.lock, so none for "
            "another architecture can be fetched; make the controller's environment anew"
        )
    return match[0] + "\n"
