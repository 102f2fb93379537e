"""Filters of the role app."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ansible.errors import AnsibleFilterError

# Ansible loads a filter by its path, so that its neighbours are no package to it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))

from fuego_deploy import credentials


def pack_secrets(secrets: Mapping[str, object]) -> str:
    """The secrets, each text or bytes, as the module app_activation takes them. An error names the
    secret and never shows it."""
    found = {}
    for name, value in secrets.items():
        if isinstance(value, str):
            try:
                found[str(name)] = value.encode()
            except UnicodeEncodeError:
                raise AnsibleFilterError(f"secret {name}: has no form in UTF-8") from None
        elif isinstance(value, bytes):
            found[str(name)] = bytes(value)
        else:
            raise AnsibleFilterError(f"secret {name}: is neither text nor bytes; put it in quotes")
    return credentials.pack(found)


class FilterModule:
    """The filters, as Ansible loads them."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Return each filter by its name."""
        return {"pack_secrets": pack_secrets}
