"""The command `fuego`: run, routes, new."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .app import Fuego


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="fuego", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="serve for development, with reload")
    run.add_argument("app", help="module:name, such as main:app")
    run.add_argument("--host", default="127.0.0.1")
    run.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    run.add_argument("--protocol", choices=("wsgi", "asgi"), default="wsgi")
    run.add_argument("--no-reload", action="store_true")
    routes = commands.add_parser("routes", help="print the table of routes")
    routes.add_argument("app", nargs="?", default="main:app")
    new = commands.add_parser("new", help="make a project")
    new.add_argument("name", help="its folder and the app's name: a-z, 0-9 and dashes")
    options = parser.parse_args(arguments)
    try:
        if options.command == "new":
            from .project import create

            create(options.name, Path.cwd())
        elif options.command == "routes":
            print(table(load(options.app)))
        else:
            load_and_run(options)
    except (ValueError, ImportError) as error:
        print(f"fuego: {error}", file=sys.stderr)
        return 2
    return 0


def load_and_run(options: argparse.Namespace) -> None:
    from . import development

    reload = not options.no_reload
    if reload and development.CHILD not in os.environ:
        # Not loaded here: an app that fails at its import starts again once it is mended.
        sys.argv[0] = str(Path.cwd() / "main.py")  # what is watched is the folder
        raise SystemExit(development.supervise([sys.executable, *sys.orig_argv[1:]]))
    app = load(options.app)
    app.run(options.host, options.port, reload=reload, protocol=options.protocol)


def load(target: str) -> Fuego:
    """An app by `module:name`, from the folder we stand in."""
    module, _, name = target.partition(":")
    sys.path.insert(0, os.getcwd())
    app = getattr(importlib.import_module(module), name or "app", None)
    if not isinstance(app, Fuego):
        raise ValueError(f"{target!r} is not a Fuego app; name one as main:app")
    return app


def table(app: Fuego) -> str:
    rows = [("METHODS", "PATH", "NAME"), *app.routes()]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}" for row in rows)
