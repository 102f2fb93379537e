"""Runs with an app's own Python, inside its sandbox: does the callable import, and what is it?

    python checker.py module:attribute [CREDENTIAL ...]       or module:factory(ARGUMENT, ...)

Prints one JSON object on the standard output; whatever the app prints goes to standard error.
Nothing but the standard library may be imported here, and nothing of this package.
"""

import ast
import contextlib
import importlib
import inspect
import json
import os
import sys
import traceback
from typing import Any


def kind_of(found: Any) -> str:
    """What it can be called with makes it: wsgi, asgi, factory, other (none of them), unknown, or
    none (not to be called)."""
    if not callable(found):
        return "none"
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(
        getattr(found, "__call__", None)  # noqa: B004
    ):
        return "asgi"
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return "unknown"
    fits = {count: _fits(signature, count) for count in (0, 1, 2, 3)}
    if fits[2] != fits[3]:
        return "wsgi" if fits[2] else "asgi"
    if fits[0] and not fits[2] and inspect.isfunction(found):
        return "factory"
    if fits[2] or fits[0] or fits[1]:  # takes anything, or is an old ASGI 2 app
        return "unknown"
    return "other"


def _fits(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*([None] * count))
    except TypeError:
        return False
    return True


def lacking(names: list[str]) -> list[str]:
    """The credentials of the service that cannot be read here."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return [name for name in names if not os.access(os.path.join(folder, name), os.R_OK)]


def check(target: str) -> dict[str, object]:
    """{"kind": …} or {"error": …, "trace": last lines}."""
    module, _, expression = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except BaseException as problem:
        if isinstance(problem, KeyboardInterrupt):
            raise
        return {"error": f"importing {module} fails", "trace": _trace(problem)}
    for step in steps(expression):
        if isinstance(step, ast.Call):
            try:
                found = _call(found, step)
            except BaseException as problem:
                if isinstance(problem, KeyboardInterrupt):
                    raise
                called = ast.unparse(step.func)
                return {"error": f"calling {called} fails", "trace": _trace(problem)}
            continue
        try:
            found = getattr(found, step)
        except AttributeError:
            names = sorted(n for n in dir(found) if n[0] != "_")
            like = [n for n in names if callable(inspect.getattr_static(found, n, None))]
            return {"error": f"{module} has no '{step}'", "callables": like[:20]}
    parameters = ""
    with contextlib.suppress(TypeError, ValueError):
        parameters = str(inspect.signature(found))
    return {"kind": kind_of(found), "type": type(found).__name__, "parameters": parameters}


def steps(expression: str) -> list[Any]:
    """An expression of names and calls as what is to be done one after another: a name to be looked
    up, or a call."""
    found: list[Any] = []
    node: Any = ast.parse(expression, mode="eval").body
    while not isinstance(node, ast.Name):
        found.append(node.attr if isinstance(node, ast.Attribute) else node)
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return [node.id, *reversed(found)]


def _call(factory: Any, call: Any) -> Any:
    """What the factory makes, with the literals that it is called with."""
    arguments = [ast.literal_eval(argument) for argument in call.args]
    return factory(*arguments, **{word.arg: ast.literal_eval(word.value) for word in call.keywords})


def _trace(problem: BaseException) -> str:
    """The traceback without this file's own lines and those of the import system."""
    found = traceback.TracebackException.from_exception(problem)
    own = ("<frozen importlib", "<string>", importlib.__file__ or "")
    frames = [frame for frame in found.stack if not frame.filename.startswith(own)]
    found.stack = traceback.StackSummary.from_list(frames)
    return "".join(found.format())


def main() -> None:
    answer = os.dup(1)
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())
    names = lacking(sys.argv[2:])
    verdict = {"lacking": names} if names else check(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answer, json.dumps(verdict).encode())
    os._exit(0)  # threads that the import started must not hold us


if __name__ == "__main__":
    main()
