#!/usr/bin/python
"""Ansible module: identify an app's release on the controller and pack it."""

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
module: app_artifact
short_description: Identify an app's release and pack it into one file
description:
  - Runs on the controller. Computes the release's id from the content of the source (paths,
    executable bits, symlinks and bytes of its files), of its local packages, and of the server's
    lock. Modification times and owners do not count, nor do the bytes of built wheels.
  - Packs source, wheels of the local packages, and lock into one archive in a cache.
options:
  name:
    description: The app's name, for messages.
    type: str
    required: true
  source:
    description: The folder of the app's source.
    type: path
    required: true
  packages:
    description: Folders of local packages that are built into wheels.
    type: list
    elements: path
    default: []
  lock:
    description: The server's requirements, with hashes.
    type: path
    required: true
  cache:
    description: Where artifacts are kept. The default is fuego-deploy in the user's cache folder.
    type: path
attributes:
  check_mode:
    support: full
    description: Computes the id and makes nothing.
  diff_mode:
    support: none
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Pack the release on the controller
  app_artifact:
    name: hello
    source: apps/hello
    packages: [fuego]
    lock: roles/app/servers/gunicorn.txt
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
id:
  description: The release's id, 12 hexadecimal digits.
  type: str
  returned: success
archive:
  description: The archive; in check mode, where the cache would hold it.
  type: str
  returned: success
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "source": {"type": "path", "required": True},
            "packages": {"type": "list", "elements": "path", "default": []},
            "lock": {"type": "path", "required": True},
            "cache": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given = module.params
    source = artifact.Source(
        given["name"],
        Path(given["source"]),
        Path(given["lock"]),
        tuple(Path(folder) for folder in given["packages"]),
    )
    cache = Path(given["cache"]) if given["cache"] else artifact.default_cache()
    try:
        if module.check_mode:
            made = artifact.identify(source)
        else:
            made = artifact.make(source, cache, tool.find())
    except DeployError as problem:
        module.fail_json(msg=str(problem))
    for warning in made.warnings:
        module.warn(warning)
    archive = made.archive or artifact.place(cache, made.id)
    changed = not archive.exists() if module.check_mode else made.made
    module.exit_json(changed=changed, id=made.id, archive=str(archive))


if __name__ == "__main__":
    main()
