"""Filters of the role app: an app server's data, and what its process gets of an app's entry."""

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Ansible loads a filter by its path, so that its neighbours are no package to it.
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("", "module_utils")]

from fleet.catalogue import read_server  # noqa: E402
from fuego_deploy.units import NOT_FOR_A_CHECK  # noqa: E402

PLAIN = re.compile(r"[\w%+,./:=@$-]+\Z", re.ASCII)


def server_data(name: str, folder: str) -> dict[str, Any]:
    """The data of the server in that folder (roles/app/servers), complete."""
    return read_server(Path(folder) / f"{name}.yml")


def server_settings(server: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, str]:
    """Environment name → value, of the keys of the entry that the server knows."""
    found = {}
    for key, setting in server["settings"].items():
        if key in spec:
            found[setting["env"]] = str(spec[key])
            if "jitter" in setting:
                found[setting["jitter"]] = str(spec[key] // 10)
    return found


def server_per_processor(server: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """The environment names whose value the host decides, by its processors."""
    return [
        setting["env"]
        for key, setting in server["settings"].items()
        if setting.get("default") == "processors" and key not in spec
    ]


def systemd_word(word: object) -> str:
    """One word of a command line in a unit, as systemd.service(5) quotes it."""
    text = systemd_value(word).replace("%", "%%").replace("$", "$$")
    if PLAIN.match(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def systemd_value(value: object) -> str:
    """A value of a unit's directive, in systemd's own syntax, and booleans as it has them."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def unit_beside(unit: Mapping[str, Any]) -> dict[str, Any]:
    """Of an entry's `unit`, what holds for its processes and jobs as well: limits and sandbox, and
    not how the service starts, stops and is watched."""
    own = ("Exec", "Restart", "Timeout", "Watchdog")
    return {
        key: value
        for key, value in unit.items()
        if key not in NOT_FOR_A_CHECK and not key.startswith(own)
    }


def units_beside(spec: Mapping[str, Any], host: str) -> list[str]:
    """The units of an app's processes and jobs on a host, as roles/app/templates/_units.j2 has
    them."""
    kinds = {"processes": ("service",), "jobs": ("service", "timer")}
    return [
        f"{spec['name']}_{part}.{kind}"
        for key, suffixes in kinds.items()
        for part, entry in spec[key].items()
        if host in entry["hosts"]
        for kind in suffixes
    ]


def named_texts(text: str) -> dict[str, str]:
    """Name → text, of several that stand in one below lines `==> name`."""
    _, *parts = re.split(r"^==> (\S+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


class FilterModule:
    """The filters, as Ansible loads them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return each filter by its name."""
        return {
            "named_texts": named_texts,
            "unit_beside": unit_beside,
            "units_beside": units_beside,
            "server_data": server_data,
            "server_per_processor": server_per_processor,
            "server_settings": server_settings,
            "systemd_value": systemd_value,
            "systemd_word": systemd_word,
        }
