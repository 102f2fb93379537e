"""The tree as the contract tests see it: its roles, its YAML, the variable names in it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import yaml

ROOT = Path(__file__).resolve().parents[2]
Plain = dict[str, Any]

# Keys whose values are expressions without braces.
BARE = {"when", "until", "changed_when", "failed_when", "that", "var", "loop_when"}


class Loader(yaml.SafeLoader):
    """Safe YAML that also reads Ansible's own tags (!vault, !unsafe) as plain text."""


Loader.add_multi_constructor("!", lambda loader, _tag, node: loader.construct_scalar(node))


def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader)


def roles() -> list[Path]:
    """Every role; a folder without any file in it is none."""
    found = [path for path in (ROOT / "roles").iterdir() if path.is_dir()]
    return sorted(path for path in found if any(p.is_file() for p in path.rglob("*")))


def role_name(role: Path) -> str:
    return role.name


def specs(role: Path) -> Plain:
    """Entry point → its options."""
    path = role / "meta" / "argument_specs.yml"
    found: Plain = (read(path) or {}).get("argument_specs", {}) if path.exists() else {}
    return {entry: spec.get("options", {}) for entry, spec in found.items()}


def options(role: Path) -> Plain:
    """Every public variable of the role → its option."""
    return {name: option for entry in specs(role).values() for name, option in entry.items()}


def defaults(role: Path) -> Plain:
    path = role / "defaults" / "main.yml"
    found: Plain = (read(path) or {}) if path.exists() else {}
    return found


def files(*patterns: str) -> list[Path]:
    """Files of the tree by glob, hidden folders and caches left out."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(
        path
        for path in found
        if not any(part.startswith((".", "__")) for part in path.relative_to(ROOT).parts)
    )


def pairs(node: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every key and value at any depth; an item of a list has the list's key."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key), value
            yield from pairs(value, str(key))
    elif isinstance(node, list):
        for value in node:
            if not isinstance(value, dict | list):
                yield above, value
            yield from pairs(value, above)


class _Anything(dict[str, Any]):
    """Filters and tests by any name, so that Jinja's parser accepts Ansible's."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> Any:
        return lambda *a, **k: ""

    def get(self, key: str, default: Any = None) -> Any:
        return self[key]


JINJA = jinja2.Environment(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
JINJA.filters = _Anything()
JINJA.tests = _Anything()


def names_in(text: str) -> set[str]:
    """The variables that a template reads and does not set itself."""
    return jinja2.meta.find_undeclared_variables(JINJA.parse(text))


def used(document: Any) -> set[str]:
    """The variables that a playbook, a task file or a variables file reads."""
    found: set[str] = set()
    for key, value in pairs(document):
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str):
                continue
            if "{{" in text or "{%" in text:
                found |= names_in(text)
            elif key in BARE:
                found |= names_in("{{ " + text + " }}")
    return found


def assigned(document: Any) -> set[str]:
    """The variables that a playbook or a task file hands on with `vars`."""
    return {
        str(name)
        for key, value in pairs(document)
        if key == "vars" and isinstance(value, dict)
        for name in value
    }


def kept(document: Any) -> set[str]:
    """The variables that a playbook or a task file makes for its own later tasks."""
    found: set[str] = set()
    for key, value in pairs(document):
        if key in {"register", "loop_var", "index_var"} and isinstance(value, str):
            found.add(value)
        elif key in {"set_fact", "ansible.builtin.set_fact"} and isinstance(value, dict):
            found |= {str(name) for name in value}
    return found - {"cacheable"}


def host_variables(node: Any) -> set[str]:
    """The variables that a YAML inventory sets on groups and hosts."""
    found: set[str] = set()
    if isinstance(node, dict):
        for name, group in node.items():
            if not isinstance(group, dict):
                continue
            found |= set(group.get("vars") or {})
            for host in (group.get("hosts") or {}).values():
                found |= set(host or {})
            found |= host_variables(group.get("children") or {}) if name else set()
    return found


def is_internal(name: str) -> bool:
    return re.match(r"__[a-z]", name) is not None
