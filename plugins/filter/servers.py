"""Filters of the role app: an app server's data, and what its process gets of an app's entry."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Ansible loads a filter by its path, so that its neighbours are no package to it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fleet.catalogue import read_server


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


class FilterModule:
    """The filters, as Ansible loads them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return each filter by its name."""
        return {
            "server_data": server_data,
            "server_per_processor": server_per_processor,
            "server_settings": server_settings,
        }
