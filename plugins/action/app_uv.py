"""Find or fetch the uv that builds releases on hosts, on the controller.

Takes `machine`, the hosts' architecture as `uname -m` gives it (x86_64 or aarch64), and `lock`, the
controller's requirements.lock, which holds uv's hashes. Where the controller's own uv runs on the
hosts as well, that is the answer; else the same version is fetched through pip and kept in the
user's cache folder, also with --check, since that is the controller's alone. Returns `path`, the
program, and its `version`.
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
    """`app_uv`: a host's architecture → the program for it."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(
            {
                "machine": {"type": "str", "required": True},
                "lock": {"type": "path", "required": True},
            }
        )
        machine, lock = str(given["machine"]), Path(given["lock"])
        try:
            own = tool.find()
            path = tool.for_machine(machine, own, artifact.default_cache(), lock)
            return result | {"path": str(path), "version": tool.version(own)}
        except DeployError as problem:
            return result | {"failed": True, "msg": str(problem)}
