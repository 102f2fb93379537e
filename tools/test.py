"""Everything that proves the project, two steps at a time: what `make test` runs.

The last line is `N passed, N failed`: one for each check and scenario, and one for each test in
them. Exits with 1 where anything failed. Each step's output goes to .lab/log/ and, where it fails,
to the terminal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".lab" / "log"
SHELL_SCRIPTS = [
    "tools/setup.sh",
    "tools/clean.sh",
    ".ci/run",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "roles").glob("*/files/*.sh")),
]


LONG = ("deploy", "servers", "scale", "default")
"""Scenarios that take longest come first, so that no processor is without work in the end."""
ALONE = ("faults",)
"""Scenarios that measure how soon something is noticed: nothing else runs beside them."""
SLOTS = 2
"""Steps at a time. A scenario waits for its hosts as long as it works."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command; where it writes a JUnit report, each of its tests counts."""

    name: str
    command: tuple[str, ...]
    folder: str = "."
    needs_hosts: bool = False
    reports: bool = False
    alone: bool = False
    """Whether nothing may run beside it."""


def steps() -> list[Step]:
    """Return the steps in order: the quick ones first."""
    return [
        Step("ruff", ("ruff", "check", ".")),
        Step("ruff format", ("ruff", "format", "--check", ".")),
        Step("yamllint", ("yamllint", "--strict", ".")),
        Step("shellcheck", ("shellcheck", *SHELL_SCRIPTS)),
        Step("mypy", ("mypy",)),
        Step("tests", ("pytest", "tests"), reports=True),
        Step("mypy molecule", ("mypy", "molecule")),
        Step("ansible-lint", ("ansible-lint", "--offline", "--strict")),
        Step("fuego mypy", ("mypy",), folder="fuego"),
        Step(
            "fuego",
            ("sh", "-c", "coverage run -m pytest && coverage report"),
            folder="fuego",
            reports=True,
        ),
        Step("apps", ("pytest", "apps"), reports=True),
        Step(
            "lab",
            ("ansible-playbook", "-i", "molecule/default/inventory", "playbooks/lab.yml",
             "-e", "lab_state=built"),
            needs_hosts=True,
            alone=True,
        ),
        *(
            Step(
                f"molecule {scenario}",
                ("molecule", "test", "--scenario-name", scenario),
                needs_hosts=True,
                reports=True,
                alone=scenario in ALONE,
            )
            for scenario in scenarios()
        ),
    ]  # fmt: skip


def scenarios() -> list[str]:
    """Return the names of the scenarios, the longest first and those that are alone last."""
    found = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    long = [name for name in LONG if name in found]
    return [*long, *(name for name in found if name not in (*LONG, *ALONE)), *ALONE]


def count(report: Path) -> tuple[int, int]:
    """Return how many tests of a JUnit report passed and failed; none where there is no report."""
    if not report.exists():
        return 0, 0
    passed = failed = 0
    for case in ElementTree.parse(report).iter("testcase"):
        tags = {child.tag for child in case}
        if tags & {"failure", "error"}:
            failed += 1
        elif "skipped" not in tags:
            passed += 1
    return passed, failed


class Running:
    """A step under way."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self._log = LOGS / f"{step.name.replace(' ', '-')}.log"
        self._report = self._log.with_suffix(".xml")
        self._report.unlink(missing_ok=True)
        environment = dict(os.environ)
        if step.reports:
            environment["PYTEST_ADDOPTS"] = f"--junitxml={self._report} --durations=40"
        print(f"==> {step.name}", flush=True)
        self._started = time.monotonic()
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                step.command,
                cwd=ROOT / step.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def end(self) -> tuple[int, int]:
        """Wait for it, show its output where it failed, and return how much passed and failed."""
        code = self._process.wait()
        passed, failed = count(self._report) if self.step.reports else (0, 0)
        verdict = "failed" if code else "ok"
        tests = f", {passed} passed, {failed} failed" if self.step.reports else ""
        seconds = time.monotonic() - self._started
        print(f"    {self.step.name} {verdict} ({seconds:.0f} s{tests})", flush=True)
        if code:
            print(self._log.read_text(errors="replace"), flush=True)
        return passed + (code == 0), failed + (code != 0)


def run(waiting: list[Step]) -> list[tuple[int, int]]:
    """Run the steps in order, SLOTS at a time; return how much of each passed and failed."""
    results = []
    running: list[Running] = []
    while waiting or running:
        for ended in [each for each in running if not each.goes_on()]:
            running.remove(ended)
            results.append(ended.end())
        free = SLOTS - len(running)
        alone = any(each.step.alone for each in running) or (waiting and waiting[0].alone)
        if waiting and (not running if alone else free):
            running.append(Running(waiting.pop(0)))
        else:
            time.sleep(0.1)
    return results


def main() -> None:
    """Run the steps that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-hosts", action="store_true", help="leave out what needs hosts")
    options = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    results = run([step for step in steps() if not (step.needs_hosts and options.no_hosts)])
    passed, failed = map(sum, zip(*results, strict=True))
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
