"""Every variable that an inventory, a playbook or a scenario names is one that a spec knows."""

from pathlib import Path

import pytest
from tree import (
    ROOT,
    assigned,
    files,
    host_variables,
    is_internal,
    kept,
    names_in,
    options,
    read,
    role_name,
    roles,
    used,
)

# What belongs to the inventory as a whole, not to one role.
INVENTORY = {
    "app_address",
    "app_bind",
    "app_defaults",
    "app_secrets",
    "apps",
    # Of the lab's inventories: the name of a lab, and what follows from it for each host.
    "lab_checkout",
    "lab_distribution",
    "lab_folder",
    "lab_id",
    "lab_is_balancer",
    "lab_name",
    "lab_root",
    "lab_slot",
    "lab_ssh",
}
# What people pass on the command line. Never a variable inside a role: it would win over all.
COMMAND_LINE = {
    *("add", "app", "host", "message", "release", "remove", "report", "state", "why"),
    *("deploy_batch", "drain_timeout", "lock_steal", "lock_wait", "reboot_timeout"),
    "retry_after",
    "skip_unreachable",
}
# What Ansible itself provides, beside ansible_*.
MAGIC = {
    "environment",
    "group_names",
    "groups",
    "hostvars",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "item",
    "lookup",
    "now",
    "omit",
    "play_hosts",
    "playbook_dir",
    "q",
    "query",
    "role_name",
    "role_path",
    "undef",
}
# Handed on by looping over its values, which are not worked out anew wherever a role names it.
LOOPED = {"app_spec"}
PUBLIC = {name for role in roles() for name in options(role)}


def known(name: str, *more: set[str]) -> bool:
    return (
        is_internal(name)
        or name.startswith("ansible_")
        or any(name in group for group in (PUBLIC, INVENTORY, MAGIC, *more))
    )


def strangers(names: set[str], *more: set[str]) -> list[str]:
    return sorted(name for name in names if not known(name, *more))


def is_of_a_run(name: str) -> bool:
    """How the present run stands: noted by its plays, worked out in playbooks/vars/run.yml."""
    return name.startswith("run_")


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


VARIABLES = files(
    "inventories/*/*_vars/**/*.yml",
    "inventories/*_vars/**/*.yml",
    "molecule/**/*_vars/**/*.yml",
    "molecule/**/vars/**/*.yml",
)
INVENTORIES = files(
    "inventories/**/*.yml", "molecule/**/inventory/**/*.yml", "molecule/**/hosts.yml"
)
INVENTORIES = [path for path in INVENTORIES if path not in VARIABLES]
PLAYBOOKS = [
    path
    for path in files("*.yml", "playbooks/**/*.yml", "molecule/**/*.yml")
    if path not in {*VARIABLES, *INVENTORIES} and isinstance(read(path), list)
]

STEPS = files("playbooks/steps/*.yml")


@pytest.mark.parametrize("path", VARIABLES, ids=place)
def test_names_in_variables_files(path: Path) -> None:
    content = read(path) or {}
    assert strangers(set(content)) == [], "set, and no spec knows it"
    assert strangers(used(content)) == [], "used, and no spec knows it"


@pytest.mark.parametrize("path", INVENTORIES, ids=place)
def test_names_in_inventories(path: Path) -> None:
    content = read(path) or {}
    assert strangers(host_variables(content)) == [], "set, and no spec knows it"
    assert strangers(used(content)) == [], "used, and no spec knows it"


@pytest.mark.parametrize("path", PLAYBOOKS, ids=place)
def test_names_in_playbooks(path: Path) -> None:
    """What a playbook hands on, a spec knows; what it reads, a spec knows or it made itself."""
    content = read(path)
    ours = {name for name in assigned(content) | used(content) if is_of_a_run(name)}
    assert strangers(assigned(content), ours) == [], "set, and no spec knows it"
    mine = kept(content)
    made = ours | set().union(*(kept(read(step)) for step in STEPS))
    assert strangers(used(content), COMMAND_LINE, made) == [], "used, and no spec knows it"
    taken = (PUBLIC | INVENTORY | COMMAND_LINE) - LOOPED
    assert sorted(mine & taken) == [], "made, and it has a meaning"


@pytest.mark.parametrize("role", roles(), ids=role_name)
def test_names_in_roles(role: Path) -> None:
    """A role reads its own variables and no other role's; what it makes itself is internal."""
    own = set(options(role))
    documents = [read(p) for p in files(f"roles/{role.name}/[tdhv]*/**/*.yml")]
    names: set[str] = set()
    for document in documents:
        names |= used(document) | kept(document)
    for template in files(f"roles/{role.name}/templates/**/*.j2"):
        names |= names_in(template.read_text(encoding="utf-8"))
    found = sorted(
        name
        for name in names - own - (MAGIC - {"groups", "hostvars"})
        if not (is_internal(name) or name.startswith("ansible_"))
    )
    assert found == []


@pytest.mark.parametrize("role", roles(), ids=role_name)
def test_internal_names_in_roles(role: Path) -> None:
    """What a role registers, sets or keeps in vars/ is `__<role>_…`."""
    prefix = f"__{role.name}_"
    names: set[str] = set()
    for path in files(f"roles/{role.name}/tasks/**/*.yml", f"roles/{role.name}/handlers/**/*.yml"):
        names |= kept(read(path) or [])
        names |= assigned(read(path) or [])
    for path in files(f"roles/{role.name}/vars/**/*.yml"):
        names |= set(read(path) or {})
    allowed = {n for n in names if n.startswith((prefix, "ansible_")) or n in PUBLIC}
    assert sorted(names - allowed) == []
