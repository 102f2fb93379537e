"""Every Python block of the documentation is run, over both protocols.

The blocks of a page share their names, in order, as in one file, and run in an empty folder. A
`TestClient` that names no protocol takes the one of the run. A comment before a block says more:

    <!-- asgi -->                    run over this protocol alone
    <!-- file: main.py -->           write it there; tests among the files are run by pytest
    <!-- more of: main.py -->        the same, at the end of it
    <!-- options: fuego.Fuego -->    the table below has the names and defaults of a signature
"""

import doctest
import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

import fuego.testing
from fuego import Fuego
from fuego.cli import table

Protocol = Literal["wsgi", "asgi"]

PACKAGE = Path(__file__).parents[1]
DOCS = PACKAGE.parent / "docs" / "fuego"
PAGES = [PACKAGE / "README.md", *sorted(DOCS.glob("*.md"))]
NAMES = ["tutorial", *(page.stem for page in PAGES[1:])]

LANGUAGES = {"python", "console", "html", "yaml"}
BLOCK = re.compile(r"(?:<!-- ([^>]*) -->\n+)?^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
OPTIONS = re.compile(r"<!-- options: (\S+) -->\n+((?:\|.*\n)+)")
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    marker: str
    language: str
    code: str

    def write(self, folder: Path) -> None:
        kind, _, name = self.marker.partition(": ")
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        with path.open("w" if kind == "file" else "a") as file:
            file.write(self.code)

    def run(self, names: dict[str, Any]) -> None:
        if self.code.startswith(">>>"):
            test = doctest.DocTestParser().get_doctest(
                self.code, names, self.page.name, str(self.page), self.line
            )
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
            runner.run(test, clear_globs=False)
            assert not runner.failures, f"{self.page}:{self.line}"
            names.update(test.globs)
        else:  # blank lines before it, so that a traceback names the line of the page
            exec(compile("\n" * self.line + self.code, self.page, "exec"), names)


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start(3))
        yield Block(page, line, found[1] or "", found[2], found[3])


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_snippets(
    page: Path, protocol: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = fuego.testing.TestClient

    def of_this_run(app: Fuego, protocol: Protocol = protocol, **options: Any) -> Any:
        return client(app, protocol, **options)

    monkeypatch.setattr(fuego.testing, "TestClient", of_this_run)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page):
        if re.match("(file|more of): ", block.marker):
            block.write(tmp_path)
        elif block.language == "python" and block.marker in ("", protocol):
            block.run(names)
    files = sorted(path.name for path in tmp_path.glob("*.py"))
    if files:
        assert any(name.startswith("test_") for name in files), "who runs these files?"
        command = [sys.executable, "-W", "error", "-m", "pytest", "-q", *files]
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE / "src")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_tutorial_shows(protocol: Protocol) -> None:
    """The answers to curl, and the table of routes, are what a reader will see."""
    tutorial = list(blocks(PACKAGE / "README.md"))
    names: dict[str, Any] = {"__name__": "main"}
    next(block for block in tutorial if block.marker == "file: main.py").run(names)
    client = fuego.testing.TestClient(names["app"], protocol)
    shown = "".join(block.code for block in tutorial if block.language == "console")
    asked = re.findall(r"^\$ curl http://[^/]+(\S+)(?: -d '(.*)')?\n(.*)$", shown, re.MULTILINE)
    assert len(asked) == 3
    for path, body, answer in asked:
        sent = client.post(path, body=body.encode()) if body else client.get(path)
        assert sent.text == answer
    assert f"$ fuego routes\n{table(names['app'])}\n" in shown


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_blocks_are_marked(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert page.read_text().count("\n```") == 2 * len(list(blocks(page)))
    for block in blocks(page):
        assert re.fullmatch("|wsgi|asgi|(file|more of): .+|options: .+", block.marker)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_tables_of_options(page: Path) -> None:
    for name, text in OPTIONS.findall(page.read_text()):
        module, _, path = name.partition(":")
        target: Any = importlib.import_module(module)
        for part in path.split("."):
            target = getattr(target, part)
        rows = [row.split("|")[1:3] for row in text.splitlines()[2:]]
        told = {key.strip(" `"): value.strip(" `") for key, value in rows}
        taken = {
            key: parameter.default
            for key, parameter in inspect.signature(target).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY or key in told
        }
        assert list(told) == list(taken), name
        for key, default in taken.items():
            if default is inspect.Parameter.empty:
                assert told[key] == "required", f"{name}: {key}"
            else:
                assert eval(told[key]) == default, f"{name}: {key}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize(
    "index", [PACKAGE / "README.md", DOCS / "README.md"], ids=["package", "docs"]
)
def test_index_is_whole(index: Path) -> None:
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert {page for page in DOCS.glob("*.md") if page.name != "README.md"} <= linked
