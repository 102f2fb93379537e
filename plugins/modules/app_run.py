#!/usr/bin/python
"""Ansible module: the beginning and the end of a run on a host."""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import activation, lock
    from fuego_deploy.layout import App, DeployError, installed, serving
else:
    from ansible.module_utils.fuego_deploy import activation, lock
    from ansible.module_utils.fuego_deploy.layout import App, DeployError, installed, serving

DOCUMENTATION = r"""
module: app_run
short_description: Begin or end a run that changes apps on a host
description:
  - C(state=begun) takes the lock of each app on this host, or fails and names its holder, and tells
    what is in force. An app's lock outlives a controller that dies; one of a run that is known to
    be over is taken over, with a warning.
  - C(state=ended) frees the locks that this run has. With C(committed), what is in force becomes
    what a later change goes back to when it fails.
options:
  apps:
    description: The names of the apps.
    type: list
    elements: str
    required: true
  state:
    description: Which of the two.
    type: str
    choices: [begun, ended]
    required: true
  run:
    description:
      - Who changes the apps, as C(id), C(who) and C(purpose); C(over) lists the ids of runs that
        have ended.
    type: dict
    required: true
  steal:
    description: Whether to take a lock from whoever has it.
    type: bool
    default: false
  wait:
    description: Seconds to wait for a lock.
    type: int
    default: 0
  committed:
    description: Whether the whole fleet has taken the change.
    type: bool
    default: false
  canaries:
    description: Those of the apps whose change is a canary's, which the fleet has not taken yet.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Takes and frees no lock; fails where one is held.
  diff_mode:
    support: none
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Lock the apps
  app_run:
    apps: [hello]
    state: begun
    run: {id: 20261121T100000Z-1f2e3d, who: alice@desk, purpose: deploy}
"""

RETURN = r"""
apps:
  description:
    - App → what is in force here, as C(release) and C(activation); C(committed), the release that
      the whole fleet has taken last, and C(uncommitted), whether that is another activation, of a
      change that never came to its end; C(previous), the release before it; C(kept), the releases
      that a rollback can go to; and C(hold), the rollback that stays until the next deploy, or
      nothing.
  type: dict
  returned: state is begun
installed:
  description: The apps that are on this host, whether asked for or not.
  type: list
  elements: str
  returned: state is begun
"""


def begin(module: AnsibleModule, names: list[str]) -> dict[str, Any]:
    given, run = module.params, lock.read_run(module.params["run"])
    taken: list[App] = []
    found = {}
    try:
        for name in names:
            app = App(name)
            if module.check_mode:
                now = lock.holder(app)
                if now and now["run"] not in run.over and not given["steal"]:
                    raise DeployError(lock.told(app, now))
            else:
                former = lock.acquire(app, run, "", given["steal"], given["wait"])
                taken.append(app)
                if former:
                    module.warn(
                        f"apps.{name}: took over from a {former['purpose']} by {former['who']} of "
                        f"{former['since']}, which did not end well"
                    )
            found[name] = facts(app)
    except DeployError:
        for app in taken:
            lock.release(app, run)
        raise
    return {"changed": False, "apps": found, "installed": installed()}


def facts(app: App) -> dict[str, Any]:
    now = activation.current(app)
    former, fleets = activation.previous(app), activation.last_committed(app)
    return {
        "activation": now.number if now else 0,
        "release": now.id if now else "",
        "previous": former.id if former else "",
        "committed": fleets.id if fleets else "",
        "uncommitted": activation.is_uncommitted(app),
        "kept": activation.kept_releases(app),
        "hold": serving(app).get("hold"),
    }


def end(module: AnsibleModule, names: list[str]) -> dict[str, Any]:
    run = lock.read_run(module.params["run"])
    if module.check_mode:
        return {"changed": False}
    for name in names:
        app = App(name)
        if module.params["committed"]:
            if name not in module.params["canaries"]:
                activation.commit(app)
            activation.hold(app, run.purpose, run.who)
        lock.release(app, run)
    return {"changed": False}  # the change itself was told where it was made


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "apps": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["begun", "ended"], "required": True},
            "run": {"type": "dict", "required": True},
            "steal": {"type": "bool", "default": False},
            "wait": {"type": "int", "default": 0},
            "committed": {"type": "bool", "default": False},
            "canaries": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    step = begin if module.params["state"] == "begun" else end
    try:
        result = step(module, module.params["apps"])
    except DeployError as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
