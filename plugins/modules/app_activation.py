#!/usr/bin/python
"""Ansible module: activations of an app on a host."""

import contextlib
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import activation, listening, release
    from fuego_deploy.layout import App, DeployError, locked, refuse_foreign
else:
    from ansible.module_utils.fuego_deploy import activation, listening, release
    from ansible.module_utils.fuego_deploy.layout import App, DeployError, locked, refuse_foreign

DOCUMENTATION = r"""
module: app_activation
short_description: Lay out, switch to and confirm an app's release together with its settings
description:
  - C(state=staged) lays out a new activation where what is wanted differs from the current one, and
    checks that the callable imports as the service would import it. It has no effect on traffic.
  - C(state=switched) points C(current) at an activation and installs its units. Restarts nothing.
  - C(state=confirmed) notes that the activation passed its health gate. Until then it is pending.
options:
  name:
    description: The app's name.
    type: str
    required: true
  state:
    description: What to bring about.
    type: str
    choices: [staged, switched, confirmed]
    required: true
  activation:
    description: The number to switch to or to confirm.
    type: int
  release:
    description: The folder in releases/ that the activation is to use.
    type: str
  env:
    description: The environment of the service, in this order.
    type: dict
    default: {}
  units:
    description: Names and texts of the unit files.
    type: dict
    default: {}
  files:
    description: Names and texts of further files of the activation.
    type: dict
    default: {}
  callable:
    description: What has to import, as C(module:attribute).
    type: str
  protocol:
    description: What the callable has to speak.
    type: str
    choices: [wsgi, asgi]
  keep:
    description: How many activations stay, beside the current and the previous one.
    type: int
    default: 5
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Switch to what was staged
  app_activation:
    name: hello
    state: switched
    activation: 7
"""

RETURN = r"""
activation:
  description: The number of the activation; 0 in check mode where it is not laid out yet.
  type: int
  returned: success
pending:
  description: Whether the app has to be switched or restarted.
  type: bool
  returned: state is staged
reasons:
  description: Why it is pending, in words.
  type: list
  returned: state is staged
current:
  description: The number of the activation in force, 0 where there is none.
  type: int
  returned: state is staged
admitted:
  description: Whether the activation in force has passed its health gate.
  type: bool
  returned: state is staged
previous:
  description: The number of the activation that was in force before.
  type: int
  returned: state is switched
units_changed:
  description: Whether systemd has to read unit files again.
  type: bool
  returned: state is switched
socket_changed:
  description: Whether the socket in force is not the one of the unit file.
  type: bool
  returned: state is switched
"""


def stage(module: AnsibleModule, app: App) -> dict[str, Any]:
    given = module.params
    refuse_foreign(app)
    listening.check_listening(app, given["units"].get(f"{app.name}.socket", ""))
    env = {name: str(value) for name, value in given["env"].items()}
    wanted = activation.Wanted(given["release"] or "", env, given["units"], given["files"])
    made: list[str] = []
    if not module.check_mode:
        made += release.ensure_access(app)
        made += activation.remove_unfinished(app)
    if activation.ensure_local(app, module.check_mode):
        made.append(str(app.settings / "env.local"))
    before = activation.current(app)
    found = activation.find(app, wanted.digest(app))
    fresh = found is None or before is None or found.number != before.number
    if found is None:
        made.append("a new activation")
    if fresh and not module.check_mode:
        found = found or activation.lay(app, wanted)
        try:
            activation.check_callable(app, found.number, given["callable"], given["protocol"])
        except BaseException:
            activation.remove(app, found.number)
            raise
        release.prune(app, given["keep"])
    why = activation.reasons(app, wanted, found)
    return {
        "changed": bool(made),
        "diff": difference(app, before, wanted),
        "activation": found.number if found else 0,
        "pending": bool(why),
        "reasons": why,
        "current": before.number if before else 0,
        "admitted": before is not None and activation.is_proved(app, before.number),
    }


def difference(
    app: App, before: "activation.Found | None", wanted: "activation.Wanted"
) -> list[dict[str, str]]:
    """What differs between the activation in force and the wanted one, file by file."""
    folder = app.activations / str(before.number) if before else None
    result = []
    for name, after in {"release": f"{wanted.release}\n", **wanted.content(app)}.items():
        there = f"{before.release}\n" if before else ""
        if name != "release":
            path = folder / name if folder else None
            there = path.read_text(encoding="utf-8") if path and path.is_file() else ""
        if there != after:
            header = f"{app.activations}/{{}}/{name}"
            result.append({
                "before": there,
                "after": after,
                "before_header": header.format(before.number if before else "none"),
                "after_header": header.format("new"),
            })  # fmt: skip
    return result


def switch(module: AnsibleModule, app: App) -> dict[str, Any]:
    number = module.params["activation"]
    if module.check_mode and not number:  # not laid out yet, so there is nothing to compare
        return {"changed": True, "activation": 0, "previous": 0,
                "units_changed": True, "socket_changed": True}  # fmt: skip
    done = activation.switch(app, number, module.check_mode)
    return {
        "changed": done.changed or module.check_mode,  # which skips the restart that follows
        "activation": number,
        "previous": done.previous or 0,
        "units_changed": done.reload,
        "socket_changed": done.socket,
    }


def confirm(module: AnsibleModule, app: App) -> dict[str, Any]:
    number = module.params["activation"]
    if module.check_mode:
        return {"changed": not activation.is_proved(app, number), "activation": number}
    return {"changed": activation.confirm(app, number), "activation": number}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["staged", "switched", "confirmed"],
                "required": True,
            },
            "activation": {"type": "int"},
            "release": {"type": "str"},
            "env": {"type": "dict", "default": {}},
            "units": {"type": "dict", "default": {}},
            "files": {"type": "dict", "default": {}},
            "callable": {"type": "str"},
            "protocol": {"type": "str", "choices": ["wsgi", "asgi"]},
            "keep": {"type": "int", "default": 5},
        },
        required_if=[
            ("state", "staged", ["release", "units", "callable", "protocol"]),
            ("state", "switched", ["activation"]),
            ("state", "confirmed", ["activation"]),
        ],
        supports_check_mode=True,
    )
    app = App(module.params["name"])
    steps = {"staged": stage, "switched": switch, "confirmed": confirm}
    try:
        with contextlib.nullcontext() if module.check_mode else locked(app):
            result = steps[module.params["state"]](module, app)
    except DeployError as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
