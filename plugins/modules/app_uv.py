#!/usr/bin/python
"""Ansible module: the uv that builds releases on hosts of a given architecture."""

from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import artifact, tool
    from fuego_deploy.layout import DeployError
else:
    from ansible.module_utils.fuego_deploy import artifact, tool
    from ansible.module_utils.fuego_deploy.layout import DeployError

DOCUMENTATION = r"""
module: app_uv
short_description: Find or fetch the uv that builds releases on hosts
description:
  - Runs on the controller. Where its own uv runs on the hosts as well, that is the answer. Else the
    same version is fetched through pip, with the hash of the lock, and kept in the cache.
options:
  machine:
    description: The hosts' architecture as C(uname -m) gives it, x86_64 or aarch64.
    type: str
    required: true
  lock:
    description: The controller's requirements.lock, which holds uv's hashes.
    type: path
    required: true
  cache:
    description: Where a fetched uv is kept. The default is fuego-deploy in the user's cache folder.
    type: path
attributes:
  check_mode:
    support: full
    description: Fetches even so, since the file is of the controller's cache alone.
  diff_mode:
    support: none
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Get uv for the host
  app_uv:
    machine: aarch64
    lock: requirements.lock
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The program on the controller.
  type: str
  returned: success
version:
  description: Its version.
  type: str
  returned: success
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "machine": {"type": "str", "required": True},
            "lock": {"type": "path", "required": True},
            "cache": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given = module.params
    cache = Path(given["cache"]) if given["cache"] else artifact.default_cache()
    try:
        own = tool.find()
        path = tool.for_machine(given["machine"], own, cache, Path(given["lock"]))
        version = tool.version(own)
    except DeployError as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(changed=False, path=str(path), version=version)


if __name__ == "__main__":
    main()
