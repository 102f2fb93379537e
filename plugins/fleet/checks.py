"""What can be wrong with a completed entry, by itself and beside the others."""

import ast
import re
from itertools import combinations
from pathlib import Path

from fleet.catalogue import Catalogue, Plain, Server
from fleet.entry import App
from fleet.hosts import Host, Inventory, check_member, ip, overlap, resolve
from fleet.source import (
    CALLABLE,
    call_problem,
    check_folder,
    check_module,
    check_package,
    protocol_hint,
    requirement_problem,
)

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DIRECTIVE = re.compile(r"[A-Z][A-Za-z0-9]+\Z")
OURS = {
    "ExecStart": "the server's command follows the keys server, callable and server_args",
    "Group": "each app runs as a user of its own name",
    "KillMode": "a release could not be replaced without a loss",
    "Sockets": "the app's socket follows the keys port and bind",
    "SyslogIdentifier": "its messages are found by the app's name",
    "Type": "it follows the key server",
    "User": "each app runs as a user of its own name",
    "WorkingDirectory": "it follows the key working_dir",
}
"""Directives of the unit that follow from other keys, and which."""
SYSTEM_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?(=[\w.+:~-]+)?\Z")
"""Debian Policy, section 5.6.1, with the architecture and version that apt takes."""
DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*\Z")


def check_entry(app: App, catalogue: Catalogue, errors: list[str]) -> None:
    """The keys that can be judged from the entry alone."""
    spec, path = app.spec, f"apps.{app.spec['name']}"
    server = catalogue.servers.get(spec["server"]) if "server" not in app.bad else None
    target = spec.get("callable") if "callable" not in app.bad else None
    if target is not None and not CALLABLE.match(target):
        errors.append(
            f"{app.at('callable')}: '{target}' is not module:attribute; write it as, for "
            "example, main:app, or main:create_app() for a factory"
        )
        app.bad.add("callable")
        target = None
    elif target is not None and (problem := call_problem(target)):
        errors.append(
            f"{app.at('callable')}: '{target}': {problem}; a factory takes literals, such as "
            'main:create_app("production", debug=False)'
        )
        app.bad.add("callable")
        target = None
    if server and "protocol" not in app.bad:
        _check_protocol(app, server, target, catalogue, errors)
    port = spec["port"]
    if "port" not in app.bad and not 1 <= port <= 65535:
        errors.append(f"{app.at('port')}: {port} is not a port; use one from 1024 to 65535")
    elif "port" not in app.bad and port < 1024:
        errors.append(
            f"{app.at('port')}: {port} is for root, and apps never run as root; use one from "
            "1024 to 65535 (the balancers answer on 80 and 443)"
        )
    if "domains" not in app.bad:
        domains = [_domain(app, name, errors) for name in spec["domains"]]
        spec["domains"] = list(dict.fromkeys(domains))
    elif not spec["domains"]:
        spec["domains"] = ["unreadable.invalid"]  # there are some, so it is no default site
    wanted = spec.get("default_site")
    if wanted is False and not spec["domains"] and "default_site" not in app.bad:
        errors.append(
            f"{path}.domains: none are named and default_site is false, so nothing would reach "
            f"'{spec['name']}'; name its domains"
        )
    if "health" not in app.bad:
        _check_health(app, errors)
    for package in spec["packages"] if "packages" not in app.bad else ():
        if not SYSTEM_PACKAGE.match(package):
            errors.append(
                f"{app.at('packages')}: '{package}' is not the name of a system package; write it "
                "as apt does, such as libpq5 (packages of Python go into requirements)"
            )
    if server and "server_config" in spec and not server.own_config:
        having = [s.name for s in catalogue.servers.values() if s.own_config]
        errors.append(
            f"{app.at('server_config')}: {server.name} reads no configuration file; use env or "
            f"server_args, or server: {' or '.join(having)}"
        )
    elif server and "server_config" in spec and "server_config" not in app.bad:
        _check_own_config(app, server, errors)
    if "unit" not in app.bad:
        _check_unit(app, errors)
    for word in spec["server_args"] if "server_args" not in app.bad else ():
        if not fits(word):
            errors.append(f"{app.at('server_args')}: {word!r} is no text on one line; mend it")
    spec["default_site"] = bool(wanted) if wanted is not None else not spec["domains"]


def _check_protocol(
    app: App, server: Server, target: str | None, catalogue: Catalogue, errors: list[str]
) -> None:
    spec = app.spec
    explicit = spec.get("protocol")
    hint = protocol_hint(target) if target else None
    speaks = " and ".join(p.upper() for p in server.protocols)
    asked = explicit or hint
    spec["protocol"] = asked or server.protocols[0]
    if asked is None or asked in server.protocols:
        return
    *more, last = catalogue.speaking(asked)
    others = f"{', '.join(more)} or {last}"
    instead = server.protocols[0].upper()
    if explicit:
        errors.append(
            f"{app.at('protocol')}: '{asked}' is not spoken by {server.name}, which speaks "
            f"{speaks}; use server: {others}, or name the {instead} callable"
        )
    else:
        errors.append(
            f"{app.at('callable')}: '{target}' is {asked.upper()} by its name and {server.name} "
            f"speaks {speaks}; use server: {others}, or name the {instead} callable (if it is "
            f"one, say protocol: {server.protocols[0]})"
        )


def _domain(app: App, name: str, errors: list[str]) -> str:
    """The domain as it is compared: lower case, no dot at the end."""
    short = name.lower().removesuffix(".")
    if not DOMAIN.match(short):
        errors.append(
            f"{app.at('domains')}: '{name}' is not a host name; write it without scheme, port, "
            "path or *, and international ones in their xn-- form"
        )
    return short


def fits(text: str) -> bool:
    """Whether it is one line to systemd, and stays one."""
    return text.isprintable() and not text.endswith("\\")


def _check_own_config(app: App, server: Server, errors: list[str]) -> None:
    if server.own_config.endswith(".py"):
        try:
            ast.parse(app.spec["server_config"])
        except (SyntaxError, ValueError) as problem:
            errors.append(
                f"{app.at('server_config')}: is no Python, which {server.name} reads: {problem}"
            )


def _check_unit(app: App, errors: list[str]) -> None:
    for name, value in app.spec["unit"].items():
        at = f"{app.at('unit')}.{name}"
        values = value if isinstance(value, list) else [value]
        if not DIRECTIVE.match(str(name)):
            errors.append(
                f"{at}: not the name of a directive; write it as systemd does, such as MemoryMax"
            )
        elif name in OURS:
            errors.append(f"{at}: not to be set, {OURS[name]}")
        elif not values or any(isinstance(v, dict | list) or not fits(str(v)) for v in values):
            errors.append(f"{at}: {value!r} is no text on one line; use one, or a list of them")


def _check_health(app: App, errors: list[str]) -> None:
    health, path = app.spec["health"], app.at("health")
    if not health["path"].startswith("/") or re.search(r"\s", health["path"]):
        errors.append(f"{path}.path: '{health['path']}' is not a path; it starts with /")
    for status in health["status"]:
        if not 100 <= status <= 599:
            errors.append(f"{path}.status: {status} is not an HTTP status; use 100 to 599")
    if health["deadline"] < 1:
        errors.append(f"{path}.deadline: {health['deadline']} is below 1 second")


def check_source(app: App, root: Path, errors: list[str]) -> None:
    """Folders made absolute and looked at, and the callable's module looked for in them."""
    if "source" in app.bad or "source" not in app.spec:
        return
    source, at = app.spec["source"], app.at("source")
    if source.get("wheels") == "":
        errors.append(f"{at}.wheels: is empty; name the folder, such as wheels/{app.spec['name']}")
    if "wheels" in source:
        source["wheels"] = str((root / Path(source["wheels"]).expanduser()).absolute())
    source["distributions"] = _distributions(source, at, root, errors)
    for line in source["requirements"]:
        if problem := requirement_problem(line):
            errors.append(f"{at}.requirements: {line!r}: {problem}")
    brought = bool(source["requirements"] or source["distributions"])
    if "path" not in source and "git" not in source and not brought:
        errors.append(
            f"{at}: names neither path, a folder, nor git, a repository, nor requirements or "
            "distributions; name one"
        )
        return
    if "version" in source and "git" not in source:
        errors.append(f"{at}.version: a folder has none; name a repository with git")
    below = Path(app.spec["working_dir"]) if "working_dir" not in app.bad else Path()
    if below.is_absolute() or ".." in below.parts or not str(below).isprintable():
        errors.append(f"{app.at('working_dir')}: '{below}' leaves the source; name a folder in it")
        return
    packages = [(root / Path(p).expanduser()).absolute() for p in source["packages"]]
    source["packages"] = [str(p) for p in packages]
    if "git" in source:
        _check_repository(source, at, root, errors)
        for package in packages:
            check_package(f"{at}.packages", package, errors)
        return
    for package in packages:
        check_package(f"{at}.packages", package, errors)
    if "path" not in source:
        if below != Path():
            errors.append(f"{app.at('working_dir')}: the source has no folder; leave it out")
        return
    folder = (root / Path(source["path"]).expanduser()).absolute()
    source["path"] = str(folder)
    if (
        check_folder(f"{at}.path", folder, errors)
        and "callable" not in app.bad
        and "callable" in app.spec
    ):
        inside = folder / below
        if not inside.is_dir():
            errors.append(
                f"{app.at('working_dir')}: '{below}' is no folder in {folder}; name one in it"
            )
        else:
            target = app.spec["callable"]
            check_module(app.at("callable"), target, inside, packages, errors, brought)


def _distributions(source: Plain, at: str, root: Path, errors: list[str]) -> list[str]:
    """The files of wheels and sdists, absolute; each has to be there."""
    found = [(root / Path(file).expanduser()).absolute() for file in source["distributions"]]
    for file in found:
        if not file.name.endswith((".whl", ".tar.gz")):
            errors.append(
                f"{at}.distributions: {file} is neither a wheel (.whl) nor an sdist (.tar.gz)"
            )
        elif not file.is_file():
            errors.append(f"{at}.distributions: there is no file {file}; mend the path or build it")
    return [str(file) for file in found]


def _check_repository(source: Plain, at: str, root: Path, errors: list[str]) -> None:
    """What can be said without asking the repository: how it and its parts are written."""
    address, below = source["git"], Path(source.get("path", ""))
    if not address or address.startswith("-") or re.search(r"\s", address):
        errors.append(f"{at}.git: '{address}' is not the address of a repository")
    elif not re.match(r"\w+://|[\w.@-]+:", address):
        folder = (root / Path(address).expanduser()).absolute()
        source["git"] = str(folder)
        if not folder.is_dir():
            errors.append(
                f"{at}.git: there is no folder {folder}; mend the path or write an address"
            )
    if str(source.get("version", "")).startswith("-"):
        errors.append(f"{at}.version: '{source['version']}' is no tag, branch or commit")
    if below.is_absolute() or ".." in below.parts:
        errors.append(f"{at}.path: '{below}' leaves the repository; name a folder in it")


def place(app: App, inventory: Inventory, balancers: list[Host], errors: list[str]) -> None:
    """Turn `hosts` into host names, and see that each can serve the app."""
    spec = app.spec
    found = [] if "hosts" in app.bad else resolve(app.at("hosts"), spec["hosts"], inventory, errors)
    spec["hosts"] = found
    for name in found:
        if name in inventory.hosts and "bind" not in app.bad:
            host = inventory.hosts[name]
            check_member(app.spec["name"], spec.get("bind"), host, balancers, errors)
    _check_addresses(app, inventory, errors)


def _check_addresses(app: App, inventory: Inventory, errors: list[str]) -> None:
    """Balancers tell hosts apart by their addresses, so no two may share one."""
    spec = app.spec
    known: dict[str, str] = {}
    hosts = [inventory.hosts[name] for name in spec["hosts"] if name in inventory.hosts]
    bind = None if "bind" in app.bad else spec.get("bind")
    for host in hosts:
        first = known.setdefault(host.address, host.name)
        if first != host.name and not host.problem:
            errors.append(
                f"{host.name}.app_address: '{host.address}' is the address of {first} too; set "
                "app_address on each host to the one by which the balancers reach it"
            )
    if bind and len(hosts) > 1 and not is_open(bind):
        errors.append(
            f"{app.at('bind')}: '{bind}' cannot be an address of {hosts[0].name} and "
            f"{hosts[1].name} both; leave it out, or set app_bind on each host"
        )


def check_sites(apps: list[App], errors: list[str]) -> None:
    """Each domain belongs to one app, and one app at most is the default site."""
    default = [app.spec["name"] for app in apps if app.spec["default_site"]]
    for name in default[1:]:
        errors.append(
            f"apps.{name}.domains: '{default[0]}' is the default site already, and there is one "
            f"at most; name the domains of '{name}', and set default_site on one app only"
        )
    owners: dict[str, str] = {}
    for app in apps:
        name = app.spec["name"]
        if "domains" in app.bad:
            continue
        for domain in app.spec["domains"]:
            owner = owners.setdefault(domain, name)
            if owner != name:
                errors.append(
                    f"apps.{name}.domains: '{domain}' belongs to app '{owner}' already; a domain "
                    "leads to one app"
                )


def check_ports(apps: list[App], inventory: Inventory, errors: list[str]) -> None:
    """No two apps on one port of one host."""
    for one, other in combinations(apps, 2):
        if {"port", "bind", "hosts"} & (one.bad | other.bad):
            continue
        if one.spec["port"] != other.spec["port"]:
            continue
        shared = [
            name
            for name in one.spec["hosts"]
            if name in other.spec["hosts"]
            and (host := inventory.hosts.get(name))
            and overlap(one.spec.get("bind", host.bind), other.spec.get("bind", host.bind))
        ]
        if shared:
            taken = {app.spec["port"] for app in apps}
            free = next(p for p in range(8000, 65536) if p not in taken)
            errors.append(
                f"{other.at('port')}: app '{other.spec['name']}' has port {other.spec['port']} of "
                f"{', '.join(shared)}, and so has app '{one.spec['name']}'; give one of them "
                f"another, for example port: {free}"
            )


def is_open(bind: str) -> bool:
    address = ip(bind)
    return address is None or address.is_unspecified or address.is_loopback
