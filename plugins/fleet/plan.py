"""Every app checked and completed, and the fleet they make together."""

import re
from collections.abc import Mapping
from pathlib import Path

from fleet.catalogue import Catalogue, Plain
from fleet.checks import check_entry, check_ports, check_sites, check_source, is_open, place
from fleet.commands import check_commands
from fleet.credentials import Reader, check_secrets
from fleet.entry import App, check_both, complete
from fleet.env_files import with_env_files
from fleet.hosts import Host, Inventory, check_balancers
from fleet.pools import check_pool, member_options
from fleet.reading import read_layer

APP_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")


def plan(
    apps: object,
    app_defaults: object,
    inventory: Inventory,
    catalogue: Catalogue,
    root: Path,
    read_secrets: Reader = lambda _: {},
) -> tuple[Plain, list[str]]:
    """The complete fleet, and every error that was found; the fleet is of use only without any.

    Secrets are judged, and are no part of the fleet.
    """
    errors: list[str] = []
    balancers = check_balancers(inventory, errors)
    below = with_env_files("app_defaults", app_defaults or {}, root, errors)
    defaults = read_layer("app_defaults", below, catalogue.options, errors)
    check_both(defaults, list(catalogue.servers.values()), errors)
    done: list[App] = []
    if not isinstance(apps, Mapping) or not apps:
        errors.append(
            "apps: the inventory has no app; add one, for example "
            "apps: {hello: {source: {path: apps/hello}, callable: 'main:wsgi_app'}}"
        )
        apps = {}
    for name, entry in apps.items():
        if not (isinstance(name, str) and APP_NAME.match(name)):
            errors.append(
                f"apps.{name}: not a name for an app; use at most 31 lower-case letters, digits "
                "and -, a letter first"
            )
            continue
        whole = with_env_files(f"apps.{name}", entry, root, errors)
        app = complete(name, whole, defaults, catalogue, errors)
        check_entry(app, catalogue, errors)
        check_source(app, root, errors)
        place(app, inventory, balancers, errors)
        check_commands(app, inventory, errors)
        check_pool(app, inventory, errors)
        done.append(app)
    check_sites(done, errors)
    check_ports(done, inventory, errors)
    check_secrets(done, [str(name) for name in apps], read_secrets, catalogue, errors)
    return _fleet(done, inventory, balancers, catalogue), list(dict.fromkeys(errors))


def cautions(fleet: Plain, catalogue: Catalogue) -> list[str]:
    """What works, and not as well as somebody may think."""
    return [
        f"apps.{name}.server: {spec['server']} takes no socket of systemd's and '{name}' has one "
        "host, so each change of it answers requests with an error until it is up again; add a "
        f"host, or use server: {_instead(spec['protocol'])}"
        for name, spec in fleet["apps"].items()
        if len(spec["hosts"]) == 1 and not catalogue.servers[spec["server"]].inherits
    ]


def _instead(protocol: str) -> str:
    return {"wsgi": "gunicorn", "asgi": "uvicorn"}[protocol]


def _fleet(
    apps: list[App], inventory: Inventory, balancers: list[Host], catalogue: Catalogue
) -> Plain:
    specs = {app.spec["name"]: app.spec for app in apps}
    by_host: dict[str, list[str]] = {}
    for name, spec in specs.items():
        for host in spec["hosts"]:
            by_host.setdefault(host, []).append(name)
    return {
        "load_balancers": [{"name": host.name, "address": host.address} for host in balancers],
        "apps": specs,
        "by_host": by_host,
        "sites": [_site(spec, inventory, catalogue) for spec in specs.values()],
    }


def _site(spec: Plain, inventory: Inventory, catalogue: Catalogue) -> Plain:
    """What the role nginx takes as one site."""
    hosts = [inventory.hosts[name] for name in spec["hosts"] if name in inventory.hosts]
    server = catalogue.servers.get(spec["server"])
    return {
        "name": spec["name"],
        "domains": spec["domains"],
        "default_site": spec["default_site"],
        "port": spec["port"],
        "health": {key: spec["health"][key] for key in ("path", "status", "body")},
        "sticky": spec.get("sticky", ""),
        "upstream_protocol": server.upstream_protocol if server else "http",
        "members": [
            {
                "name": host.name,
                "address": _reached(spec, host),
                "port": spec["port"],
                **member_options(spec, host.name),
            }
            for host in hosts
        ],
    }


def _reached(spec: Plain, host: Host) -> str:
    """Where balancers find the app: the address it is bound to, or the host's own."""
    bound = spec.get("bind")
    return host.address if bound is None or is_open(bound) else str(bound)
