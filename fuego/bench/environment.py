"""The environment that the benchmarks make for themselves, under .cache in the root."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
PACKAGE = BENCH.parent
CACHE = PACKAGE.parent / ".cache" / "fuego-bench"
REQUIREMENTS = BENCH / "requirements.txt"
SECONDS_TO_INSTALL = 600


def make() -> Path:
    """The Python of an environment with the pinned frameworks; made anew when the pins, the
    interpreter or the folder changed, since an environment holds absolute paths."""
    key = f"{sys.version}{CACHE}".encode() + REQUIREMENTS.read_bytes()
    folder = CACHE / hashlib.sha256(key).hexdigest()[:12]
    python = folder / "bin" / "python"
    if not (folder / ".complete").exists():
        print(f"making {folder.relative_to(PACKAGE.parent)}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run(
            [python, *install, "--require-hashes", "-r", REQUIREMENTS],
            check=True,
            timeout=SECONDS_TO_INSTALL,
        )
        (folder / ".complete").touch()
    return python


def versions(names: list[str]) -> dict[str, str]:
    """Those that the pins give for this Python."""
    script = "import sys, importlib.metadata as m\nfor n in sys.argv[1:]: print(n, m.version(n))"
    lines = subprocess.run(
        [make(), "-c", script, *names], capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    return {"Python": platform.python_version(), **dict(line.split() for line in lines)}


def processor() -> str:
    cores = f"{os.cpu_count()} cores"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return cores
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{cores}, {models[0]}" if models else cores
