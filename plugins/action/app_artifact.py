"""Identify an app's release on the controller, and pack it into one file in a cache.

Takes the app's `name` for messages, `source`, the folder of its source, `packages`, folders of
local packages that are built into wheels, `lock`, the server's requirements with hashes, and
`cache`, where artifacts are kept (fuego-deploy in the user's cache folder). Returns `id`, 12
hexadecimal digits, and `archive`, the file; with --check, where it would be.

The id follows from the paths, executable bits, symlinks and bytes of the source's and the packages'
files, and from the lock. Modification times and owners do not count, nor do the bytes of wheels.
"""

import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[2]
# Ansible loads an action plugin by its path, so that its neighbours are no package to it.
sys.path[:0] = [str(ROOT / "plugins" / "module_utils")]

from fuego_deploy import artifact, tool  # noqa: E402
from fuego_deploy.layout import DeployError  # noqa: E402


class ActionModule(ActionBase):  # type: ignore[misc]
    """`app_artifact`: the source → a release's id and archive."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(
            {
                "name": {"type": "str", "required": True},
                "source": {"type": "path", "required": True},
                "packages": {"type": "list", "elements": "path", "default": []},
                "lock": {"type": "path", "required": True},
                "cache": {"type": "path"},
            }
        )
        source = artifact.Source(
            str(given["name"]),
            Path(given["source"]),
            Path(given["lock"]),
            tuple(Path(folder) for folder in given["packages"]),
        )
        cache = Path(given["cache"]) if given["cache"] else artifact.default_cache()
        try:
            if self._task.check_mode:
                made = artifact.identify(source)
            else:
                made = artifact.make(source, cache, tool.find())
        except DeployError as problem:
            return result | {"failed": True, "msg": str(problem)}
        archive = made.archive or artifact.place(cache, made.id)
        return result | {
            "changed": not archive.exists() if self._task.check_mode else made.made,
            "id": made.id,
            "archive": str(archive),
            "warnings": list(made.warnings),
        }
