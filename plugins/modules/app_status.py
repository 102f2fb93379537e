#!/usr/bin/python
"""Tell how the apps of a host are."""

from __future__ import annotations

import concurrent.futures
import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import activation, audit, change, health, layout, lock, tail, units
else:
    from ansible.module_utils.fuego_deploy import (
        activation,
        audit,
        change,
        health,
        layout,
        lock,
        tail,
        units,
    )

DOCUMENTATION = r"""
module: app_status
short_description: Tell how the apps of a host are
description:
  - Returns for each app the release in force, what systemd says of its units, and what its health
    path answers now, asked on the host by the gate that the release passed.
  - Changes nothing. A service that is not running is not asked, since its socket would start it.
options:
  apps:
    description: The names of the apps.
    type: list
    elements: str
    required: true
  timeout:
    description: Seconds that one answer may take.
    type: float
    default: 5
  root:
    description: Where the host's file system begins.
    type: path
    default: /
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Ask the host for its apps
  app_status:
    apps: [hello]
  register: host_status
"""

RETURN = r"""
apps:
  description:
    - App → C(release) in force, empty where none is; C(hold), the rollback that stays until the
      next deploy, or nothing; C(uncommitted), whether a change is under way that the fleet has not
      taken; C(units), each with C(active), C(enabled), C(result), C(restarts) and C(since), in
      seconds since the epoch; C(answer) of the health path, with C(path), C(status), C(problem) and
      C(healthy), or nothing where it was not asked; C(problem), why not all could be read; and
      C(lock), who changes it, or nothing.
  type: dict
  returned: always
changes:
  description: Lines of the audit log that are about these apps, the newest first.
  type: list
  elements: dict
  returned: always
"""

CHANGES = 100
"""Lines of the audit log: three for each change of an app, at the very most."""
AUDIT_BYTES = 4 * 1024 * 1024


def look(app: layout.App, timeout: float) -> dict[str, Any]:
    """How one app is."""
    now = activation.current(app)
    found = {
        "release": now.id if now else "",
        "hold": layout.serving(app).get("hold"),
        "uncommitted": activation.is_uncommitted(app),
        "lock": lock.holder(app),
        "units": {},
        "answer": None,
        "problem": "",
    }
    names = app.installed_units()
    try:
        states = units.states(tuple(names)) if names else {}
    except (layout.DeployError, OSError) as problem:
        return found | {"problem": str(problem)}
    found["units"] = {
        name: {"active": state.active, "enabled": state.enabled, "result": state.result,
               "restarts": state.restarts, "since": state.since}
        for name, state in states.items()
    }  # fmt: skip
    service = states.get(app.unit_names[0])
    if now and service and service.active == "active":
        found |= ask(app, now.number, timeout)
    return found


def ask(app: layout.App, number: int, timeout: float) -> dict[str, Any]:
    """What the health path answers now, and whether that is healthy."""
    kept = layout.read_json(app.activations / str(number) / change.GATE)
    if kept is None:
        return {"problem": f"activation {number} has never passed its health check"}
    try:
        gate = health.Gate(**kept)
    except TypeError:
        return {"problem": f"the health check of activation {number} cannot be read"}
    answer = health.ask(gate, timeout)
    return {
        "answer": {
            "path": gate.path,
            "status": answer.status,
            # What an app says may hold anything; its status is what is shown.
            "problem": answer.text if answer.status is None else "",
            "healthy": gate.passes(answer),
        }
    }


def changes(log: Path, apps: list[str]) -> list[dict[str, Any]]:
    """What the audit log says of these apps, the newest first."""

    def entries() -> Any:
        for line in tail.lines(log, AUDIT_BYTES):
            try:
                entry = json.loads(line.decode("utf-8", "replace"))
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict) and entry.get("app") in apps:
                yield entry

    try:
        return list(islice(entries(), CHANGES))
    except OSError:
        return []  # nothing was changed here yet


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "apps": {"type": "list", "elements": "str", "required": True},
            "timeout": {"type": "float", "default": 5.0},
            "root": {"type": "path", "default": "/"},
        },
        supports_check_mode=True,
    )
    p, root = module.params, Path(module.params["root"])
    names: list[str] = p["apps"]
    with concurrent.futures.ThreadPoolExecutor(max_workers=32) as workers:
        found = workers.map(lambda name: look(layout.App(name, root), p["timeout"]), names)
        apps = dict(zip(names, found, strict=True))
    module.exit_json(changed=False, apps=apps, changes=changes(root / audit.LOG, names))


if __name__ == "__main__":
    main()
