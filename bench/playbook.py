"""Running a playbook over the lab of a benchmark."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def play(inventory: Path, playbook: str, *more: str) -> None:
    """Run a playbook over the lab. Raises CalledProcessError where it fails, its output shown."""
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={inventory}", playbook, *more],
        cwd=ROOT, env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        done.check_returncode()
