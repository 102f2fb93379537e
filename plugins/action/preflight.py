"""Check every app of the inventory before any host is touched, all errors at once.

Takes `apps` and `app_defaults`, reads addresses, groups and secrets from the inventory, connects
to no host, and returns the fleet as one complete plan: `load_balancers`, `apps`, `by_host`,
`sites`, and the present `run`; nothing of the secrets. `artifacts` is the controller's folder of
them. With `only`, the name of an app, `by_host` holds that app alone. `named` is the app that the
run has to name, of the inventory or not. With `member`, an app has to be on the host of that name.
`maintenance` is what somebody wants to turn on or off, `ending` how a canary is to end. With
`report`, it has to be a file that can be written.
"""

import os
import socket
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[2]
# Ansible loads an action plugin by its path, so that its neighbours are no package to it.
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "plugins" / "module_utils")]

from fleet.canary import check_ending  # noqa: E402
from fleet.catalogue import load  # noqa: E402
from fleet.credentials import Unreadable  # noqa: E402
from fleet.hosts import Host, Inventory  # noqa: E402
from fleet.maintenance import check_maintenance  # noqa: E402
from fleet.plan import cautions, plan  # noqa: E402
from fleet.reading import suggest  # noqa: E402
from fleet.run import begin  # noqa: E402
from fuego_deploy.artifact import default_cache  # noqa: E402

LAB_TIMEOUT = 1.0
LAB_MEND = "boot the lab with: ansible-playbook playbooks/lab.yml (or make demo)"


class ActionModule(ActionBase):  # type: ignore[misc]
    """`preflight`: apps, app_defaults → the fleet."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            {
                "apps": {"type": "raw"},
                "app_defaults": {"type": "raw"},
                "purpose": {"type": "str", "default": "site"},
                "only": {"type": "str", "default": ""},
                "named": {"type": "str"},
                "member": {"type": "str"},
                "maintenance": {"type": "dict"},
                "report": {"type": "str", "default": ""},
                "ending": {"type": "str"},
            }
        )
        errors: list[str] = []
        variables = task_vars or {}
        inventory = read_inventory(variables)
        hostvars = variables["hostvars"]
        catalogue = load(ROOT)
        fleet, found = plan(
            plain(arguments["apps"]),
            plain(arguments["app_defaults"]),
            inventory,
            catalogue,
            ROOT,
            lambda name: self.read_secrets(hostvars.raw_get(name)),
        )
        errors += found
        only = arguments["only"]
        if only and only not in fleet["apps"]:
            errors.append(
                f"app: the inventory has no app '{only}'{suggest(only, list(fleet['apps']))}; "
                "name one of its apps, or none for all of them"
            )
        elif only:
            fleet["by_host"] = {h: [only] for h, n in fleet["by_host"].items() if only in n}
        errors += check_app_given(arguments["named"], fleet["apps"])
        key = "add" if arguments["purpose"] == "scale" else "host"
        errors += check_member_given(arguments["member"], fleet["by_host"], key)
        errors += check_ending(arguments["ending"])
        errors += check_maintenance(plain(arguments["maintenance"]))
        used = dict.fromkeys([host["name"] for host in fleet["load_balancers"]])
        used |= dict.fromkeys(fleet["by_host"])
        errors += check_report(arguments["report"])
        lab = read_lab(used, hostvars, errors)
        # A status shows hosts that do not answer; everything else needs them.
        errors += [] if arguments["purpose"] == "status" else check_lab(lab)
        if errors:
            return result | {"failed": True, "msg": report(errors)}
        # Ansible runs every task in a process of its own: the run is the one that made it.
        run = begin(default_cache() / "runs", arguments["purpose"], os.getppid())
        kept = {"run": run, "artifacts": str(default_cache() / "artifacts")}
        if arguments["purpose"] in ("site", "deploy", "scale"):
            kept["warnings"] = cautions(fleet, catalogue)
        return result | {"changed": False} | kept | fleet

    def read_secrets(self, variables: Mapping[str, Any]) -> Any:
        """What app_secrets is with the raw variables of a host. Each template is made out alone,
        and what Ansible says of one that cannot be is dropped: it shows the lines around it."""
        templar = self._templar.copy_with_new_env(available_variables=variables)

        def made_out(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {plain(key): made_out(item) for key, item in value.items()}
            try:
                found = templar.template(value)
                return found if isinstance(found, date) else plain(found)
            except Exception:  # whatever a template or a vault raises
                return Unreadable()

        return made_out(variables.get("app_secrets", {}))


def check_app_given(named: str | None, apps: Mapping[str, Any]) -> list[str]:
    """An error where the run has to name an app (not None) and does not."""
    if named is None or named:
        return []
    return [f"app: is missing; name one of {', '.join(apps)}: -e app={next(iter(apps), 'hello')}"]


def check_member_given(member: str | None, by_host: Mapping[str, Any], key: str) -> list[str]:
    """An error where the run is about a host (not None), which the variable `key` names, and no app
    is on one of that name."""
    if member is None or member in by_host:
        return []
    known = ", ".join(by_host)
    if not member:
        return [f"{key}: is missing; name one of {known}: -e {key}={next(iter(by_host), 'app1')}"]
    return [f"{key}: no app is on '{member}'{suggest(member, list(by_host))}; name one of {known}"]


def check_report(report: str) -> list[str]:
    """An error where the page that is asked for cannot be written; nothing where none is."""
    path = Path(os.path.abspath(os.path.expanduser(report)))
    if not report or (os.access(path.parent, os.W_OK) and not path.is_dir()):
        return []
    why = "is a folder" if path.is_dir() else f"{path.parent} is no folder that you may write to"
    return [f"report: '{report}': {why}; name a file, for example -e report=status.html"]


def plain(value: Any) -> Any:
    """`value` without Ansible's tags and lazy containers, as the plain types it stands for."""
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return bytes(value)
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return None if value is None else str(value)


def report(errors: list[str]) -> str:
    """One message, one line for each error."""
    count = "1 error" if len(errors) == 1 else f"{len(errors)} errors"
    return "\n".join([f"{count} found, no host was touched:", *errors])


def read_inventory(variables: Mapping[str, Any]) -> Inventory:
    """Groups, and the addresses of every host; the plan says whether a host matters."""
    groups: dict[str, list[str]] = plain(variables["groups"])
    names = dict.fromkeys(name for members in groups.values() for name in members)
    return Inventory(groups, {name: read_host(name, variables["hostvars"][name]) for name in names})


def read_host(name: str, found: Mapping[str, Any]) -> Host:
    """The addresses of one host, by the rule of the role's own defaults."""
    problems: list[str] = []
    address = read_variable(name, found, "app_address", problems)
    if address is None:
        address = read_variable(name, found, "ansible_host", problems) or name
    bind = read_variable(name, found, "app_bind", problems) or address
    return Host(name, str(address), str(bind), "; ".join(problems))


def read_variable(host: str, found: Mapping[str, Any], key: str, errors: list[str]) -> Any:
    """The host's variable `key`; None where it is not set or its template fails."""
    try:
        return plain(found[key]) if key in found else None
    except Exception as problem:  # whatever a template of the inventory raises
        reason = " ".join(str(problem).split())
        errors.append(f"{host}.{key}: cannot be made out ({reason}); mend it in the inventory")
        return None


def read_lab(
    names: Iterable[str], hostvars: Mapping[str, Any], errors: list[str]
) -> dict[str, tuple[str, int]]:
    """Host → where its SSH is published, for the disposable hosts of a lab."""
    lab = {}
    for name in names:
        where = read_variable(name, hostvars[name], "lab_ssh", errors)
        if where is not None:
            try:
                lab[name] = (str(where["address"]), int(where["port"]))
            except (KeyError, TypeError, ValueError):
                errors.append(f"{name}.lab_ssh: {where!r} is not {{address: …, port: …}}")
    return lab


def check_lab(lab: Mapping[str, tuple[str, int]]) -> list[str]:
    """One error for each host of a lab that is not booted; all tried at once.

    Where some hosts take a connection, one that does not has failed, as a host of any fleet may.
    """
    if not lab:
        return []
    with ThreadPoolExecutor(max_workers=min(32, len(lab))) as pool:
        if any(pool.map(answers_at, lab.values())):
            return []
    return [
        f"lab: {name} does not answer on {address}:{port}; {LAB_MEND}"
        for name, (address, port) in lab.items()
    ]


def answers_at(where: tuple[str, int]) -> bool:
    """Whether something accepts a connection at (address, port) within LAB_TIMEOUT."""
    try:
        with socket.create_connection(where, timeout=LAB_TIMEOUT):
            return True
    except OSError:
        return False
