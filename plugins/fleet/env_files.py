"""Files of an entry's environment, read on the controller: NAME=value, a line each."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LINE = re.compile(
    r"""(?:export\s+)?(?P<name>[A-Za-z_]\w*)=
        (?P<value>(?:[^\s'"\\]|\\.|'[^']*'|"(?:[^"\\]|\\.)*")*)(?:\s+\#.*)?""",
    re.ASCII | re.VERBOSE,
)


def with_env_files(path: str, entry: object, root: Path, errors: list[str]) -> object:
    """The entry with what its files say below its own `env`; later files win.

    A value may be quoted as for a shell; nothing in it is expanded. `export` before a name and
    comments are left out.
    """
    if not isinstance(entry, Mapping):
        return entry
    files = entry.get("env_files", [])
    found: dict[str, Any] = {}
    for name in [files] if isinstance(files, str) else files if isinstance(files, list) else ():
        try:
            file = (root / Path(str(name)).expanduser()).absolute()
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError, RuntimeError) as problem:
            errors.append(f"{path}.env_files: {name} cannot be read ({problem}); mend the path")
            continue
        for number, line in enumerate(text.split("\n"), start=1):
            found |= _read(f"{path}.env_files: {file}:{number}", line.strip(), errors)
    own = entry.get("env", {})
    return {**entry, "env": {**found, **own}} if found and isinstance(own, Mapping) else entry


def _read(at: str, line: str, errors: list[str]) -> dict[str, str]:
    if not line or line.startswith("#"):
        return {}
    match = LINE.fullmatch(line)
    if not match:
        errors.append(f"{at}: is not NAME=value; quote a value that has spaces, as for a shell")
        return {}
    return {match["name"]: "".join(shlex.split(match["value"]))}
