"""An app's secrets: laid out for systemd, and kept out of everything that is told.

activations/<n>/secrets/<NAME>      the value, byte for byte: the service's LoadCredential=
activations/<n>/secrets/<NAME>.env  NAME="value", where the app asks for it: EnvironmentFile=
"""

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from . import environment
from .layout import App, DeployError

FOLDER = "secrets"
# The name of a file as well, to which a suffix comes.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}\Z")
LARGEST = 2**20 - 1
"""Bytes that systemd takes for one service, the names counted in."""
HIDDEN = "***"
SHORT = 4
"""A text below this many characters is found in other words as well."""


def pack(secrets: Mapping[str, bytes]) -> str:
    """One text for the way through Ansible. Not a dictionary, since Ansible masks each value of one
    in all of a module's results, where a secret "1" is the number of an activation as well."""
    if not secrets:
        return ""  # which Ansible masks nowhere
    return json.dumps({name: base64.b64encode(value).decode() for name, value in secrets.items()})


def unpack(app: App, text: str) -> dict[str, bytes]:
    """What `pack` was given. The names become those of files, so none but ours are taken."""
    secrets = {
        name: base64.b64decode(value) for name, value in (json.loads(text) if text else {}).items()
    }
    for name in secrets:
        if not NAME.match(name):
            raise DeployError(
                f"app_secrets.{app.name}.{name}: not a name for a secret; use letters, digits and _"
            )
    return secrets


def files(
    app: App, secrets: Mapping[str, bytes], in_environment: Iterable[str]
) -> dict[str, bytes]:
    """Path below the activation → content."""
    found = {f"{FOLDER}/{name}": value for name, value in secrets.items()}
    for name in in_environment:
        if name not in secrets:
            raise DeployError(
                f"apps.{app.name}.secrets_env: app_secrets.{app.name} has no '{name}'; add it there"
            )
        text = read_text(app.name, name, secrets[name])
        found[f"{FOLDER}/{name}.env"] = f"{name}={environment.quote(text)}\n".encode()
    return found


def read_text(app: str, name: str, value: bytes) -> str:
    """The value as the environment can carry it. Raises DeployError, which never shows it."""
    where = f"app_secrets.{app}.{name}"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise DeployError(
            f"{where}: is no UTF-8 text, and the environment takes nothing else; leave it out of "
            f"secrets_env, and read $CREDENTIALS_DIRECTORY/{name}"
        ) from None
    environment.check(where, name, text)
    return text


def read(folder: Path) -> dict[str, bytes]:
    """The secrets in an activation's folder."""
    found = sorted((folder / FOLDER).glob("*"))
    return {path.name: path.read_bytes() for path in found if NAME.match(path.name)}


def difference(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[str, str]:
    """Both sides of a diff that says which secrets differ, and no more."""
    same = {name for name, value in after.items() if before.get(name) == value}

    def told(secrets: Mapping[str, bytes], other: str) -> str:
        return "".join(f"{n}: {'unchanged' if n in same else other}\n" for n in sorted(secrets))

    return told(before, "the former value"), told(after, "a new value")


def hide(app: App, text: str) -> str:
    """What the app said, in a traceback, a hook or its journal, without any secret it has here."""
    folders = app.activations.glob(f"*/{FOLDER}")
    values = {value for folder in folders for value in read(folder.parent).values()}
    told = {form for value in values for form in forms(value)}
    for form in sorted(told, key=len, reverse=True):
        pattern = re.escape(form)
        if len(form) < SHORT:
            pattern = rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(pattern, HIDDEN, text)
    return text


def forms(value: bytes) -> Iterator[str]:
    """Each line of the value, as a log, a repr(), JSON or an address may have it."""
    for line in value.decode(errors="replace").splitlines():
        bare = line.strip()
        if bare:
            yield bare
            yield repr(bare)[1:-1]
            yield repr(bare.encode())[2:-1]
            yield json.dumps(bare)[1:-1]
            yield urllib.parse.quote(bare, safe="")
