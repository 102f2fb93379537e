#!/usr/bin/python
"""Turn the maintenance of a site on a load balancer on or off."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import balancer, layout, maintenance, nginx, pool
else:
    from ansible.module_utils.fuego_deploy import balancer, layout, maintenance, nginx, pool

DOCUMENTATION = r"""
module: site_maintenance
short_description: Turn the maintenance of a site on a load balancer on or off
description:
  - Runs on a load balancer. While it is on, clients of the site get 503 with a page, or with JSON
    where they accept that and no HTML; the health path is still answered by the app.
  - It is part of the state that M(pool_render) and M(pool_member) keep, and one step under their
    lock. Requests under way are finished.
options:
  app:
    description: The site.
    type: str
    required: true
  state:
    description: Which of the two.
    type: str
    choices: ["on", "off"]
    required: true
  message:
    description: What the page says. Empty, that clients should try again shortly.
    type: str
    default: ""
  retry_after:
    description: Seconds after which clients are told to try again.
    type: int
    default: 300
  by:
    description: Who does it, in words.
    type: str
    default: ""
  since:
    description: When it was decided, the same on all balancers. Empty, it is now.
    type: str
    default: ""
  state_file:
    description: Where the state of the pools is kept.
    type: path
    default: /var/lib/fuego-deploy/pools.json
extends_documentation_fragment: [nginx]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Keep clients out
  site_maintenance:
    app: hello
    state: "on"
    message: Back at 14:00
    by: alice@desk
"""

RETURN = r"""
reloaded:
  description: Whether the running nginx has taken the configuration anew.
  type: bool
  returned: success
"""


def run(module: AnsibleModule) -> dict[str, Any]:
    """Do what the task asks; the result as Ansible takes it. Raises DeployError."""
    p = module.params
    server = nginx.Nginx.given(p, module.get_bin_path(p["executable"], opt_dirs=nginx.SBIN))
    wanted: maintenance.Maintenance = {
        "state": p["state"],
        "message": maintenance.clean(p["message"]),
        "retry_after": p["retry_after"],
        "by": pool.one_line(p["by"]),
        "when": p["since"] or pool.now(),
    }

    def change(state: pool.State) -> pool.State:
        if p["app"] not in state.pools:
            raise layout.DeployError(f"{p['app']}: this balancer has no such site; run site.yml")
        found = maintenance.turned(state.maintenance.get(p["app"]), wanted)
        known = {p["app"]: found} if found else {}
        return dataclasses.replace(state, maintenance={**state.maintenance, **known})

    result: dict[str, Any] = {"changed": False, "reloaded": False}
    if server.executable is None or not Path(p["state_file"]).exists():
        raise layout.DeployError(f"{p['app']}: this balancer serves nothing yet; run site.yml")
    balancer.commit(module, server, p["state_file"], change, result)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["on", "off"], "required": True},
            "message": {"type": "str", "default": ""},
            "retry_after": {"type": "int", "default": 300},
            "by": {"type": "str", "default": ""},
            "since": {"type": "str", "default": ""},
            "state_file": {"type": "path", "default": pool.STATE_FILE},
            **nginx.OPTIONS,
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (layout.DeployError, OSError) as error:
        module.fail_json(msg=layout.told(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
