#!/usr/bin/python
"""Configure a load balancer, after checking the members of its pools that it does not know yet."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import (
        balancer,
        canary,
        layout,
        maintenance,
        nginx,
        pool,
        pool_changes,
        proof,
        units,
    )
else:
    from ansible.module_utils.fuego_deploy import (
        balancer,
        canary,
        layout,
        maintenance,
        nginx,
        pool,
        pool_changes,
        proof,
        units,
    )

DOCUMENTATION = r"""
module: pool_render
short_description: Configure a load balancer's sites and pools, with the members that are healthy
description:
  - Runs on a load balancer, with the pools of the whole inventory. A member that this balancer has
    not admitted yet is asked for its health path, over the same way that requests will take; one
    that answers as expected is admitted from then on, one that does not stays out as C(down).
  - An admission is kept until the member leaves the pool or changes its address, so a later fault
    does not take it back. Leaving out members that fail is nginx's part.
  - A member that an interrupted run left drained is checked in the same way and restored where it
    is healthy, see O(over_drains). A host that somebody took out by hand is
    neither checked nor restored.
  - A pool that is served is never left with nobody; that is refused by name, with nothing changed.
  - State, files and the running nginx change as one step, under the lock of M(pool_member) and in
    the way of M(nginx_config), which says how files are proved, laid and loaded. What nginx refuses
    changes nothing. Whoever is killed on the way leaves a state that is ahead of the files, and the
    next call of any of these modules finishes it.
options:
  state:
    description:
      - C(rendered) checks and configures. C(read) only returns RV(hosts), to merge those of all
        balancers before any of them is configured, and RV(installed).
    type: str
    choices: [rendered, read]
    default: rendered
  sites:
    description:
      - The pools, as the preflight makes them. Each has C(name), C(domains), C(health) (C(path),
        C(status)) and C(members), each with C(name), C(address), C(port) and, where wanted,
        C(weight), C(max_conns), C(backup). C(options) of a site wins over O(options).
      - Required where O(state=rendered).
    type: list
    elements: dict
  expects:
    description:
      - Files of the balancer beside nginx's, path → SHA-1 of the content in hexadecimal digits. For
        O(state=read), which says in RV(expected) whether they are so.
    type: dict
    default: {}
  service:
    description:
      - A service of the balancer beside nginx. For O(state=read), which says in RV(expected)
        whether it runs and starts at boot as well.
    type: str
  files:
    description:
      - The other files of the configuration, path below O(path) → content, in the order in which
        they are replaced. Each has the mark C(Managed by fuego-deploy) in its first lines.
    type: dict
    default: {}
  owned:
    description:
      - Folders below O(path), of which files of ours that are wanted no more are removed, in this
        order.
    type: list
    elements: str
    default: []
  options:
    description: nginx's options of every C(server) line, C(max_fails) and C(fail_timeout).
    type: dict
    default: {}
  listen:
    description: The port on which this balancer serves the sites, and restored members are proved.
    type: int
    default: 80
  hand_drains:
    description:
      - RV(hosts) of each balancer. They are merged with this one's, the newest for each host, so
        that a new balancer knows them before it serves.
    type: list
    elements: dict
    default: []
  maintenance:
    description: RV(maintenance) of each balancer, merged in the same way.
    type: list
    elements: dict
    default: []
  canaries:
    description: RV(canaries) of each balancer, merged in the same way.
    type: list
    elements: dict
    default: []
  over_drains:
    description:
      - Of RV(drained) those of runs that are over, app → host → what was read, since the present
        run has locked the app on that host after it was read. A drain that is still just that ends
        where the host is healthy; one that came later is another run's, and stays.
    type: dict
    default: {}
  forget:
    description: An app that is being taken off its hosts, and so no orphan there.
    type: dict
    suboptions:
      app:
        description: The app's name.
        type: str
        required: true
      host:
        description: The host; left out, all of them.
        type: str
  state_file:
    description: Where the state of the pools is kept.
    type: path
    default: /var/lib/fuego-deploy/pools.json
  timeout:
    description: Seconds that one health check may take.
    type: float
    default: 5
extends_documentation_fragment: [nginx]
attributes:
  check_mode:
    support: full
    details:
      - Checks the members and proves the files as well. Where nginx is not installed yet, it only
        tells what would change.
  diff_mode:
    support: full
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Configure the sites, with the hosts that answer
  pool_render:
    sites: "{{ fleet.sites }}"
    files:
      sites/hello.conf: "{{ lookup('ansible.builtin.template', 'site.conf.j2') }}"
  register: pools
"""

RETURN = r"""
files:
  description: Path below O(path) → content, of each pool.
  type: dict
  returned: O(state=rendered)
refused:
  description: One line for each member that failed its check, naming the app, the member and why.
  type: list
  elements: str
  returned: O(state=rendered)
held_out:
  description:
    - One line for each member that a person or a run took out, naming the app, the member, who,
      when and why; for each host that somebody removed and the inventory still has; and for each
      that left the inventory without.
  type: list
  elements: str
  returned: O(state=rendered)
on_canary:
  description: One line for each canary that is on, with who began it, when, and what ends it.
  type: list
  elements: str
  returned: O(state=rendered)
in_maintenance:
  description: One line for each site that is in maintenance, naming who turned it on and when.
  type: list
  elements: str
  returned: O(state=rendered)
maintenance:
  description: What was decided with M(site_maintenance), by site.
  type: dict
  returned: always
drained:
  description: What runs have drained, app → host → C(run), C(by), C(when) and C(why).
  type: dict
  returned: O(state=read)
protocols:
  description: What is spoken to the hosts of each pool, C(http) or C(uwsgi), by app.
  type: dict
  returned: O(state=read)
canaries:
  description: Which canaries are on, or were, by app.
  type: dict
  returned: always
tested:
  description: Whether nginx itself has proved the files.
  type: bool
  returned: O(state=rendered)
reloaded:
  description: Whether the running nginx has taken the configuration anew.
  type: bool
  returned: O(state=rendered)
running:
  description: Whether nginx is running.
  type: bool
  returned: O(state=rendered)
enabled:
  description: Whether systemd starts nginx at boot.
  type: bool
  returned: O(state=rendered)
hosts:
  description:
    - What was decided by hand, by host; each with C(state) (C(drained), C(restored) or C(removed)),
      C(by), C(when) and C(why).
  type: dict
  returned: always
expected:
  description:
    - Whether every file of O(expects) is there with that content, and O(service) runs and starts at
      boot.
  type: bool
  returned: O(state=read)
installed:
  description: Whether nginx is installed.
  type: bool
  returned: O(state=read)
"""

ENABLED = Path("/etc/systemd/system/multi-user.target.wants/nginx.service")


def check(
    pools: dict[str, pool.Pool], members: list[tuple[str, pool.Member]], timeout: float
) -> pool_changes.Verdicts:
    """Ask each of these members once, all at the same time."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=32) as workers:
        answers = workers.map(
            lambda pair: proof.ask(pools[pair[0]], pair[1], timeout, patient=False), members
        )
        return {
            (app, member["name"], pool.where(member)): answer
            for (app, member), answer in zip(members, answers, strict=True)
        }


def read(module: AnsibleModule) -> dict[str, Any]:
    """What was decided by hand, and whether nginx is installed. Raises DeployError."""
    seen = pool.read(module.params["state_file"])
    unit = f"{module.params['service']}.service" if module.params["service"] else ""
    found = module.get_bin_path(module.params["executable"], opt_dirs=nginx.SBIN)
    return {
        "changed": False,
        "hosts": seen.hosts,
        "maintenance": seen.maintenance,
        "canaries": seen.canaries,
        "drained": seen.drained,
        "protocols": {app: one.get("upstream_protocol", "http") for app, one in seen.pools.items()},
        "installed": found is not None,
        "expected": all(
            Path(path).is_file() and module.sha1(path) == digest
            for path, digest in module.params["expects"].items()
        )
        and (not unit or units.states((unit,))[unit].up),
    }


def configure(module: AnsibleModule) -> dict[str, Any]:
    """Check the members, then change state and files. Raises DeployError."""
    p = module.params
    server = nginx.Nginx.given(p, module.get_bin_path(p["executable"], opt_dirs=nginx.SBIN))
    if server.executable is None and not module.check_mode:
        raise nginx.RefusedError(f"{p['executable']} is not installed on this host")
    pools = pool.wanted(p["sites"], p["options"], p["listen"])
    seen = pool.read(p["state_file"])
    seen.hosts = pool_changes.merge([seen.hosts, *p["hand_drains"]])
    asked = pool_changes.in_doubt(seen, pool_changes.without_removed(pools, seen), p["over_drains"])
    verdicts = check(pools, asked, p["timeout"])

    def change(before: pool.State) -> pool.State:
        now = dataclasses.replace(
            before,
            hosts=pool_changes.merge([before.hosts, *p["hand_drains"]]),
            maintenance=maintenance.merge([before.maintenance, *p["maintenance"]]),
            canaries=canary.merge([before.canaries, *p["canaries"]]),
        )
        after = pool_changes.renew(now, pools, verdicts, p["over_drains"], pool.now())
        if p["forget"]:
            after = pool_changes.without_left(after, p["forget"]["app"], p["forget"]["host"])
        pool_changes.check_somebody_serves(before, after)
        return after

    result: dict[str, Any] = {
        "changed": False, "reloaded": False, "tested": server.executable is not None,
    }  # fmt: skip
    _, after = balancer.commit(
        module, server, p["state_file"], change, result, p["files"], p["owned"]
    )
    return result | {
        "running": server.master is not None,
        "enabled": ENABLED.is_symlink(),
        "files": pool.render(after),
        "refused": [
            f"{app}: {name} at {where}: {why}"
            for (app, name, where), why in verdicts.items()
            if why
        ],
        "held_out": [*after.held_out(), *after.removals(), *after.orphans()],
        "hosts": after.hosts,
        "in_maintenance": maintenance.lines(after.maintenance),
        "maintenance": after.maintenance,
        "canaries": after.canaries,
        "on_canary": [canary.told(a, one) for a, one in canary.on(after.canaries).items()],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["rendered", "read"], "default": "rendered"},
            "sites": {"type": "list", "elements": "dict"},
            "expects": {"type": "dict", "default": {}},
            "service": {"type": "str"},
            "files": {"type": "dict", "default": {}},
            "owned": {"type": "list", "elements": "str", "default": []},
            "options": {"type": "dict", "default": {}},
            "listen": {"type": "int", "default": 80},
            "hand_drains": {"type": "list", "elements": "dict", "default": []},
            "maintenance": {"type": "list", "elements": "dict", "default": []},
            "canaries": {"type": "list", "elements": "dict", "default": []},
            "over_drains": {"type": "dict", "default": {}},
            "forget": {
                "type": "dict",
                "options": {"app": {"type": "str", "required": True}, "host": {"type": "str"}},
            },
            "state_file": {"type": "path", "default": pool.STATE_FILE},
            "timeout": {"type": "float", "default": 5.0},
            **nginx.OPTIONS,
        },
        required_if=[("state", "rendered", ["sites"])],
        supports_check_mode=True,
    )
    step = {"rendered": configure, "read": read}[module.params["state"]]
    try:
        result = step(module)
    except (layout.DeployError, OSError) as error:
        module.fail_json(msg=layout.told(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
