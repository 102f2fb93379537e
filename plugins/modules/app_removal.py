#!/usr/bin/python
"""Ansible module: an app taken off a host."""

import re
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import audit, removal
    from fuego_deploy.layout import App, DeployError
else:
    from ansible.module_utils.fuego_deploy import audit, removal
    from ansible.module_utils.fuego_deploy.layout import App, DeployError

DOCUMENTATION = r"""
module: app_removal
short_description: Take an app off a host
description:
  - Stops the app and removes its units, releases, settings and user. What people put there (the
    folder shared, C(env.local), drop-ins of the units) is moved to
    /var/lib/fuego-deploy/removed, since no deploy could bring it again.
  - A unit, folder or user of that name which is not ours is refused by name.
options:
  name:
    description: The app's name.
    type: str
    required: true
  run:
    description: Who removes it, for the audit log, as C(id) and C(who).
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Take the shop off this host
  app_removal:
    name: shop
"""

RETURN = r"""
removed:
  description: What was, or would be, removed.
  type: list
  elements: str
  returned: success
kept:
  description: The folder that has what people put there, empty where there was nothing.
  type: str
  returned: success
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "run": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", module.params["name"]):
        module.fail_json(msg=f"app: {module.params['name']!r} is no name of an app")
    app = App(module.params["name"])
    try:
        removed, kept = removal.remove(app, module.check_mode)
    except DeployError as problem:
        module.fail_json(msg=str(problem))
    if removed and not module.check_mode:
        audit.write(app, module.params["run"], "remove", kept=kept or None)
    module.exit_json(changed=bool(removed), removed=removed, kept=kept)


if __name__ == "__main__":
    main()
