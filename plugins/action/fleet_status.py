"""Show how the fleet is: a table in the terminal, and a page where one is asked for.

Takes the `fleet` of the preflight, and reads of every host of the play what its modules returned,
`run_app_status` and `run_pool_status`. With `report`, writes the page to that file, with --check as
well: it is the answer, and no change of the fleet.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[2]
# Ansible loads an action plugin by its path, so that its neighbours are no package to it.
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "plugins" / "module_utils")]

from fleet.status import status  # noqa: E402
from fleet.status_page import page  # noqa: E402
from fleet.status_text import text  # noqa: E402
from fleet.words import stamp  # noqa: E402
from fuego_deploy.layout import write_file  # noqa: E402


class ActionModule(ActionBase):  # type: ignore[misc]
    """`fleet_status`: what the hosts said → a table, and a page."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "fleet": {"type": "dict", "required": True},
                "seconds": {"type": "float", "required": True},
                "report": {"type": "str", "default": ""},
            }
        )
        hostvars = (task_vars or {})["hostvars"]
        fleet = untagged(arguments["fleet"])
        told = status(
            fleet,
            said(fleet["by_host"], hostvars, "run_app_status"),
            said([one["name"] for one in fleet["load_balancers"]], hostvars, "run_pool_status"),
            stamp(time.time()),
            arguments["seconds"],
        )
        shown = text(told)
        # As it is, not as YAML below the task's name.
        self._display.display(f"\n{shown}")
        result |= {"changed": False, "text": shown}
        if arguments["report"]:
            path = Path(os.path.abspath(os.path.expanduser(arguments["report"])))
            try:
                write_file(path, page(told))
            except OSError as problem:
                why = f"report: cannot write {path}: {problem.strerror}"
                return result | {"failed": True, "msg": why}
            self._display.display(f"The page is at {path}\n")
            result["report"] = str(path)
        return result


def said(names: Any, hostvars: Mapping[str, Any], variable: str) -> dict[str, dict[str, Any]]:
    """Host → the result that was registered of it, where it was asked."""
    found = {name: hostvars[name].get(variable) for name in names}
    return {
        name: untagged(result)
        for name, result in found.items()
        if isinstance(result, Mapping) and not result.get("skipped")
    }


def untagged(value: Any) -> Any:
    """The plain types that a value of Ansible's stands for."""
    return json.loads(json.dumps(value, default=str))
