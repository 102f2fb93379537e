#!/usr/bin/python
"""Admit the members of the pools that pass their health check, on a load balancer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_admission
short_description: Admit healthy members to the pools of a load balancer
description:
  - Runs on a load balancer. A member that this balancer has not admitted yet is asked for its
    health path, over the same way that requests will take; one that answers as expected is admitted
    from then on, one that does not stays out.
  - An admission is kept in a file on the balancer until the member leaves the pool or changes its
    address, so a later fault does not take it back. Leaving out members that fail is nginx's part.
options:
  sites:
    description:
      - The pools, as the preflight makes them. Each has C(name), C(domains), C(health) (C(path),
        C(status)) and C(members), each with C(name), C(address) and C(port).
    type: list
    elements: dict
    required: true
  state_file:
    description: Where the admissions are kept.
    type: path
    default: /var/lib/fuego-deploy/pools.json
  timeout:
    description: Seconds that one health check may take.
    type: float
    default: 5
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Admit the hosts that answer
  pool_admission:
    sites: "{{ fleet.sites }}"
  register: pools
"""

RETURN = r"""
sites:
  description: The sites given, with C(admitted) (bool) on every member.
  type: list
  returned: always
refused:
  description: One line for each member that failed its check, naming the app, the member and why.
  type: list
  elements: str
  returned: always
"""

import concurrent.futures
import http.client
import json
import os
import tempfile
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule

Admissions = dict[str, dict[str, dict[str, str]]]


def check(site: dict[str, Any], member: dict[str, Any], timeout: float) -> str | None:
    """Return why `member` is not healthy, or None where it is. Never raises for a network fault."""
    health = site.get("health") or {}
    path = health.get("path") or "/"
    headers = {
        # As in production, so that frameworks that check hosts or redirect to HTTPS answer alike.
        "Host": (site.get("domains") or [where(member)])[0],
        "X-Forwarded-Proto": "http",
        "User-Agent": "fuego-deploy health check",
        "Connection": "close",
    }
    connection = http.client.HTTPConnection(member["address"], int(member["port"]), timeout=timeout)
    try:
        connection.request("GET", path, headers=headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"no answer to GET {path}: {error or type(error).__name__}"
    finally:
        connection.close()
    expected = health.get("status") or []
    if status in expected or (not expected and status < 500):
        return None
    wanted = f"one of {', '.join(map(str, expected))}" if expected else "a status below 500"
    return f"GET {path} answered {status}, not {wanted}"


def where(member: dict[str, Any]) -> str:
    """Return the member's address and port as one word: what an admission is bound to."""
    address = str(member["address"])
    return f"[{address}]:{member['port']}" if ":" in address else f"{address}:{member['port']}"


def admit(
    sites: list[dict[str, Any]], before: Admissions, timeout: float
) -> tuple[Admissions, list[str]]:
    """Return the admissions after checking all members not yet admitted, and who was refused."""
    after: Admissions = {}
    waiting = []
    for site in sites:
        kept = after.setdefault(site["name"], {})
        for member in site["members"]:
            known = before.get(site["name"], {}).get(member["name"])
            if known and known.get("address") == where(member):
                kept[member["name"]] = known
            else:
                waiting.append((site, member))
    refused = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=32) as pool:
        results = pool.map(lambda pair: check(pair[0], pair[1], timeout), waiting)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for (site, member), reason in zip(waiting, results, strict=True):
        if reason is None:
            after[site["name"]][member["name"]] = {"address": where(member), "since": now}
        else:
            refused.append(f"{site['name']}: {member['name']} at {where(member)}: {reason}")
    return {app: members for app, members in after.items() if members}, refused


def read(path: str) -> Admissions:
    """Return the admissions kept at `path`; none where there is no file. Raises ValueError."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold a JSON object")
    return content


def write(path: str, admissions: Admissions) -> None:
    """Replace the file at `path` whole, so that a crash leaves the old or the new one."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(admissions, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "sites": {"type": "list", "elements": "dict", "required": True},
            "state_file": {"type": "path", "default": "/var/lib/fuego-deploy/pools.json"},
            "timeout": {"type": "float", "default": 5.0},
        },
        supports_check_mode=True,
    )
    path = module.params["state_file"]
    try:
        before = read(path)
    except ValueError as error:
        module.fail_json(
            msg=f"the admissions of this balancer cannot be read: {error}; remove {path}, "
            f"and every member is checked and admitted again"
        )
    after, refused = admit(module.params["sites"], before, module.params["timeout"])
    changed = after != before
    if changed and not module.check_mode:
        write(path, after)
    for site in module.params["sites"]:
        for member in site["members"]:
            member["admitted"] = member["name"] in after.get(site["name"], {})
    diff = {
        "before": json.dumps(before, indent=2, sort_keys=True) + "\n",
        "after": json.dumps(after, indent=2, sort_keys=True) + "\n",
        "before_header": path,
        "after_header": path,
    }
    module.exit_json(changed=changed, sites=module.params["sites"], refused=refused, diff=diff)


if __name__ == "__main__":
    main()
