"""The hosts an app runs on, and the addresses they go by."""

import ipaddress
from dataclasses import dataclass, field

from fleet.reading import suggest

BALANCERS = "load_balancers"


@dataclass(frozen=True, slots=True)
class Host:
    """A host of the inventory: the address balancers know it by, and what its apps listen on."""

    name: str
    address: str
    bind: str
    problem: str = ""
    """Why its addresses could not be made out, as a message; nothing where they could."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """The inventory as data; hosts of no group of ours may be left out of `hosts`."""

    groups: dict[str, list[str]] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)


def ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address `text` is, or None."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def resolve(path: str, wanted: object, inventory: Inventory, errors: list[str]) -> list[str]:
    """The hosts that `wanted` (a group, a host, or a list of both) names, each once."""
    names = wanted if isinstance(wanted, list) else [wanted]
    found: dict[str, None] = {}
    every = inventory.groups.get("all", list(inventory.hosts))
    for name in names:
        if not isinstance(name, str):
            errors.append(f"{path}: {name!r} is not the name of a group or a host")
        elif name in inventory.groups:
            members = inventory.groups[name]
            if not members:
                errors.append(f"{path}: group '{name}' has no host; add one to the inventory")
            found |= dict.fromkeys(members)
        elif name in every:
            found[name] = None
        else:
            known = [*(g for g, m in inventory.groups.items() if m), *every]
            errors.append(
                f"{path}: the inventory has no group or host '{name}'{suggest(name, known)}; "
                "name a group, a host, or a list of both"
            )
    if names == []:
        errors.append(f"{path}: names no host; name a group, a host, or a list of both")
    return list(found)


def check_balancers(inventory: Inventory, errors: list[str]) -> list[Host]:
    """The load balancers, whose addresses the app servers are told to trust."""
    names = inventory.groups.get(BALANCERS, [])
    if not names:
        errors.append(
            f"{BALANCERS}: the inventory has no host in this group; add one, for example lb1"
        )
    hosts = [inventory.hosts[name] for name in names if name in inventory.hosts]
    for host in hosts:
        if host.problem:
            errors.append(host.problem)
        elif ip(host.address) is None:
            errors.append(
                f"{host.name}.app_address: '{host.address}' is not an IP address, and app servers "
                f"trust nothing else; set app_address to the one {host.name} has towards them"
            )
    return hosts


def check_member(
    app: str, bind: str | None, host: Host, balancers: list[Host], errors: list[str]
) -> None:
    """Whether `app` can listen on `host` and be reached there by every balancer."""
    if host.problem:
        errors.append(host.problem)
        return
    where = f"apps.{app}.bind" if bind else f"{host.name}.app_bind"
    listens = ip(bind or host.bind)
    if listens is None:
        errors.append(
            f"{where}: '{bind or host.bind}' is not an IP address (IPv6 without brackets), and "
            "systemd listens on nothing else; set app_bind or app_address on the host to one of "
            "its addresses"
        )
        return
    others = [b.name for b in balancers if b.name != host.name]
    reached = ip(host.address)
    if others and listens.is_loopback and not (bind is None and reached == listens):
        errors.append(
            f"{where}: '{listens}' can be reached from its own host only, not from "
            f"{others[0]}; leave it out or name an address of the host's network"
        )
    elif others and reached and reached.is_loopback:
        errors.append(
            f"{host.name}.app_address: '{reached}' leads {others[0]} to itself; set it to the "
            f"address by which the balancers reach {host.name}"
        )


def overlap(one: str, other: str) -> bool:
    """Whether two sockets on one port, bound to these addresses, would collide."""
    first, second = ip(one), ip(other)
    if first is None or second is None:
        return one == other
    return first == second or first.is_unspecified or second.is_unspecified
