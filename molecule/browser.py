"""A real browser, without a window, for tests of pages: Debian's chromium, or whatever of its kind
is there.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ("chromium", "fonts-dejavu-core")
# A page of ours beside the one in question: it has the page in a frame as wide as the window, runs
# there what the test wants to know, and notes the answer as its own text.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><style>body {{ margin: 0 }}</style>
<iframe id="page" src="{page}" style="border: 0; width: {width}px; height: 2000px"></iframe>
<pre id="answer"></pre>
<script>
const frame = document.getElementById('page');
frame.onload = () => {{
  const page = frame.contentDocument;
  const shown = (one) => frame.contentWindow.getComputedStyle(one).display !== 'none';
  document.getElementById('answer').textContent = JSON.stringify((() => {{ {ask} }})());
}};
</script>
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A page as the browser has it: its DOM as HTML, and the errors and warnings of its console."""

    dom: str
    console: list[str]


@cache
def program() -> str:
    """The browser; installed where it is missing, or a failure that says how to."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        install = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qq",
                   "-y", "--no-install-recommends", *PACKAGES]  # fmt: skip
        try:
            subprocess.run([*root, "apt-get", "update", "-qq"], check=True)
            subprocess.run(install, check=True, stdout=subprocess.DEVNULL)
        except (OSError, subprocess.CalledProcessError) as problem:
            pytest.fail(
                f"there is no browser and it cannot be installed ({problem}); install one: "
                f"sudo apt-get install {' '.join(PACKAGES)}"
            )
        found = shutil.which(PROGRAMS[0])
    assert found, "chromium is installed and not on the PATH"
    return found


def run(page: Path, *arguments: str, width: int) -> subprocess.CompletedProcess[str]:
    """Open the page in a window of that width, with a profile of its own that is thrown away."""
    profile = page.parent / "browser"
    command = [
        program(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--hide-scrollbars", "--no-first-run", "--enable-logging=stderr",
        f"--user-data-dir={profile}", f"--window-size={width},2000", *arguments, page.as_uri(),
    ]  # fmt: skip
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    finally:
        shutil.rmtree(profile, ignore_errors=True)


def see(page: Path, width: int) -> Seen:
    """Open the page and return what has become of it."""
    done = run(page, "--dump-dom", width=width)
    return Seen(done.stdout, re.findall(r"CONSOLE[(:]\d+\)?\] (.*)", done.stderr))


def picture(page: Path, width: int, file: Path) -> Path:
    """A picture of the page, for people."""
    run(page, f"--screenshot={file}", width=width)
    return file


def ask(page: Path, width: int, script: str) -> Any:
    """What `script`, the body of a function, returns of the page: its document is `page`, and
    `shown(element)` says whether that is displayed."""
    frame = page.with_name("frame.html")
    frame.write_text(FRAME.format(page=page.name, width=width, ask=script))
    # Files are strangers to each other in a browser, but for this; the delay lets the frame load.
    done = run(
        frame, "--allow-file-access-from-files", "--virtual-time-budget=5000", "--dump-dom",
        width=width,
    )  # fmt: skip
    answer = re.search(r'<pre id="answer">(.+?)</pre>', done.stdout, re.DOTALL)
    assert answer, done.stderr
    return json.loads(html.unescape(answer[1]))
