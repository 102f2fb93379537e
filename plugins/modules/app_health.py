#!/usr/bin/python
"""Ansible module: the health gate of an app, asked on its own host."""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import health, units
else:
    from ansible.module_utils.fuego_deploy import health, units

DOCUMENTATION = r"""
module: app_health
short_description: Wait until an app answers as a healthy one
description:
  - Asks the app itself on its own host, with the headers its site's requests have, until it answers
    as expected. Fails at the deadline, or as soon as systemd has given the service up, with the
    last answer.
options:
  name:
    description: The app's name.
    type: str
    required: true
  address:
    description: The address the app listens on.
    type: str
    required: true
  port:
    description: The port it listens on.
    type: int
    required: true
  path:
    description: The path to ask for.
    type: str
    default: /
  headers:
    description: The request's headers.
    type: dict
    default: {}
  status:
    description: The statuses that count as healthy. Empty, it is any below 500.
    type: list
    elements: int
    default: []
  body:
    description: Text that the answer has to contain.
    type: str
    default: ""
  interval:
    description: Seconds between two requests, once the first quick ones are through.
    type: float
    default: 1
  deadline:
    description: Seconds within which the app has to answer so.
    type: int
    default: 30
attributes:
  check_mode:
    support: full
    description: Asks nothing.
  diff_mode:
    support: none
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Wait until the app is healthy
  app_health:
    name: hello
    address: 10.1.2.21
    port: 8000
    path: /healthz
"""

RETURN = r"""
seconds:
  description: How long it took.
  type: float
  returned: always
status:
  description: The status of the last answer.
  type: int
  returned: always
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
            "port": {"type": "int", "required": True},
            "path": {"type": "str", "default": "/"},
            "headers": {"type": "dict", "default": {}},
            "status": {"type": "list", "elements": "int", "default": []},
            "body": {"type": "str", "default": ""},
            "interval": {"type": "float", "default": 1.0},
            "deadline": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    given = module.params
    if module.check_mode:
        module.exit_json(changed=False, seconds=0.0, status=0)
    service = f"{given['name']}.service"
    gate = health.read_gate(given)
    outcome = health.wait(gate, lambda: units.states((service,))[service].active == "failed")
    facts = {"seconds": round(outcome.seconds, 2), "status": outcome.answer.status or 0}
    if outcome.healthy:
        module.exit_json(changed=False, **facts)
    module.fail_json(msg=f"apps.{given['name']}: {outcome.told(gate)}", **facts)


if __name__ == "__main__":
    main()
