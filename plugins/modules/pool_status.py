#!/usr/bin/python
"""Tell how the pools of a load balancer are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import access_log, layout, pool, proof, units
else:
    from ansible.module_utils.fuego_deploy import access_log, layout, pool, proof, units

DOCUMENTATION = r"""
module: pool_status
short_description: Tell how the pools of a load balancer are
description:
  - Returns who is in each pool, who is out, by whom, when and why, and what the last minutes of the
    access log say of each app and host. Changes nothing, and takes no lock.
  - What cannot be read is a line of RV(problems), so that the rest is told all the same.
options:
  seconds:
    description:
      - How far back the access log is read, from its end. No more than 32 MiB of it are, and for no
        longer than a second, see RV(seconds).
    type: float
    default: 300
  state_file:
    description: Where the state of the pools is kept.
    type: path
    default: /var/lib/fuego-deploy/pools.json
  access_log:
    description: Where nginx logs requests as lines of JSON.
    type: path
    default: /var/log/nginx/access.log
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Ask the balancer for its pools
  pool_status:
  register: balancer_status
"""

RETURN = r"""
nginx:
  description: What systemd says of nginx, as C(active) and C(since), in seconds since the epoch.
  type: dict
  returned: always
pools:
  description:
    - App → its members, each with C(name), C(address), C(logged_as) (as the access log has it) and
      C(state), which is C(in) or C(waiting) (it has not passed its health check from here), or
      C(drained) with C(by), C(when), C(why) and whether it was by C(hand).
  type: dict
  returned: always
hosts:
  description: What was decided by hand, by host; each with C(state), C(by), C(when), C(why).
  type: dict
  returned: always
requests:
  description:
    - App → address that was asked, empty where none was → C(requests), C(errors) (answers 500 and
      above) and C(slowest), seconds to the first byte. Nothing where there is no log.
  type: dict
  returned: always
seconds:
  description: The time that RV(requests) is about, less than was asked for of a busy log.
  type: float
  returned: always
problems:
  description: What could not be read, and why.
  type: list
  elements: str
  returned: always
"""

NGINX = "nginx.service"


def member(state: pool.State, app: str, one: pool.Member) -> dict[str, Any]:
    """How one member is, as this balancer sees it."""
    hand = state.by_hand(one["name"])
    record = hand or state.drain(app, one["name"])
    told: dict[str, Any]
    if record:
        told = {"state": "drained", "hand": hand is not None}
        told |= {key: record.get(key, "") for key in ("by", "when", "why")}
    else:
        told = {"state": "in" if state.is_admitted(app, one) else "waiting"}
    return {"name": one["name"], "address": pool.where(one), "logged_as": logged_as(one), **told}


def logged_as(one: pool.Member) -> list[str]:
    try:
        return sorted(proof.logged_as(one))
    except OSError:
        return []  # a host name that nothing resolves at the moment


def pools(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The members of each pool, and what was decided by hand. Raises DeployError."""
    state = pool.read(path)
    try:
        found = {
            app: [member(state, app, one) for one in known["members"]]
            for app, known in state.pools.items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise layout.DeployError(f"{path}: has another shape than expected ({error!r})") from error
    return found, state.hosts


def nginx() -> dict[str, Any]:
    """What systemd says of it. Raises DeployError or OSError."""
    state = units.states((NGINX,))[NGINX]
    return {"active": state.active, "since": state.since}


def run(module: AnsibleModule) -> dict[str, Any]:
    """All that can be told."""
    p = module.params
    result: dict[str, Any] = {
        "changed": False, "nginx": {"active": "", "since": 0}, "pools": {}, "hosts": {},
        "requests": None, "seconds": p["seconds"], "problems": [],
    }  # fmt: skip
    try:
        result["nginx"] = nginx()
    except (layout.DeployError, OSError) as error:
        result["problems"].append(f"systemd cannot be asked: {error}")
    try:
        result["pools"], result["hosts"] = pools(p["state_file"])
    except (layout.DeployError, OSError) as error:
        result["problems"].append(str(error))
    try:
        found = access_log.read(Path(p["access_log"]), p["seconds"])
        result |= {"requests": found.as_json(), "seconds": found.seconds}
    except OSError as error:
        result["problems"].append(f"no figures of requests: {error}")
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "seconds": {"type": "float", "default": 300.0},
            "state_file": {"type": "path", "default": pool.STATE_FILE},
            "access_log": {"type": "path", "default": "/var/log/nginx/access.log"},
        },
        supports_check_mode=True,
    )
    module.exit_json(**run(module))


if __name__ == "__main__":
    main()
