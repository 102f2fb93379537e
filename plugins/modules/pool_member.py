#!/usr/bin/python
"""Drain a host on a load balancer, restore it, or remove it from its pools."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import balancer, connections, layout, nginx, pool, pool_changes, proof
else:
    from ansible.module_utils.fuego_deploy import (
        balancer,
        connections,
        layout,
        nginx,
        pool,
        pool_changes,
        proof,
    )

DOCUMENTATION = r"""
module: pool_member
short_description: Drain a host on a load balancer, restore it, or remove it from its pools
description:
  - Runs on a load balancer, most often delegated to from an app host's play. All that it has to
    know of the pools is in their state there, so it takes no variable of the balancer.
  - C(drained) marks the host as C(down) in its pools, reloads nginx, waits until its new workers
    have taken over, and then until this balancer has no connection to the host's ports open.
  - C(restored) asks the host for its health path, puts it back into its pools, reloads, and sends
    requests for that path through the balancer itself until its access log shows that the host
    answered one. Where none is answered within O(timeout), the host goes back to how it was, and
    the task fails.
  - C(removed) takes the host out of its pools for good, and waits like C(drained). By hand it
    stays out for as long as an inventory has it.
  - A run of the state, the files and the reload is one step under nginx's lock, shared with
    M(nginx_config) and M(pool_render); waiting and asking are not part of it. Whoever is killed on
    the way is finished by the next call of any of them, for whatever host.
  - A pool that does not have the host yet, a balancer without pools and one without nginx are no
    error; there is nothing to drain.
options:
  member:
    description: The host, as the inventory calls it.
    type: str
    required: true
  state:
    description: What to bring about.
    type: str
    choices: [drained, restored, removed]
    required: true
  apps:
    description:
      - The pools, by app; left out, every pool that the host is in. A drain or restore by hand is
        for the whole host and takes none.
    type: list
    elements: str
  by:
    description: Who does it, in words.
    type: str
    default: ""
  why:
    description: The reason, in words.
    type: str
    default: ""
  run:
    description: The id of the run that does it. A run may drain what another has drained already.
    type: str
    default: ""
  hand:
    description:
      - Whether a person does it. A drain by hand is kept until it is restored by hand. That also
        ends what a run has drained; the reverse does not, see RV(held_out). A host that is in no
        pool is refused by name then.
    type: bool
    default: false
  last:
    description:
      - What to do with the last host of a pool that serves. C(refuse) changes nothing and fails;
        C(keep) leaves it in and says so in RV(kept). By hand it is all of its pools or none.
    type: str
    choices: [refuse, keep]
    default: refuse
  address:
    description: Where the host is reached from now on, for C(restored).
    type: str
  port:
    description: The port on which it is reached from now on, for C(restored) of one app.
    type: int
  canary:
    description:
      - For C(restored) of one app, the canary that is on from then on, or over, as
        C(fuego_deploy.canary) has it; its weights come with the host.
    type: dict
    default: {}
  timeout:
    description:
      - Seconds to wait until the connections have ended, counted from when this run first drained
        the host; or until the host is healthy and then again until it has answered through the
        balancer.
    type: float
    default: 30
  prove:
    description: Whether to prove a restored host through the balancer.
    type: bool
    default: true
  state_file:
    description: Where the state of the pools is kept.
    type: path
    default: /var/lib/fuego-deploy/pools.json
  access_log:
    description: Where nginx logs requests as lines of JSON.
    type: path
    default: /var/log/nginx/access.log
extends_documentation_fragment: [nginx]
attributes:
  check_mode:
    support: full
    details:
      - A host to restore is asked for its health, for a second at most; connections are not waited
        for and nothing is proved.
  diff_mode:
    support: full
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Drain this host on each load balancer
  pool_member:
    member: "{{ inventory_hostname }}"
    state: drained
    by: "{{ fleet.run.who }}"
    why: A release of hello
    run: "{{ fleet.run.id }}"
    last: keep
  delegate_to: "{{ balancer }}"
  loop: "{{ balancers }}"
  loop_control: {loop_var: balancer}
"""

RETURN = r"""
apps:
  description: The pools that were meant and have the host.
  type: list
  elements: str
  returned: always
unknown:
  description: The pools of O(apps) that do not have it.
  type: list
  elements: str
  returned: always
kept:
  description: The pools in which it was left since it is the last that serves.
  type: list
  elements: str
  returned: always
held_out:
  description:
    - One line for each of the pools in which it stays out all the same, naming the app, the host,
      who took it out, when and why.
  type: list
  elements: str
  returned: always
reloaded:
  description: Whether the running nginx has taken the configuration anew.
  type: bool
  returned: always
seconds:
  description: How long it took until the last connection ended, or until the host was proved.
  type: float
  returned: always
open:
  description: How many connections were still open at the deadline, by app.
  type: dict
  returned: always
proved:
  description: The pools in which the host has answered a request through the balancer.
  type: list
  elements: str
  returned: always
"""


CHECK_MODE_SECONDS = 1.0


class Task:
    """What one call of the module does, and what it tells of it."""

    def __init__(self, module: AnsibleModule) -> None:
        p = self.params = module.params
        self.module = module
        self.member: str = p["member"]
        self.hand: bool = p["hand"]
        self.record: pool.Drain = {
            "run": p["run"],
            "by": pool.one_line(p["by"]),
            "when": pool.now(),
            "why": pool.one_line(p["why"]),
        }
        program = module.get_bin_path(p["executable"], opt_dirs=nginx.SBIN)
        self.server = nginx.Nginx.given(p, program)
        self.result: dict[str, Any] = {
            "changed": False, "apps": [], "unknown": [], "kept": [], "held_out": [],
            "reloaded": False, "seconds": 0.0, "open": {}, "proved": [],
        }  # fmt: skip

    def run(self) -> dict[str, Any]:
        """Do what the task asks; the result as Ansible takes it. Raises DeployError."""
        if self.hand and self.params["apps"] is not None:
            raise layout.DeployError(
                "apps: by hand a host is drained in every pool; leave apps out"
            )
        if self.server.executable is None or not Path(self.params["state_file"]).exists():
            self.result["unknown"] = self.params["apps"] or []
            return self.result
        start = time.monotonic()
        {"drained": self.drain, "restored": self.restore, "removed": self.remove}[
            self.params["state"]
        ]()
        self.result["seconds"] = round(time.monotonic() - start, 3)
        return self.result

    def split(self, state: pool.State) -> list[str]:
        """The pools that are meant and have the host; noted, and the others as unknown."""
        if self.hand and not (self.params["state"] == "removed" and state.knows(self.member)):
            pool_changes.refuse_unknown(state, self.member)
        apps, unknown = pool_changes.split(state, self.member, self.params["apps"])
        self.result |= {"apps": apps, "unknown": unknown}
        return apps

    def spare(self, state: pool.State) -> list[str]:
        """The pools that can do without the host. Raises DeployError where that is refused."""
        apps = self.split(state)
        if self.params["last"] == "refuse":
            pool_changes.refuse_last(state, self.member, apps)
        kept = self.result["kept"] = pool_changes.last_of(state, self.member, apps)
        if kept and self.hand:
            return []
        return [app for app in apps if app not in kept]

    def drain(self) -> None:
        def change(state: pool.State) -> pool.State:
            return pool_changes.drained(
                state, self.member, self.spare(state), self.record, self.hand
            )

        before, _ = self.commit(change)
        self.wait(before, self.spent(before))

    def spent(self, before: pool.State) -> float:
        """Seconds since this run began to drain the host here; 0 where it has only now."""
        drains = [before.drain(app, self.member) for app in self.result["apps"]]
        began = [d["when"] for d in drains if d and d["run"] == self.record["run"] != ""]
        return max(0.0, time.time() - pool.seconds(min(began))) if began else 0.0

    def remove(self) -> None:
        def change(state: pool.State) -> pool.State:
            apps = self.spare(state)
            return pool_changes.removed(state, self.member, apps, self.record, self.hand)

        before, _ = self.commit(change)
        self.wait(before)

    def restore(self) -> None:
        def change(state: pool.State) -> pool.State:
            there = self.moved(state)
            if self.params["canary"]:
                there.canaries |= dict.fromkeys(self.split(state), self.params["canary"])
            return pool_changes.restored(
                there, self.member, self.split(state), self.record, self.hand
            )

        seen = pool.read(self.params["state_file"])
        if self.hand or not seen.by_hand(self.member):
            self.refuse_unhealthy(self.moved(seen), self.split(seen))
        before, after = self.commit(change)
        apps = self.result["apps"]
        self.result["held_out"] = after.held_out(apps, self.member)
        if self.params["prove"] and not self.module.check_mode:
            self.prove(before, after, apps)

    def moved(self, state: pool.State) -> pool.State:
        """The state with the host where the task says that it is."""
        p, apps = self.params, self.split(state)
        if p["address"] is not None:
            pool.check_address("address", p["address"])
        if p["port"] is not None and len(apps) > 1:
            raise layout.DeployError(f"port: it is one app's; name it in apps ({', '.join(apps)})")
        return pool_changes.moved(state, self.member, apps, p["address"], p["port"])

    def commit(self, change: balancer.Change) -> tuple[pool.State, pool.State]:
        """Change state, files and the running nginx as one step; the state before and after."""
        path = self.params["state_file"]
        return balancer.commit(self.module, self.server, path, change, self.result)

    def wait(self, state: pool.State, spent: float = 0.0) -> None:
        """Wait for the connections to the host to end, where the state had it."""
        if self.module.check_mode:
            return
        members = {app: state.member(app, self.member) for app in self.result["apps"]}
        targets = {
            app: connections.ends(member["address"], member["port"])
            for app, member in members.items()
            if member and app not in self.result["kept"]
        }
        if targets:
            _, self.result["open"] = connections.wait(
                targets,
                max(0.0, self.params["timeout"] - spent),
                lambda: self.server.is_quiet,
            )

    def refuse_unhealthy(self, state: pool.State, apps: list[str]) -> None:
        """Raise DeployError for what the host itself does not answer as expected."""
        seconds = CHECK_MODE_SECONDS if self.module.check_mode else self.params["timeout"]
        found = self.each(
            state, apps, lambda known, member: proof.ask(known, member, seconds, patient=True)
        )
        if found:
            raise layout.DeployError(
                "\n".join(f"{whose}: {why}; it stays as it was" for whose, why in found.items())
            )

    def prove(self, before: pool.State, after: pool.State, apps: list[str]) -> None:
        """See that the host answers through this balancer, or put it back as it was and raise."""
        if self.server.master is None:
            self.module.warn("nginx is not running here; nothing was proved through it")
            return
        member_of = {app: after.member(app, self.member) for app in apps}
        # A backup is not asked while the others serve.
        served = [
            app
            for app, member in member_of.items()
            if member and not member.get("backup") and after.why_out(app, member) is None
        ]
        log, seconds = Path(self.params["access_log"]), self.params["timeout"]
        failed = self.each(
            after,
            served,
            lambda known, member: proof.through_balancer(known, member, log, seconds),
        )
        if not failed:
            self.result["proved"] = served
            return
        _, now = self.commit(
            lambda state: pool_changes.put_back(state, before, after, self.member, apps)
        )
        fate = "\n".join(now.held_out(apps, self.member)) or "it is as it was before"
        raise layout.DeployError(
            "\n".join([*(f"{whose} {why}" for whose, why in failed.items()), f"Put back: {fate}"])
        )

    def each(
        self,
        state: pool.State,
        apps: list[str],
        ask: Callable[[pool.Pool, pool.Member], str | None],
    ) -> dict[str, str]:
        """Ask all pools at once: which member → what is wrong with it, those that are well left
        out."""
        found = {app: member for app in apps if (member := state.member(app, self.member))}
        with concurrent.futures.ThreadPoolExecutor(max_workers=32) as workers:
            answers = workers.map(lambda app: ask(state.pools[app], found[app]), found)
            return {
                f"{app}: {self.member} at {pool.where(found[app])}": why
                for app, why in zip(found, answers, strict=True)
                if why
            }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "member": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["drained", "restored", "removed"],
                "required": True,
            },
            "apps": {"type": "list", "elements": "str"},
            "by": {"type": "str", "default": ""},
            "why": {"type": "str", "default": ""},
            "run": {"type": "str", "default": ""},
            "hand": {"type": "bool", "default": False},
            "last": {"type": "str", "choices": ["refuse", "keep"], "default": "refuse"},
            "address": {"type": "str"},
            "port": {"type": "int"},
            "canary": {"type": "dict", "default": {}},
            "timeout": {"type": "float", "default": 30.0},
            "prove": {"type": "bool", "default": True},
            "state_file": {"type": "path", "default": pool.STATE_FILE},
            "access_log": {"type": "path", "default": "/var/log/nginx/access.log"},
            **nginx.OPTIONS,
        },
        supports_check_mode=True,
    )
    try:
        result = Task(module).run()
    except (layout.DeployError, OSError) as error:
        module.fail_json(msg=layout.told(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
