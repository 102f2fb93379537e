"""Build on one host of each platform what has no wheel there, and share it with the others.

Takes what the module app_release takes, `registered`, the name of the variable with what that
module returned on each host of the play, and `step`: `build` packs the environment that the first
host of each platform builds, and keeps it in the user's cache folder on the controller, also for
hosts that are added later; `share` lays it out on the others, which need no compiler then. Returns
what app_release returns; skipped where there is nothing to do in that step.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[2]
# Ansible loads an action plugin by its path, so that its neighbours are no package to it.
sys.path[:0] = [str(ROOT / "plugins" / "module_utils")]

from fuego_deploy import artifact  # noqa: E402


class ActionModule(ActionBase):  # type: ignore[misc]
    """`app_build`: app_release, and the way of an environment between hosts."""

    TRANSFERS_FILES = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, known = dict(self._task.args), task_vars or {}
        step, registered = given.pop("step"), given.pop("registered")
        here = known["inventory_hostname"]
        # In the inventory's order; that of a group made at run time is anybody's guess.
        of = {
            host: known["hostvars"][host].get(registered) or {}
            for host in known["groups"]["all"]
            if host in known["ansible_play_hosts"]
        }
        platform = of[here]["platform"]
        folder = artifact.default_cache() / "environments" / platform
        kept = folder / f"{given['name']}-{given['release']}.tar.gz"
        first = first_of(of[here], of)
        if step == "build" and (kept.exists() or here != first):
            return result | {"skipped": True, "skip_reason": f"{first} builds for {platform}"}
        # The login user's own, so that root may write into it and this user fetch it.
        there = self._connection._shell.join_path(self._make_tmp_path(), kept.name)
        if step == "build":
            self._low_level_execute_command(f"touch {shlex.quote(there)}", sudoable=False)
            result |= self._module(given | {"pack_to": there}, known)
            if not result.get("failed"):
                folder.mkdir(parents=True, exist_ok=True)
                part = kept.with_suffix(".part")
                self._connection.fetch_file(there, str(part))
                os.replace(part, kept)
                artifact.prune(folder, kept)
            return result
        if not kept.exists():
            return result | {"failed": True, "msg": f"{first} could not build it for {platform}"}
        os.utime(kept)
        self._transfer_file(str(kept), there)
        return result | self._module(given | {"shared": there}, known)

    def _module(self, given: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(
            module_name="app_release", module_args=given, task_vars=known
        )
        return done


def first_of(wanted: Mapping[str, Any], of: Mapping[str, Mapping[str, Any]]) -> str:
    """The first host that has the same to build. Others may have been asked for another app."""
    keys = ("unbuilt", "name", "release", "platform")
    return next(host for host, said in of.items() if all(said.get(k) == wanted[k] for k in keys))
