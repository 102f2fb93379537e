#!/usr/bin/python
"""Ansible module: which wheels run on a host."""

import os
import platform
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import release
    from fuego_deploy.layout import App, DeployError
else:
    from ansible.module_utils.fuego_deploy import release
    from ansible.module_utils.fuego_deploy.layout import App, DeployError

DOCUMENTATION = r"""
module: app_platform
short_description: Tell which wheels run on a host
description:
  - Says what decides which wheels fit the host. Changes nothing.
options:
  name:
    description: The app's name, for messages.
    type: str
    required: true
  python:
    description: The host's Python that releases are built with.
    type: path
    default: /usr/bin/python3
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Ask the host for its platform
  app_platform:
    name: hello
  register: found
"""

RETURN = r"""
platform:
  description:
    - C(machine) as C(uname -m) gives it, C(python), its major and minor version, and C(libc), the
      version of glibc.
  type: dict
  returned: success
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "python": {"type": "path", "default": "/usr/bin/python3"},
        },
        supports_check_mode=True,
    )
    try:
        python = release.ask_python(App(module.params["name"]), module.params["python"])
    except DeployError as problem:
        module.fail_json(msg=str(problem))
    found = {
        "machine": os.uname().machine,
        "python": ".".join(python.version.split(".")[:2]),
        "libc": platform.libc_ver()[1],
    }
    module.exit_json(changed=False, platform=found)


if __name__ == "__main__":
    main()
