"""An app's entry completed: laid over the team's defaults, over the role's, over the server's."""

import re
from dataclasses import dataclass
from typing import Any

from fleet.catalogue import Catalogue, Plain, Server
from fleet.reading import Layer, read_layer

BIND_OPTION = re.compile(r"(?:^|\s)(?:-b|--bind\b)")


@dataclass(slots=True)
class App:
    """An entry with everything filled in, and what it takes to say where a value came from."""

    spec: Plain
    bad: set[str]
    origin: dict[str, str]
    """Key → the path at which the inventory sets it."""

    def at(self, key: str) -> str:
        return self.origin.get(key, f"apps.{self.spec['name']}.{key}")


def complete(
    name: str, entry: object, defaults: Layer, catalogue: Catalogue, errors: list[str]
) -> App:
    """Lay the app's entry over the team's defaults over the role's."""
    own = read_layer(f"apps.{name}", entry, catalogue.options, errors)
    chosen = {**catalogue.defaults, **defaults.values, **own.values}["server"]
    server = None if "server" in own.bad else catalogue.servers.get(chosen)
    check_both(own, [server] if server else list(catalogue.servers.values()), errors)
    team = _resolve_aliases(defaults, server, catalogue, errors)
    mine = _resolve_aliases(own, server, catalogue, errors)
    spec = {"name": name, **_merge(_merge(catalogue.defaults, team.values), mine.values)}
    origin = {key: f"app_defaults.{key}" for key in team.values}
    origin |= {key: f"apps.{name}.{key}" for key in mine.values}
    app = App(spec, team.bad | mine.bad, origin)
    for layer, read in ((defaults, team), (own, mine)):
        for key, alias in _used_aliases(layer, server).items():
            if key in read.values and origin[key] == f"{layer.path}.{key}":
                origin[key] = f"{layer.path}.env.{alias}"
    _check_required(f"apps.{name}", spec, catalogue.options, app.bad, errors)
    if server:
        _check_settings(app, own, server, catalogue, errors)
    return app


def _used_aliases(layer: Layer, server: Server | None) -> dict[str, str]:
    """Key → the environment name that stands for it in this layer."""
    env = layer.values.get("env", {})
    return {key: name for name, key in server.aliases.items() if name in env} if server else {}


def check_both(layer: Layer, servers: list[Server], errors: list[str]) -> None:
    """Refuse a key and its environment name set at the same level."""
    for server in servers:
        for key, name in _used_aliases(layer, server).items():
            if key in layer.values:
                errors.append(
                    f"{layer.path}.{key}: set a second time as env.{name}; keep one of the two"
                )
                layer.bad.add(key)


def _resolve_aliases(
    layer: Layer, server: Server | None, catalogue: Catalogue, errors: list[str]
) -> Layer:
    """The layer with the server's own environment names turned into the keys they stand for."""
    values, env = dict(layer.values), dict(layer.values.get("env", {}))
    bad = set(layer.bad)
    first = [name for name in (server.aliases if server else ()) if name in env]
    for name in [*first, *(n for n in env if n in catalogue.aliases and n not in first)]:
        text = env.pop(name)
        key = server.aliases.get(name) if server else None
        if server is None or (key is None and layer.path == "app_defaults"):
            continue  # another app's server may read it
        if key is None:
            names = ", ".join(server.aliases) or "none"
            errors.append(
                f"{layer.path}.env.{name}: {server.name} does not read it; the names it reads in "
                f"place of keys are {names}"
            )
        elif key not in values:
            option = {key: catalogue.options[key]}
            found: list[str] = []
            read = read_layer(f"{layer.path}.env", {key: text}, option, found)
            errors.extend(e.replace(f"env.{key}:", f"env.{name}:", 1) for e in found)
            values |= read.values
            bad |= read.bad
    if "env" in values:
        values["env"] = env
    return Layer(layer.path, values, bad)


def _check_required(
    path: str, spec: Plain, options: Plain, bad: set[str], errors: list[str]
) -> None:
    for key, option in options.items():
        if key in bad:
            continue
        if option.get("required") and key not in spec:
            prose = re.sub(r"C\((.*?)\)", r"\1", option["description"][0])
            errors.append(f"{path}.{key}: is missing; it says: {prose}")
        elif isinstance(spec.get(key), dict):
            _check_required(f"{path}.{key}", spec[key], option.get("options", {}), set(), errors)


def _check_settings(
    app: App, own: Layer, server: Server, catalogue: Catalogue, errors: list[str]
) -> None:
    """Fill in the server's own defaults, and refuse what the server has no use for."""
    for key in sorted(catalogue.settings - set(server.settings)):
        app.spec.pop(key, None)
        if key in own.values and key not in own.bad:
            having = [s.name for s in catalogue.servers.values() if key in s.settings]
            errors.append(
                f"{own.path}.{key}: {server.name} has no such setting; leave it out, or use "
                f"server: {' or '.join(having)}"
            )
    for key, setting in server.settings.items():
        if setting.default is not None:
            app.spec.setdefault(key, setting.default)
        value = app.spec.get(key)
        if value is not None and key not in app.bad and value < setting.minimum:
            errors.append(f"{app.at(key)}: {value} is below {setting.minimum}, the least there is")
        elif value is not None and key not in app.bad and value > (setting.maximum or value):
            errors.append(f"{app.at(key)}: {value} is above {setting.maximum}, the most there is")
    for name in sorted(set(app.spec["env"]) & set(server.fixed)):
        errors.append(f"{app.at('env')}.{name}: not to be set, {server.fixed[name]}")
    for word in app.spec["server_args"] if "server_args" not in app.bad else ():
        option = word.partition("=")[0]
        if option in server.fixed:
            errors.append(f"{app.at('server_args')}: {option}: {server.fixed[option]}; take it out")
    arguments = app.spec["env"].get("GUNICORN_CMD_ARGS", "")
    if "GUNICORN_CMD_ARGS" in app.spec["env"] and BIND_OPTION.search(arguments):
        errors.append(
            f"{own.path}.env.GUNICORN_CMD_ARGS: gunicorn does not bind here, systemd does; take "
            "--bind out and use the keys port and bind"
        )


def _merge(base: Plain, over: Plain) -> Plain:
    """`over` laid over `base`: dictionaries key by key, everything else as a whole."""
    merged: dict[str, Any] = {
        key: _merge(item, {}) if isinstance(item, dict) else item for key, item in base.items()
    }
    for key, item in over.items():
        below = merged.get(key)
        merged[key] = (
            _merge(below, item) if isinstance(below, dict) and isinstance(item, dict) else item
        )
    return merged
