#!/usr/bin/python
"""Replace files of nginx's configuration as one step: proved before, loaded after, or undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import layout, nginx
else:
    from ansible.module_utils.fuego_deploy import layout, nginx

DOCUMENTATION = r"""
module: nginx_config
short_description: Lay a configuration of nginx that is proved before it lands, and load it
description:
  - Compares the files with those on the host. Where they differ, a copy of the whole folder with
    the new files is put to C(nginx -t). What it refuses never reaches the folder, so a later
    restart of nginx is as safe as a reload. Where nothing differs, the folder as it stands is put
    to the same test, and with it what operators have added.
  - Files are then replaced by atomic renames, and a running nginx is told to reload. A reload can
    fail in silence, when a port is taken for example, and the old configuration keeps running. So
    the module waits until new worker processes have taken over; where they do not come, the former
    files are put back and the task fails with nginx's own lines.
  - A run that was killed between the two is finished by the next.
  - Lines that listen on an IPv6 address are left out on a host without IPv6.
options:
  files:
    description:
      - Path below O(path) → content, in the order in which they are replaced. Each content has the
        mark in its first lines.
    type: dict
    required: true
  owned:
    description:
      - Folders below O(path), of which files that carry the mark and are not in O(files) are
        removed, in this order. Other files there belong to somebody else.
    type: list
    elements: str
    default: []
  mark:
    description:
      - What the first lines of a file of ours say. A file without it is not replaced but refused
        by name. The one exception is a file of the distribution's package that nobody has edited;
        a copy of it is kept beside it, as C(.distribution).
    type: str
    default: Managed by fuego-deploy
extends_documentation_fragment: [nginx]
attributes:
  check_mode:
    support: full
    details:
      - Proves the new files too. Where nginx is not installed yet, it only tells what would change.
  diff_mode:
    support: full
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Lay the pools
  nginx_config:
    files:
      upstreams/hello.conf: "{{ lookup('ansible.builtin.template', 'upstream.conf.j2') }}"
    owned: [upstreams]
"""

RETURN = r"""
files:
  description: Paths below O(path) that were written or removed.
  type: list
  elements: str
  returned: always
tested:
  description: Whether nginx itself has proved the files.
  type: bool
  returned: always
reloaded:
  description: Whether the running nginx has taken the configuration anew.
  type: bool
  returned: always
"""


def run(module: AnsibleModule) -> dict[str, object]:
    """Do what the task asks; the result as Ansible takes it. Raises DeployError."""
    p = module.params
    server = nginx.Nginx.given(p, module.get_bin_path(p["executable"], opt_dirs=nginx.SBIN))
    if server.executable is None and not module.check_mode:
        raise nginx.RefusedError(f"{p['executable']} is not installed on this host")
    with server.lock():
        files = nginx.wanted(p["files"], p["mark"], nginx.has_ipv6())
        change = server.compare(files, p["owned"], p["mark"])
        due = bool(change) or server.unfinished
        result: dict[str, object] = {
            "changed": due,
            "files": list(change.after),
            "tested": server.executable is not None,
            "reloaded": due and server.master is not None,
        }
        if module._diff:
            result["diff"] = nginx.differences(server.folder, change)
        if server.executable is None:
            return result
        for warning in server.prove(change):
            module.warn(warning)
        if due and not module.check_mode:
            server.install(change)
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "owned": {"type": "list", "elements": "str", "default": []},
            "mark": {"type": "str", "default": "Managed by fuego-deploy"},
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
