"""What can be said of an app's source and callable by looking, without importing anything."""

import ast
import difflib
import re
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

NAME = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
CALLABLE = re.compile(rf"{NAME}:{NAME}(?P<call>\(.*\)(\.{NAME})?)?\Z")
PROJECT_FILES = ("pyproject.toml", "setup.py")
REQUIREMENTS = (*PROJECT_FILES, "setup.cfg", "pylock.toml", "uv.lock", "requirements*.txt")


def call_problem(target: str) -> str:
    """What is wrong with the calls of a factory, `module:attribute(…)`, or of a chain of them,
    `module:Class(…).method(…)`; nothing for others."""
    match = CALLABLE.match(target)
    if not match or not match["call"]:
        return ""
    try:
        node: ast.expr = ast.parse(target.partition(":")[2], mode="eval").body
    except (SyntaxError, ValueError) as problem:
        return f"its arguments are no Python ({problem})"
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            node = node.value
        elif not isinstance(node, ast.Call):
            return f"'{ast.unparse(node)}' is neither a name nor a call"
        elif isinstance(node.func, ast.Call):
            return "what it returns is called at once"
        elif problem_there := _arguments_problem(node):
            return problem_there
        else:
            node = node.func
    return ""


def _arguments_problem(call: ast.Call) -> str:
    given = [*call.args, *(word.value for word in call.keywords if word.arg)]
    if len(given) < len(call.args) + len(call.keywords):
        return "its arguments are spread"
    for argument in given:
        try:
            ast.literal_eval(argument)
        except (TypeError, ValueError):
            return f"'{ast.unparse(argument)}' is no literal"
    return ""


def protocol_hint(target: str) -> str | None:
    """The protocol that `module:attribute` names by convention: the attribute, else the module."""
    module, _, attribute = target.partition("(")[0].partition(":")
    for word in (attribute, module.rpartition(".")[2]):
        named = {p for p in ("asgi", "wsgi") if p in word.lower()}
        if len(named) == 1:
            return named.pop()
    return None


def check_folder(path: str, folder: Path, errors: list[str]) -> bool:
    """Whether `folder` can be an app's source; `path` is the key that names it."""
    if not folder.exists():
        errors.append(f"{path}: there is no folder {folder}; mend the path or create it")
    elif not folder.is_dir():
        errors.append(f"{path}: {folder} is not a folder; name the one that holds the app")
    elif not any(folder.iterdir()):
        errors.append(f"{path}: the folder {folder} is empty; name the one that holds the app")
    else:
        return True
    return False


def requirement_problem(line: str) -> str:
    """What is wrong with a requirement from an index; nothing where it is well written."""
    try:
        found = Requirement(line)
    except InvalidRequirement as problem:
        return f"{str(problem).splitlines()[0]}; write it as name==version"
    if found.url and not re.match(r"(https|git\+https|git\+ssh)://", found.url):
        return "hosts cannot reach its address; name a file in distributions instead"
    return ""


def check_package(path: str, folder: Path, errors: list[str]) -> None:
    """Whether a local package can be built from `folder`."""
    if check_folder(path, folder, errors) and not any(
        (folder / name).is_file() for name in PROJECT_FILES
    ):
        errors.append(
            f"{path}: {folder} has no pyproject.toml or setup.py, so no package can be built "
            "from it; name the folder that holds one"
        )


def check_module(
    path: str,
    target: str,
    source: Path,
    packages: list[Path],
    errors: list[str],
    brought: bool = False,
) -> None:
    """Refuse a callable whose module is clearly not there.

    A module that a requirement may bring, one of the entry's (`brought`) or of the source's, is
    left to the import at stage, unless a module of the source has nearly its name.
    """
    parts = target.partition(":")[0].split(".")
    roots = [base / sub for base in (source, *packages) for sub in ("", "src")]
    homes = [root for root in roots if _modules(root, parts[0])]
    missing = parts[0]
    if homes:
        lacking = [_lacking(root, parts) for root in homes]
        if "" in lacking:
            return
        missing = lacking[0]
    own = sorted({p.stem for root in roots[:2] for p in root.glob("*.py")})
    close = difflib.get_close_matches(missing, own, n=1) if not homes else []
    required = any(list(source.glob(pattern)) for pattern in REQUIREMENTS) or packages or brought
    if homes or close or not required:
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        errors.append(
            f"{path}: there is no module '{missing}' in {source}{hint}; "
            "name it as module:attribute, seen from that folder"
        )


def _lacking(root: Path, parts: list[str]) -> str:
    """The first dotted name of `parts` that is not below `root`, or nothing."""
    folder = root
    for depth, part in enumerate(parts, start=1):
        if not _modules(folder, part):
            return ".".join(parts[:depth])
        if depth < len(parts) and not (folder / part).is_dir():
            return ".".join(parts[: depth + 1])
        folder /= part
    return ""


def _modules(folder: Path, name: str) -> bool:
    """Whether `folder` holds a module or package `name`, compiled ones included."""
    if not folder.is_dir():
        return False
    return (folder / name).is_dir() or any(
        p.suffix in {".py", ".pyc", ".so"} and p.name.split(".")[0] == name
        for p in folder.glob(f"{name}.*")
    )
