"""Read one layer of an app's entry: unknown keys, types, choices, the environment."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from fleet.catalogue import Plain

KINDS = {
    "bool": "true or false",
    "dict": "a dictionary",
    "int": "a whole number",
    "list": "a list",
    "str": "text",
}
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
RESERVED_ENV = {
    "APP_CALLABLE": "it is set to the key callable",
    "APP_NAME": "it is set to the app's name",
    "APP_PROTOCOL": "it is set to the key protocol",
    "APP_RELEASE": "it is set to the release's id",
    "CREDENTIALS_DIRECTORY": "systemd sets it",
    "FORWARDED_ALLOW_IPS": "it is set to the addresses of the load balancers",
    "LISTEN_FDNAMES": "systemd sets it",
    "LISTEN_FDS": "systemd sets it",
    "LISTEN_PID": "systemd sets it",
    "NOTIFY_SOCKET": "systemd sets it",
}


@dataclass(slots=True)
class Layer:
    """What one place of the inventory says about an app, as far as it could be read."""

    path: str
    """Where it stands, for messages: `apps.shop` or `app_defaults`."""
    values: Plain = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    """Top-level keys that were refused already, so that nothing more is said about them."""


def suggest(word: object, known: Iterable[str]) -> str:
    """A question to add to a message, or nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def read_layer(path: str, value: object, options: Plain, errors: list[str]) -> Layer:
    """Read the entry `value` that stands at `path`; what is wrong with it goes to `errors`."""
    layer = Layer(path)
    if not isinstance(value, Mapping):
        errors.append(f"{path}: {_show(value)} is not a dictionary of an app's keys")
        layer.bad.update(options)
        return layer
    for key, item in value.items():
        before = len(errors)
        read = _read_env if key == "env" else _read
        result = _known(path, key, options, errors) and read(
            f"{path}.{key}", item, options[key], errors
        )
        if len(errors) > before:
            layer.bad.add(str(key))
        if key in options and (len(errors) == before or isinstance(result, dict)):
            layer.values[key] = result
    return layer


def _known(path: str, key: object, options: Plain, errors: list[str]) -> bool:
    if key in options:
        return True
    known = ", ".join(options)
    errors.append(f"{path}.{key}: no such key{suggest(key, options)}; the keys are {known}")
    return False


def _read(path: str, value: Any, option: Plain, errors: list[str]) -> Any:
    """The value in the type that `option` names, or None with the reason in `errors`."""
    kind = option.get("type", "str")
    if value is None:
        errors.append(f"{path}: is empty; give it a value or leave the key out")
    elif kind == "raw":
        return value
    elif kind == "dict":
        return _read_dict(path, value, option, errors)
    elif kind == "list" and isinstance(value, list):
        element = {"type": option.get("elements", "str")}
        return [_read(f"{path}[{i}]", item, element, errors) for i, item in enumerate(value)]
    elif _refused_by_yaml(kind, value):
        hint = ""
        if isinstance(value, bool):
            hint = "; YAML reads an unquoted yes, no, on and off so: put it in quotes"
        elif kind == "str" and isinstance(value, int | float):
            hint = "; put it in quotes"
        errors.append(f"{path}: {_show(value)} is not {KINDS[kind]}{hint if kind == 'str' else ''}")
    else:
        return _convert(path, value, option, errors)
    return None


def _refused_by_yaml(kind: str, value: object) -> bool:
    """Whether Ansible would convert `value` to `kind` although nobody can have meant it."""
    if kind == "str":
        return not isinstance(value, str)
    if kind == "list":
        return not isinstance(value, str) or "," in value
    return isinstance(value, bool) and kind != "bool"


def _convert(path: str, value: object, option: Plain, errors: list[str]) -> Any:
    """Let Ansible judge a single value, and say the outcome in our words."""
    rule = {key: option[key] for key in ("type", "elements", "choices") if key in option}
    result = ArgumentSpecValidator({"value": rule}).validate({"value": value})
    if not result.error_messages:
        return result.validated_parameters["value"]
    choices = option.get("choices")
    if choices:
        errors.append(
            f"{path}: {_show(value)} is not one of {', '.join(choices)}{suggest(value, choices)}"
        )
    else:
        errors.append(f"{path}: {_show(value)} is not {KINDS[option['type']]}")
    return None


def _read_dict(path: str, value: object, option: Plain, errors: list[str]) -> Plain | None:
    if not isinstance(value, Mapping):
        errors.append(f"{path}: {_show(value)} is not a dictionary{_keys(option)}")
        return None
    if "options" not in option:
        return dict(value)  # by host; fleet.pools judges it
    options = option["options"]
    result = {}
    for key, item in value.items():
        if _known(path, key, options, errors):
            before = len(errors)
            read = _read(f"{path}.{key}", item, options[key], errors)
            if len(errors) == before:
                result[key] = read
    return result


def _keys(option: Plain) -> str:
    return f" with the keys {', '.join(option['options'])}" if "options" in option else ""


def _read_env(path: str, value: object, option: Plain, errors: list[str]) -> Plain | None:
    """Names and values of the environment, each value as the text the process will see."""
    if not isinstance(value, Mapping):
        return _read_dict(path, value, option, errors)
    result = {}
    for name, item in value.items():
        here = f"{path}.{name}"
        if not (isinstance(name, str) and ENV_NAME.match(name)):
            errors.append(f"{here}: not a name for the environment; use letters, digits and _")
        elif name in RESERVED_ENV:
            errors.append(f"{here}: reserved, {RESERVED_ENV[name]}; take another name")
        elif item is None:
            errors.append(f"{here}: is empty; give it a value, or '' where none is meant")
        elif isinstance(item, bool):
            result[name] = "true" if item else "false"
        elif not isinstance(item, str | int | float):
            errors.append(f"{here}: {_show(item)} is not a single value; write it as one text")
        elif "\0" in str(item):
            errors.append(f"{here}: contains a NUL byte, which no environment can carry")
        else:
            result[name] = str(item)
    return result


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
