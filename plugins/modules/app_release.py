#!/usr/bin/python
"""Ansible module: releases of an app on a host."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import release
    from fuego_deploy.layout import (
        TOOLS,
        App,
        DeployError,
        claim,
        has_account,
        locked,
        missing_claims,
        refuse_foreign,
    )
else:
    from ansible.module_utils.fuego_deploy import release
    from ansible.module_utils.fuego_deploy.layout import (
        TOOLS,
        App,
        DeployError,
        claim,
        has_account,
        locked,
        missing_claims,
        refuse_foreign,
    )

DOCUMENTATION = r"""
module: app_release
short_description: Claim an app's place on a host, and build its releases there
description:
  - C(state=claimed) makes the app's folders and marks them, and says whether the release is there.
    A user, folder or unit of the app's name without our mark is refused before anything is made.
  - C(state=present) builds the release from its artifact, in a folder of its own. It is complete
    once its marker is written; without it, or built with another Python, it is built anew. A
    folder that an activation uses is never built over.
  - The action app_build carries an environment that one host built to others of its platform.
options:
  name:
    description: The app's name.
    type: str
    required: true
  release:
    description: The release's id.
    type: str
    required: true
  state:
    description: What to bring about.
    type: str
    choices: [claimed, present]
    default: present
  units:
    description: The names of the units of its processes and jobs.
    type: list
    elements: str
    default: []
  python:
    description: The host's Python that the release is built with.
    type: path
    default: /usr/bin/python3
  archive:
    description: The artifact on the host. Needed for C(state=present).
    type: path
  uv:
    description: uv on the host. Needed for C(state=present).
    type: path
  index_url:
    description: The package index. Empty, it is uv's own default.
    type: str
    default: ""
  ca_file:
    description: A file of CA certificates on the host. Empty, it is uv's own choice.
    type: str
    default: ""
  from_source:
    description:
      - Whether what has no wheel for the host's platform may be built. Where it may not and has to
        be, C(unbuilt) is true and nothing is made.
    type: bool
    default: true
  pack_to:
    description: An existing file, into which the environment that was built is packed.
    type: path
  shared:
    description: An environment that another host of the same platform packed, to be taken as it is.
    type: path
  keep:
    description: How many releases stay, beside the current and the previous one.
    type: int
    default: 5
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Build the release
  app_release:
    name: hello
    release: 3f9c1a2b7d40
    archive: /srv/hello/artifacts/3f9c1a2b7d40.tar.gz
    uv: /usr/local/lib/fuego-deploy/uv-0.13.8
"""

RETURN = r"""
folder:
  description: The name of the release's folder in releases/, empty where it is not built.
  type: str
  returned: success
missing:
  description: Whether the release still has to be built.
  type: bool
  returned: success
account:
  description: Whether the app's own user exists.
  type: bool
  returned: success
tools:
  description: What is in /usr/local/lib/fuego-deploy, which builds releases.
  type: list
  elements: str
  returned: success
name:
  description: The app's name, as given.
  type: str
  returned: success
release:
  description: The release's id, as given.
  type: str
  returned: success
unbuilt:
  description: Whether something has to be built from source first, which C(from_source) forbids.
  type: bool
  returned: success
platform:
  description: What decides whether an environment that another host built runs here as well.
  type: str
  returned: success
machine:
  description: The host's architecture.
  type: str
  returned: success
removed:
  description: Old releases and activations that were cleared away.
  type: list
  returned: success
"""


def run(module: AnsibleModule) -> dict[str, Any]:
    given = module.params
    app = App(given["name"])
    refuse_foreign(app, given["units"])
    python = release.ask_python(app, given["python"])
    made = missing_claims(app) if module.check_mode else claim(app)
    folder = release.find(app, given["release"], python)
    removed: list[str] = []
    unbuilt = False
    if given["state"] == "present" and folder is None:
        place = str(release.place(app, given["release"]))
        if not module.check_mode:
            with locked(app):
                try:
                    folder = build(given, app, python)
                except release.NoWheelError:
                    unbuilt = True
                else:
                    removed = release.prune(app, given["keep"])
        if not unbuilt:
            made.append(place)
    if given["pack_to"] and folder is not None:
        release.pack_environment(folder, Path(given["pack_to"]))
    return {
        "changed": bool(made),
        "made": made,
        "folder": folder.name if folder else "",
        "missing": folder is None,
        "name": app.name,
        "release": given["release"],
        "unbuilt": unbuilt,
        "platform": release.platform_of(python),
        "account": has_account(app),
        "machine": os.uname().machine,
        "tools": [path.name for path in TOOLS.glob("*")],
        "removed": removed,
    }


def build(given: dict[str, Any], app: App, python: "release.Python") -> Path:
    """Build the release, unless an interrupted run finished it while we waited for the lock."""
    found = release.find(app, given["release"], python)
    settings = release.Settings(
        given["uv"], given["index_url"], given["ca_file"], given["from_source"]
    )
    archive = Path(given["archive"])
    shared = Path(given["shared"]) if given["shared"] else None
    return found or release.build(app, given["release"], archive, python, settings, shared)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "release": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["claimed", "present"], "default": "present"},
            "units": {"type": "list", "elements": "str", "default": []},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "archive": {"type": "path"},
            "uv": {"type": "path"},
            "index_url": {"type": "str", "default": ""},
            "ca_file": {"type": "str", "default": ""},
            "from_source": {"type": "bool", "default": True},
            "pack_to": {"type": "path"},
            "shared": {"type": "path"},
            "keep": {"type": "int", "default": 5},
        },
        required_if=[("state", "present", ["archive", "uv"])],
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except DeployError as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
