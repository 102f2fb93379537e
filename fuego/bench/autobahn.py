"""The Autobahn suite against a WebSocket echo in Fuego and in bare uvicorn, case by case: exits
with 1 where Fuego fails and the bare echo does not. Needs Python 2.7.
Run: python bench/autobahn.py --help
"""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import environment
import servers

RESULTS = environment.BENCH / "results"
REQUIREMENTS = environment.BENCH / "autobahn.txt"
LONG = ["9.*", "12.*", "13.*"]  # large messages and compression: many minutes
# From good to bad. "behaviorClose" is how the connection ended.
ORDER = ["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED"]
# Which of those up to here a case gets depends on the timing of that moment.
PASSED = ORDER.index("NON-STRICT")
MISSING = "MISSING"

WSTEST = """
import site, sys
site.addsitedir(sys.argv.pop(1))
from autobahntestsuite.wstest import run
run()
"""

Verdicts = dict[str, tuple[str, str]]


def python2() -> str | None:
    """In PATH, or among pyenv's versions; a shim without that version does not run."""
    candidates = [shutil.which(name) for name in ("python2.7", "python2")]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates += map(str, sorted(pyenv.glob("versions/2.7*/bin/python"), reverse=True))
    check = "import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))"
    for candidate in candidates:
        if candidate and _succeeds([candidate, "-c", check]):
            return candidate
    return None


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def install(python: str) -> Path:
    """A folder with the suite; made anew when its pins or the interpreter changed."""
    key = python.encode() + REQUIREMENTS.read_bytes()
    folder = environment.CACHE / f"autobahn-{hashlib.sha256(key).hexdigest()[:12]}"
    if not (folder / ".complete").exists():
        print(f"making {folder.relative_to(environment.PACKAGE.parent)}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pinned = ["--no-deps", "--require-hashes", "-r", str(REQUIREMENTS)]
        subprocess.run(
            [*command, *pinned, "--target", str(folder)],
            check=True,
            timeout=environment.SECONDS_TO_INSTALL,
        )
        (folder / ".complete").touch()
    return folder


@contextlib.contextmanager
def echoes(ws: str) -> Iterator[dict[str, int]]:
    """The ports of both servers."""
    python, everywhere = environment.make(), os.sched_getaffinity(0)
    ports: dict[str, int] = {}
    with contextlib.ExitStack() as stack:
        for name in ("bare", "fuego"):
            ports[name] = servers.free_port()
            command = servers.asgi_command(python, f"echo:{name}_echo", ports[name], ws=ws)
            stack.enter_context(servers.running(command, ports[name], everywhere))
        yield ports


def run_suite(
    python: str,
    site: Path,
    ports: dict[str, int],
    cases: list[str],
    left_out: list[str],
    limit: int,
) -> dict[str, Verdicts]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        spec = {
            "outdir": str(folder / "reports"),
            "servers": [
                {"agent": agent, "url": f"ws://127.0.0.1:{port}/"} for agent, port in ports.items()
            ],
            "cases": cases,
            "exclude-cases": left_out,
            "exclude-agent-cases": {},
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        command = [python, "-c", WSTEST, str(site), "--mode=fuzzingclient", "--spec=spec.json"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, start_new_session=True
            )
            try:
                process.wait(limit)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
        index = folder / "reports" / "index.json"
        if process.returncode or not index.exists():
            tail = (folder / "log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"wstest ended with {process.returncode}: {tail}")
        found: dict[str, dict[str, Any]] = json.loads(index.read_text())
    return {
        agent: {
            case: (verdict["behavior"], verdict["behaviorClose"])
            for case, verdict in found.get(agent, {}).items()
        }
        for agent in ports
    }


def rank(verdict: str) -> int:
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER)


def differences(bare: Verdicts, fuego: Verdicts) -> list[tuple[str, str, str, bool]]:
    """The case, both verdicts, and whether Fuego's is a failure that is not bare's."""
    none = (MISSING, MISSING)
    return [
        (
            case,
            " / ".join(bare.get(case, none)),
            " / ".join(fuego.get(case, none)),
            any(
                rank(ours) > max(rank(theirs), PASSED)
                for ours, theirs in zip(fuego.get(case, none), bare.get(case, none), strict=True)
            ),
        )
        for case in sorted(bare.keys() | fuego.keys(), key=_numbers)
        if bare.get(case) != fuego.get(case)
    ]


def _numbers(case: str) -> list[int]:
    return [int(number) for number in case.split(".")]


def report(verdicts: dict[str, Verdicts], left_out: list[str], ws: str) -> str:
    versions = environment.versions(["uvicorn", "websockets", "uvloop"])
    written = ", ".join(f"{name} {version}" for name, version in versions.items())
    groups = (
        f"A short run: without {', '.join(left_out)}." if left_out else "Every group asked for."
    )
    lines = [
        "# Autobahn\n",
        "Written by `bench/autobahn.py`; edits are lost.\n",
        f"{time.strftime('%Y-%m-%d')}; {written}, `--ws={ws}`; {_pin()}. "
        f"{len(verdicts['bare'])} cases. {groups}\n",
        "| echo | behaviour | at the close |",
        "| --- | --- | --- |",
    ]
    for agent, title in (("bare", "bare uvicorn"), ("fuego", "Fuego on uvicorn")):
        lines.append(f"| {title} | {_counts(verdicts, agent, 0)} | {_counts(verdicts, agent, 1)} |")
    different = differences(verdicts["bare"], verdicts["fuego"])
    if not different:
        return "\n".join([*lines, "\nThe verdicts are the same in every case.\n"])
    lines += ["\n| case | bare | Fuego | |", "| --- | --- | --- | --- |"]
    for case, bare, fuego, worse in different:
        lines.append(f"| {case} | {bare} | {fuego} | {'**worse**' if worse else 'no worse'} |")
    return "\n".join(lines) + "\n"


def _pin() -> str:
    pins = REQUIREMENTS.read_text().splitlines()
    pin = next(pin for pin in pins if pin.startswith("autobahntestsuite=="))
    return pin.removesuffix(" \\").replace("==", " ")


def _counts(verdicts: dict[str, Verdicts], agent: str, which: int) -> str:
    counts = Counter(pair[which] for pair in verdicts[agent].values())
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in sorted(counts, key=rank))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help=f"{', '.join(LONG)} too")
    parser.add_argument("--cases", help="with commas between: 1.*,7.1.1; writes no results")
    parser.add_argument("--limit", type=int, help="seconds for the whole suite")
    parser.add_argument("--ws", default="auto", help="uvicorn's WebSocket implementation")
    options = parser.parse_args()
    python = python2()
    if python is None:
        sys.exit(
            "autobahn: no Python 2.7 with pip found in PATH or under pyenv; the suite runs on no "
            "other. Install it: pyenv install 2.7.18"
        )
    cases = options.cases.split(",") if options.cases else ["*"]
    left_out = [] if options.all or options.cases else LONG
    limit = options.limit or (7200 if options.all else 900)
    site = install(python)
    with echoes(options.ws) as ports:
        try:
            verdicts = run_suite(python, site, ports, cases, left_out, limit)
        except subprocess.TimeoutExpired:
            sys.exit(f"autobahn: not done within {limit} s; --limit gives it longer")
    if not verdicts["bare"]:
        sys.exit("autobahn: no case was run")
    text = report(verdicts, left_out, options.ws)
    print(text)
    if not options.cases:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "autobahn.md").write_text(text)
        (RESULTS / "autobahn.json").write_text(json.dumps(verdicts, indent=1) + "\n")
    if any(worse for *_, worse in differences(verdicts["bare"], verdicts["fuego"])):
        sys.exit(1)


if __name__ == "__main__":
    main()
