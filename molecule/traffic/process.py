"""Traffic for a test: a process of its own, so that neither slows the other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from traffic.report import Report

FOLDER = Path(__file__).resolve().parent.parent
MARKS, REPORT = "marks", "report.json"
FINISH = 60.0  # seconds for what is in flight at the end


class Traffic:
    """Asks `site` through `balancers` (address:port) until stopped, `limit` seconds at most.

    with Traffic("hello.localhost", "127.0.0.1:8080", without=["websocket", "events"]) as traffic:
        traffic.mark("restart app1")
        ...
    report = traffic.report()
    assert not report.failed, report.summary()

    Where the block raises, the summary is printed.
    """

    def __init__(
        self,
        site: str,
        *balancers: str,
        rate: float = 300,
        limit: float = 900,
        timeout: float = 10,
        lasting: int = 3,
        without: Iterable[str] = (),
    ) -> None:
        self._command = [
            *(sys.executable, "-m", "traffic", site, *balancers),
            *(f"--rate={rate}", f"--seconds={limit}", f"--timeout={timeout}"),
            f"--lasting={lasting}",
        ]
        if kinds := list(without):
            self._command += ["--without", *kinds]
        self._folder: Path | None = None
        self._process: subprocess.Popen[str] | None = None
        self._report: Report | None = None

    def __enter__(self) -> Traffic:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if error is not None and self._report is not None:
            print(self._report.summary())

    def start(self) -> None:
        """Start, and return once every kind of client was answered."""
        self._folder = Path(tempfile.mkdtemp(prefix="traffic-"))
        files = (f"--marks={self._folder / MARKS}", f"--report={self._folder / REPORT}")
        self._process = subprocess.Popen(
            [*self._command, *files],
            env=os.environ | {"PYTHONPATH": str(FOLDER)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stderr is not None
        said = ""
        for line in self._process.stderr:
            if line.strip() == "running":
                return
            said += line
        self._finish()
        raise RuntimeError(f"traffic did not start: {said}")

    def mark(self, text: str) -> None:
        """Note what the test does now; failures name the last mark before them."""
        if self._folder is None:
            raise RuntimeError("traffic does not run")
        with (self._folder / MARKS).open("a") as marks:
            print(f"{time.time():.6f} {' '.join(text.split())}", file=marks)

    def stop(self) -> None:
        """Stop sending, and wait for what is in flight."""
        if self._process is None:
            return
        said = self._finish()
        if self._report is None:
            raise RuntimeError(f"traffic left no report: {said}")

    def report(self) -> Report:
        """Stop where it still runs, and return what it found."""
        self.stop()
        if self._report is None:
            raise RuntimeError("traffic was not started")
        return self._report

    def _finish(self) -> str:
        """End the process, keep its report and return what it said."""
        assert self._process is not None
        assert self._process.stderr is not None
        assert self._folder is not None
        self._process.terminate()
        killer = threading.Timer(FINISH, self._process.kill)
        killer.start()
        with self._process:
            said = self._process.stderr.read()
        killer.cancel()
        written = self._folder / REPORT
        if written.exists():
            self._report = Report.from_json(written.read_text())
        shutil.rmtree(self._folder)
        self._process = self._folder = None
        return said
