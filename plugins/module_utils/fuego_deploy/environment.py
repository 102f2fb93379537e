"""The file of settings that systemd reads for an app: `EnvironmentFile=`."""

import re
from collections.abc import Mapping

from .layout import MARK, DeployError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# What systemd drops in silence: code points that are no characters (its utf8.c,
# unichar_is_valid), and NUL, which ends the value. Tried with systemd 252 and 257.
UNFIT = re.compile(
    "[\x00\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
# The kernel takes no longer NAME=value, its closing NUL counted (MAX_ARG_STRLEN).
LONGEST = 32 * 4096 - 1
HEADER = f"""\
# {MARK}; edits are lost. Settings of this host belong in /etc/{{app}}/env.local.
"""


def quote(value: str) -> str:
    """The value as systemd's EnvironmentFile gives it back byte for byte.

    Inside double quotes systemd takes everything as it stands, newlines included, but a backslash
    before one of the four characters escaped here, or before a newline.
    """
    return '"' + re.sub(r'(["\\`$])', r"\\\1", value) + '"'


def check(where: str, name: str, value: str) -> None:
    """Refuse what would not arrive: systemd drops it, or the kernel refuses to start the app.

    `where` is the key that the inventory has it under, for the message.
    """
    if not NAME.match(name):
        raise DeployError(f"{where}: not a name for the environment; use letters, digits and _")
    unfit = UNFIT.search(value)
    if unfit:
        raise DeployError(
            f"{where}: contains U+{ord(unfit[0]):04X}, which systemd takes into no environment; "
            "encode the value, for example as base64"
        )
    if len(f"{name}={value}".encode()) > LONGEST:
        raise DeployError(
            f"{where}: longer than the {LONGEST} bytes that a process can be given; put it into "
            "a file of the app"
        )


def render(app: str, env: Mapping[str, str]) -> str:
    """The whole file."""
    for name, value in env.items():
        check(f"apps.{app}.env.{name}", name, value)
    lines = [f"{name}={quote(value)}\n" for name, value in env.items()]
    return HEADER.format(app=app) + "".join(lines)
