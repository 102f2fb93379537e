#!/usr/bin/python
"""Ansible module: activations of an app on a host."""

import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from fuego_deploy import (
        activation,
        change,
        credentials,
        health,
        listening,
        lock,
        release,
        units,
    )
    from fuego_deploy.layout import (
        FOLDER_MARK,
        App,
        DeployError,
        has_account,
        locked,
        missing_claims,
        refuse_foreign,
        serving,
    )
else:
    from ansible.module_utils.fuego_deploy import (
        activation,
        change,
        credentials,
        health,
        listening,
        lock,
        release,
        units,
    )
    from ansible.module_utils.fuego_deploy.layout import (
        FOLDER_MARK,
        App,
        DeployError,
        has_account,
        locked,
        missing_claims,
        refuse_foreign,
        serving,
    )

DOCUMENTATION = r"""
module: app_activation
short_description: Lay out, put in force and take back an app's release together with its settings
description:
  - C(state=staged) lays out a new activation where what is wanted differs from the current one, and
    checks that the callable imports as the service would import it. It has no effect on traffic.
    Where nothing is to change then, and no rollback holds, the run is over for this app on this
    host, and its lock is freed.
  - C(state=chosen) finds the activation of a former release, with the settings of that time.
  - C(state=hooked) runs the commands of one hook in an activation, in force or not.
  - C(state=active) points C(current) at an activation, installs its units, restarts the service on
    its socket, and waits until it passes the health gate. Where it does not, the task fails with
    the last answer and the last lines of the app's journal, and the host stays switched for
    C(undone).
  - C(state=undone) returns to the activation that the fleet had last, proved by the gate it passed
    then; an app that never served is taken out of force.
  - Whatever is switched is also a line in /var/log/fuego-deploy/audit.jsonl.
options:
  name:
    description: The app's name.
    type: str
    required: true
  state:
    description: What to bring about.
    type: str
    choices: [staged, chosen, hooked, active, undone]
    required: true
  activation:
    description: The number to put in force.
    type: int
  gate:
    description: The health gate.
    type: dict
    suboptions:
      address:
        description: The address the app listens on.
        type: str
        required: true
      port:
        description: The port it listens on.
        type: int
        required: true
      protocol:
        description: How the app is asked.
        type: str
        choices: [http, uwsgi]
        default: http
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
  hooks:
    description: Commands of the app, as lists under the names of the hooks.
    type: dict
    default: {}
  hook:
    description: The hook to run, for C(hooked).
    type: str
  run:
    description: Who changes the app, for its lock and the audit log, as C(id), C(who), C(purpose).
    type: dict
    default: {}
  release:
    description: The id of the release that the activation is to use.
    type: str
  python:
    description: The interpreter with which that release was built, for C(staged).
    type: path
    default: /usr/bin/python3
  tentative:
    description: For C(staged), whether to do nothing where the release is not built yet.
    type: bool
    default: false
  prefer:
    description:
      - For C(chosen), which activation is meant where several have the release. C(committed) is
        what the whole fleet has taken last, C(previous) what it had before that.
    type: str
    choices: [current, committed, previous, newest]
    default: current
  env:
    description: The environment of the service, in this order.
    type: dict
    default: {}
  per_processor:
    description: Names that are set to the number of the host's processors, at least 2.
    type: list
    elements: str
    default: []
  units:
    description: Names and texts of the unit files.
    type: dict
    default: {}
  files:
    description: Names and texts of further files of the activation.
    type: dict
    default: {}
  secrets:
    description: The app's secrets, as the filter C(pack_secrets) makes one text of them.
    type: str
    default: ""
  secrets_env:
    description: Names of the secrets that go into the service's environment as well.
    type: list
    elements: str
    default: []
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
- name: Put in force what was staged
  app_activation:
    name: hello
    state: active
    activation: 7
    gate: {address: 10.1.2.21, port: 8000, path: /healthz}
"""

RETURN = r"""
missing:
  description: Whether the release has to be built first. Nothing else is returned then.
  type: bool
  returned: state is staged
activation:
  description: The number of the activation; 0 in check mode where it is not laid out yet.
  type: int
  returned: success
pending:
  description: Whether the app has to be switched or restarted.
  type: bool
  returned: state is staged or chosen
reasons:
  description: Why it is pending, in words.
  type: list
  returned: state is staged or chosen
current:
  description: The number of the activation in force, 0 where there is none.
  type: int
  returned: state is staged or chosen
uncommitted:
  description: Whether a change is under way that the fleet has not taken as a whole.
  type: bool
  returned: state is staged or chosen
settled:
  description: Whether the run is over for this app on this host, with nothing to change.
  type: bool
  returned: state is staged
seconds:
  description: Step → how long it took.
  type: dict
  returned: state is active or undone
hooks:
  description: What ran, each with C(hook), C(command) and C(output).
  type: list
  returned: state is active
"""


def stage(module: AnsibleModule, app: App) -> dict[str, Any]:
    given = module.params
    refuse_foreign(app, given["units"])
    built = release.find(app, given["release"], release.ask_python(app, given["python"]))
    if given["tentative"] and (built is None or missing_claims(app) or not has_account(app)):
        return {"changed": False, "missing": True}
    listening.check_listening(app, given["units"].values())
    check_schedules(app, given["units"])
    env = {name: str(value) for name, value in given["env"].items()}
    env |= dict.fromkeys(given["per_processor"], str(max(2, len(os.sched_getaffinity(0)))))
    secrets = credentials.unpack(app, given["secrets"])
    wanted = activation.Wanted(
        built.name if built else "",
        env,
        given["units"],
        given["files"],
        secrets,
        given["secrets_env"],
    )
    made: list[str] = []
    if not module.check_mode:
        made += release.ensure_access(app)
        made += activation.remove_unfinished(app)
    if "APP_CALLABLE" in env:
        check_local(app)
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
    uncommitted = activation.is_uncommitted(app)
    settled = not why and not uncommitted and "hold" not in serving(app)
    if settled and given["run"] and not module.check_mode:
        lock.release(app, lock.read_run(given["run"]))
    return {
        "changed": bool(made),
        "missing": False,
        "diff": difference(app, before, wanted),
        "activation": found.number if found else 0,
        "pending": bool(why),
        "reasons": why,
        "current": before.number if before else 0,
        "uncommitted": uncommitted,
        "settled": settled,
    }


def check_schedules(app: App, texts: dict[str, str]) -> None:
    """Refuse a job's calendar that this host's systemd cannot read."""
    for name, text in texts.items():
        schedule = re.search(r"^OnCalendar=(.+)$", text, re.MULTILINE)
        problem = units.check_schedule(schedule[1]) if schedule else ""
        if problem:
            job = name.removesuffix(".timer").partition("_")[2]
            raise DeployError(f"apps.{app.name}.jobs.{job}.schedule: {problem}")


def check_local(app: App) -> None:
    """Refuse a local setting that would keep the app's server from finding what it starts."""
    path = app.settings / "env.local"
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    if re.search(r"^\s*PYTHONPATH=", text, re.MULTILINE):
        raise DeployError(
            f"apps.{app.name}: {path} sets PYTHONPATH, through which this server finds the app; "
            "take it out there, and set it as env.PYTHONPATH in the inventory, which is added to"
        )


def choose(module: AnsibleModule, app: App) -> dict[str, Any]:
    wanted = module.params["release"]
    found, now = activation.choose(app, wanted, module.params["prefer"]), activation.current(app)
    if found is None:
        kept = ", ".join(activation.kept_releases(app)) or "none"
        which = f"release {wanted} here" if wanted else "former release"
        raise DeployError(
            f"apps.{app.name}: there is no {which} to go back to; those kept, the newest first: "
            f"{kept}"
        )
    why = activation.reasons_to_return(app, found)
    return {
        "changed": False,
        "activation": found.number,
        "pending": bool(why),
        "reasons": why,
        "current": now.number if now else 0,
        "uncommitted": activation.is_uncommitted(app),
    }


def difference(
    app: App, before: "activation.Found | None", wanted: "activation.Wanted"
) -> list[dict[str, str]]:
    """What differs between the activation in force and the wanted one, file by file; of secrets,
    which ones."""
    folder = app.activations / str(before.number) if before else None
    sides = {"release": (f"{before.release}\n" if before else "", f"{wanted.release}\n")}
    for name, after in wanted.content(app).items():
        path = folder / name if folder else None
        there = path.read_text(encoding="utf-8") if path and path.is_file() else ""
        sides[name] = there, after
    kept = credentials.read(folder) if folder else {}
    sides[credentials.FOLDER] = credentials.difference(kept, wanted.secrets)
    result = []
    for name, (there, after) in sides.items():
        if there != after:
            header = f"{app.activations}/{{}}/{name}"
            result.append({
                "before": there,
                "after": after,
                "before_header": header.format(before.number if before else "none"),
                "after_header": header.format("new"),
            })  # fmt: skip
    return result


def activate(module: AnsibleModule, app: App) -> dict[str, Any]:
    given, progress = module.params, change.Progress()
    number = given["activation"]
    if module.check_mode:
        return {"changed": True, "activation": number, "seconds": {}, "hooks": []}
    gate = health.read_gate(given["gate"])
    change.activate(app, number, gate, progress, given["run"], given["hooks"])
    return {
        "changed": True,
        "activation": number,
        "seconds": progress.seconds,
        "hooks": progress.hooks,
    }


def hook(module: AnsibleModule, app: App) -> dict[str, Any]:
    given, progress = module.params, change.Progress()
    commands = given["hooks"].get(given["hook"], [])
    if not module.check_mode:
        change.run_hooks(
            app, given["activation"], given["hook"], given["hooks"], given["run"], progress
        )
    return {"changed": bool(commands), "hooks": progress.hooks, "seconds": progress.seconds}


def undo(module: AnsibleModule, app: App) -> dict[str, Any]:
    given, progress = module.params, change.Progress()
    if module.check_mode:
        return {"changed": False, "activation": 0, "seconds": {}}
    gate = health.read_gate(given["gate"])
    target, changed = change.undo(app, gate, progress, given["run"])
    return {"changed": changed, "activation": target or 0, "seconds": progress.seconds}


GATE = {
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "protocol": {"type": "str", "choices": ["http", "uwsgi"], "default": "http"},
    "path": {"type": "str", "default": "/"},
    "headers": {"type": "dict", "default": {}},
    "status": {"type": "list", "elements": "int", "default": []},
    "body": {"type": "str", "default": ""},
    "interval": {"type": "float", "default": 1.0},
    "deadline": {"type": "int", "default": 30},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "choices": ["staged", "chosen", "hooked", "active", "undone"],
                "required": True,
            },
            "activation": {"type": "int"},
            "gate": {"type": "dict", "options": GATE},
            "hooks": {"type": "dict", "default": {}},
            "hook": {"type": "str"},
            "run": {"type": "dict", "default": {}},
            "release": {"type": "str"},
            "python": {"type": "path", "default": "/usr/bin/python3"},
            "tentative": {"type": "bool", "default": False},
            "prefer": {
                "type": "str",
                "choices": ["current", "committed", "previous", "newest"],
                "default": "current",
            },
            "env": {"type": "dict", "default": {}},
            "per_processor": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "dict", "default": {}},
            "files": {"type": "dict", "default": {}},
            "secrets": {"type": "str", "default": "", "no_log": True},
            "secrets_env": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "callable": {"type": "str"},
            "protocol": {"type": "str", "choices": ["wsgi", "asgi"]},
            "keep": {"type": "int", "default": 5},
        },
        required_if=[
            ("state", "staged", ["release", "units", "callable", "protocol"]),
            ("state", "chosen", ["release"]),
            ("state", "hooked", ["activation", "hook"]),
            ("state", "active", ["activation", "gate"]),
            ("state", "undone", ["gate"]),
        ],
        supports_check_mode=True,
    )
    app = App(module.params["name"])
    steps = {"staged": stage, "chosen": choose, "hooked": hook, "active": activate, "undone": undo}
    try:
        # A bare host has nothing to lock yet, and nothing is done there.
        bare = module.check_mode or not (app.home / FOLDER_MARK).exists()
        with contextlib.nullcontext() if bare else locked(app):
            result = steps[module.params["state"]](module, app)
    except DeployError as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
