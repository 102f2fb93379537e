"""What kind of callable the check takes something for, and what it says of one that fails."""

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fuego_deploy import activation, checker
from fuego_deploy.layout import App, DeployError


def wsgi(environ: Any, start_response: Any) -> Any: ...
async def asgi(scope: Any, receive: Any, send: Any) -> None: ...
def sync_asgi(scope: Any, receive: Any, send: Any) -> Any: ...
def anything(*args: Any) -> Any: ...
def anything_named(**kwargs: Any) -> Any: ...
def with_default(environ: Any, start_response: Any, exc: Any = None) -> Any: ...
def factory() -> Any: ...
def old_asgi(scope: Any) -> Any: ...
def needs_four(a: Any, b: Any, c: Any, d: Any) -> Any: ...


class Wsgi:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class Asgi:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsyncAnything:
    async def __call__(self, *args: Any) -> None: ...


class Method:
    def wsgi(self, environ: Any, start_response: Any) -> Any: ...


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (wsgi, "wsgi"), (Wsgi(), "wsgi"), (Method().wsgi, "wsgi"), (WsgiClass, "wsgi"),
        (functools.partial(sync_asgi, None), "wsgi"), (asgi, "asgi"), (Asgi(), "asgi"),
        (sync_asgi, "asgi"), (AsyncAnything(), "asgi"), (anything, "unknown"),
        (with_default, "unknown"), (factory, "factory"), (old_asgi, "unknown"),
        (dict, "unknown"), (needs_four, "other"), (anything_named, "factory"), ("app", "none"),
        (None, "none"),
    ],
)  # fmt: skip
def test_kind(found: Any, kind: str) -> None:
    assert checker.kind_of(found) == kind


def run(folder: Path, code: str, target: str = "main:app") -> tuple[str, str, int]:
    """The checker as a host runs it: in a process of its own, in the source's folder."""
    (folder / "main.py").write_text(code)
    script = Path(checker.__file__).read_text()
    done = subprocess.run(
        [sys.executable, "-c", script, target],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout, done.stderr, done.returncode


def judged(folder: Path, code: str, target: str = "main:app", protocol: str = "wsgi") -> None:
    activation.judge(App("shop"), target, protocol, *run(folder, code, target))


GOOD = "def app(environ, start_response): ...\nclass api:\n  async def app(s, r, x): ...\n"


def test_good_ones_pass(tmp_path: Path) -> None:
    judged(tmp_path, GOOD)
    judged(tmp_path, "print('loading')\n" + GOOD)
    judged(tmp_path, GOOD, "main:api.app", "asgi")
    judged(tmp_path, "import threading, time\n"
           "threading.Thread(target=time.sleep, args=(60,)).start()\n" + GOOD)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "target", "protocol", "said"),
    [
        (GOOD, "main:ap", "wsgi", "main has no 'ap'; the callables in it are: api, app"),
        (GOOD, "main:app", "asgi", "is WSGI (a function called with (environ, start_response)), "
         "and the server expects ASGI; name the ASGI callable"),
        (GOOD, "main:api.app", "wsgi", "and the server expects WSGI"),
        (GOOD, "mian:app", "wsgi", "ModuleNotFoundError: No module named 'mian'"),
        ("app = 1", "main:app", "wsgi", "is a int, which nothing can call"),
        ("def app(a, b, c, d): ...", "main:app", "wsgi", "which is no WSGI app"),
        ("import nosuchthing", "main:app", "wsgi", "No module named 'nosuchthing'"),
        ("def f():\n  raise ValueError('no KEY')\nf()", "main:app", "wsgi", "ValueError: no KEY"),
        ("import sys\nsys.exit('set KEY first')", "main:app", "wsgi", "SystemExit: set KEY first"),
        ("import os\nos.abort()", "main:app", "wsgi", "the process ended with status"),
        ("import os, sys\nprint('gone', file=sys.stderr, flush=True)\nos._exit(3)", "main:app",
         "wsgi", "ended with status 3 (or took more than 120 s)\ngone"),
    ],
)  # fmt: skip
def test_bad_ones_are_named(
    tmp_path: Path, code: str, target: str, protocol: str, said: str
) -> None:
    with pytest.raises(DeployError) as refusal:
        judged(tmp_path, code, target, protocol)
    assert str(refusal.value).startswith(f"apps.shop.callable: '{target}'")
    assert said in str(refusal.value)


def test_the_traceback_is_the_apps_own(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("raise ValueError('no KEY')\n")
    out, _, _ = run(tmp_path, "import other\n")
    trace = json.loads(out)["trace"]
    assert "frozen" not in trace
    assert [line for line in trace.splitlines() if line.startswith("  File")] == [
        f'  File "{tmp_path}/main.py", line 1, in <module>',
        f'  File "{tmp_path}/other.py", line 1, in <module>',
    ]


def test_the_verdict_is_all_that_is_printed(tmp_path: Path) -> None:
    out, err, _ = run(tmp_path, "print('noise')\nimport os\nos.system('echo more')\n" + GOOD)
    assert json.loads(out)["kind"] == "wsgi"
    assert "noise" in err
    assert "more" in err
