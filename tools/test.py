"""Everything that proves the project, two steps at a time: what `make test` runs.

The last line is `N passed, N failed`: one for each check and scenario, and one for each test in
them. Exits with 1 where anything failed. Each step's output goes to .lab/log/ and, where it fails,
to the terminal.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from contextlib import suppress
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


ALONE = ("faults",)
"""Scenarios that measure how soon something is noticed: they come first, and beside them runs only
what leaves the processors to them."""
LONG = ("deploy", "servers", "scale", "default", "sources")
"""Those that take longest come next, so that no processor is without work in the end."""
SLOTS = 2
"""Steps at a time. A scenario waits for its hosts as long as it works."""


ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 60.0
"""Seconds that steps get to stop, once they are told to."""
NICE = 10
"""What needs no hosts gets a tenth of a processor that a host wants as well."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command; where it writes a JUnit report, each of its tests counts."""

    name: str
    command: tuple[str, ...]
    folder: str = "."
    needs_hosts: bool = False
    reports: bool = False
    alone: bool = False
    """Whether nothing may run beside it but what needs no hosts."""


def steps() -> list[Step]:
    """Return the steps in order: beside scenarios that are alone runs what needs no hosts."""
    lab = Step(
        "lab",
        ("ansible-playbook", "-i", "molecule/default/inventory", "playbooks/lab.yml",
         "-e", "lab_state=built"),
        needs_hosts=True,
        alone=True,
    )  # fmt: skip
    known = {path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml")}
    others = [*LONG, *sorted(known - {*ALONE, *LONG})]
    return [lab, *map(scenario, ALONE), *checks(), *map(scenario, others)]


def checks() -> list[Step]:
    """Return what needs no hosts."""
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
    ]


def scenario(name: str) -> Step:
    """Return the step that runs a scenario of Molecule."""
    command = ("molecule", "test", "--scenario-name", name)
    return Step(f"molecule {name}", command, needs_hosts=True, reports=True, alone=name in ALONE)


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
                start_new_session=True,
                preexec_fn=hear_interrupts if step.needs_hosts else give_way,
            )

    def goes_on(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def interrupt(self) -> None:
        """Tell it to stop, as Ctrl-C does."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)

    def wait(self, seconds: float) -> None:
        """Wait until it has stopped; kill it where it takes longer."""
        try:
            self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

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


def hear_interrupts() -> None:
    """End at SIGINT, also where a shell that runs us in the background ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def give_way() -> None:
    """Leave the processors to what measures hosts, by and large.

    A niceness counts within a session; what a whole session gets, where the kernel groups processes
    by it, is set apart: sched(7), "The autogroup feature".
    """
    hear_interrupts()
    os.nice(NICE)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICE))


def may_start(step: Step, running: list[Running]) -> bool:
    """Whether there is room for it beside what runs."""
    hosts = [each.step for each in running if each.step.needs_hosts]
    if step.needs_hosts and hosts and (step.alone or any(each.alone for each in hosts)):
        return False
    return len(running) < SLOTS


def run(waiting: list[Step]) -> list[tuple[int, int]]:
    """Run the steps in order, SLOTS at a time; return how much of each passed and failed."""
    results = []
    running: list[Running] = []
    try:
        while waiting or running:
            for ended in [each for each in running if not each.goes_on()]:
                running.remove(ended)
                results.append(ended.end())
            ready = next((step for step in waiting if may_start(step, running)), None)
            if ready:
                waiting.remove(ready)
                running.append(Running(ready))
            else:
                time.sleep(0.1)
    finally:
        stop(running)
    return results


def stop(running: list[Running]) -> None:
    """End steps that are under way, which have sessions of their own; hear no second signal."""
    if not running:
        return
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    print("test: stopping what is under way", file=sys.stderr, flush=True)
    for each in running:
        each.interrupt()
    deadline = time.monotonic() + GRACE
    for each in running:
        each.wait(deadline - time.monotonic())


def main() -> None:
    """Run the steps that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-hosts", action="store_true", help="leave out what needs hosts")
    options = parser.parse_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    for number in ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda got, _: sys.exit(128 + got))
    results = run([step for step in steps() if not (step.needs_hosts and options.no_hosts)])
    passed, failed = map(sum, zip(*results, strict=True))
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
