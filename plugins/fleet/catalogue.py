"""What the roles say about an app's entry: its keys, their defaults, and the servers."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

Plain = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the entry that the server knows, and the environment name it goes by."""

    env: str
    default: int | None
    """None where the server or the host decides."""
    minimum: int
    also: str | None = None
    """Another environment name for it, of which `env` wins."""
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """One file of roles/app/servers, as far as the preflight needs it."""

    name: str
    protocols: tuple[str, ...]
    settings: dict[str, Setting]
    bind: dict[str, str]
    """`port` and `bind` → the environment name that stands for it."""
    upstream_protocol: str = "http"
    """What balancers speak to it."""
    inherits: bool = True
    """Whether it takes its listening socket from systemd."""
    own_config: str = ""
    """The name of the operator's own configuration file, empty where it reads none."""
    fixed: dict[str, str] = field(default_factory=dict)
    """Option or environment name that no entry may set → why not."""

    @property
    def aliases(self) -> dict[str, str]:
        """Environment name → key of the entry."""
        names = {setting.env: key for key, setting in self.settings.items()}
        names |= {name: key for key, name in self.bind.items()}
        return names | {s.also: key for key, s in self.settings.items() if s.also}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything the preflight takes from the tree rather than from the inventory."""

    options: Plain
    """Key of an entry → its option in the role's argument specification."""
    defaults: Plain
    servers: dict[str, Server] = field(default_factory=dict)

    @property
    def settings(self) -> set[str]:
        """The keys that some server has, and another may lack."""
        return {key for server in self.servers.values() for key in server.settings}

    @property
    def aliases(self) -> set[str]:
        """Every environment name that stands for a key on some server."""
        return {name for server in self.servers.values() for name in server.aliases}

    def speaking(self, protocol: str) -> list[str]:
        """The names of the servers that speak `protocol`."""
        return [s.name for s in self.servers.values() if protocol in s.protocols]


def load(root: Path) -> Catalogue:
    """Read the catalogue from the project's tree at `root`."""
    role = root / "roles" / "app"
    specs = _yaml(role / "meta" / "argument_specs.yml")["argument_specs"]
    options = dict(specs["stage"]["options"]["app_spec"]["options"])
    del options["name"]  # filled in by the playbook, nobody's to write
    defaults = _yaml(role / "defaults" / "main.yml")["app_spec_defaults"]
    servers = {path.stem: _server(path) for path in _in_order(role)}
    return Catalogue(options, defaults, servers)


def _in_order(role: Path) -> list[Path]:
    return sorted(role.glob("servers/*.yml"), key=lambda path: path.stem)


@cache
def read_server(path: Path) -> Plain:
    """A server's data, with what it takes from the one it is based on. Nobody's to change."""
    own = _yaml(path)
    base = read_server(path.with_stem(own["based_on"])) if "based_on" in own else {}
    merged = base | own
    merged["files"] = merged.get("files", [])
    for key in ("settings", "environment"):
        merged[key] = {**base.get(key, {}), **own.get(key, {})}
    merged["settings"] = {key: s for key, s in merged["settings"].items() if s is not None}
    return merged


def _server(path: Path) -> Server:
    data = read_server(path)
    settings = {
        key: Setting(
            s["env"],
            default if isinstance(default := s.get("default"), int) else None,
            s["minimum"],
            s.get("also"),
            s.get("maximum"),
        )
        for key, s in data["settings"].items()
    }
    return Server(
        path.stem,
        tuple(data["protocols"]),
        settings,
        data["bind"],
        data.get("upstream_protocol", "http"),
        data["socket"]["inherit"],
        data.get("own_config", {}).get("file", ""),
        data.get("fixed", {}),
    )


def _yaml(path: Path) -> Plain:
    # libyaml, where Python has it: a run reads these files once for each of an app's tasks.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return cast(Plain, yaml.load(path.read_text(encoding="utf-8"), Loader=loader))
