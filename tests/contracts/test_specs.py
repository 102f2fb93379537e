"""Prose in meta/argument_specs.yml and values in defaults/main.yml say the same."""

from pathlib import Path
from typing import Any

import pytest
from tree import Plain, defaults, options, role_name, roles, specs

every_role = pytest.mark.parametrize("role", roles(), ids=role_name)


def templated(value: Any) -> bool:
    return "{{" in str(value)


@every_role
def test_role_has_a_spec(role: Path) -> None:
    assert specs(role), f"roles/{role.name}/meta/argument_specs.yml describes no entry point"


@every_role
def test_every_variable_carries_the_roles_name(role: Path) -> None:
    names = options(role).keys() | defaults(role).keys()
    assert sorted(n for n in names if not n.startswith(f"{role.name}_")) == []


@every_role
def test_every_default_is_described(role: Path) -> None:
    assert sorted(defaults(role).keys() - options(role).keys()) == []


@every_role
def test_every_option_has_a_value(role: Path) -> None:
    """A variable is required, or the role's defaults give it one."""
    without = [
        name
        for name, option in options(role).items()
        if not option.get("required") and name not in defaults(role)
    ]
    assert without == []


@every_role
def test_defaults_of_the_spec_are_the_values(role: Path) -> None:
    """Each plain value stands in the spec too; a template, which depends on the host, does not."""
    values = defaults(role)
    wanted = {name: value for name, value in values.items() if not templated(value)}
    told = {n: o["default"] for n, o in options(role).items() if "default" in o}
    assert told == wanted


@every_role
def test_no_required_variable_has_a_default(role: Path) -> None:
    both = [n for n, o in options(role).items() if o.get("required") and n in defaults(role)]
    assert both == []


@every_role
def test_values_have_the_type_of_the_spec(role: Path) -> None:
    kinds = {"bool": bool, "dict": dict, "float": float, "int": int, "list": list, "str": str}
    wrong = [
        name
        for name, value in defaults(role).items()
        if (kind := kinds.get(options(role).get(name, {}).get("type", "str")))
        and not templated(value)
        and type(value) is not kind
    ]
    assert wrong == []


def inner_defaults(inner: Plain) -> Plain:
    """What the options inside a dictionary say its defaults are."""
    result = {}
    for name, option in inner.items():
        below = inner_defaults(option.get("options", {}))
        if below or "default" in option:
            result[name] = below or option["default"]
    return result


@every_role
def test_defaults_inside_a_dictionary_agree(role: Path) -> None:
    """`x_defaults` holds what the options inside `x` say."""
    for name, value in defaults(role).items():
        option = options(role).get(name.removesuffix("_defaults"), {})
        if name.endswith("_defaults") and "options" in option:
            assert value == inner_defaults(option["options"])


def undescribed(inner: Plain, above: str = "") -> list[str]:
    found = []
    for name, option in inner.items():
        if not option.get("description"):
            found.append(above + name)
        found += undescribed(option.get("options", {}), f"{above}{name}.")
    return found


@every_role
def test_every_option_has_prose(role: Path) -> None:
    assert undescribed(options(role)) == []


@every_role
def test_entry_points_agree_on_what_they_share(role: Path) -> None:
    """One name has one meaning, whichever entry point takes it."""
    for entry in specs(role).values():
        for name, option in entry.items():
            assert option == options(role)[name]
