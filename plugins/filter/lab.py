"""Addresses of the lab's hosts, derived from the checkout and the lab's name."""

from __future__ import annotations

import hashlib
import re
import resource
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

SLOTS = 64 * 256
"""How many labs fit beside each other: second and third octet of 10.64-127.x and 127.64-127.x."""


def lab_checkout(root: str) -> str:
    """Return the short name that all hosts, networks and images of the checkout at `root` carry."""
    return hashlib.sha256(str(root).encode()).hexdigest()[:10]


def lab_slot(root: str, lab: str) -> int:
    """Return the slot, 0 to `SLOTS` - 1, of the lab named `lab` of the checkout at `root`."""
    digest = hashlib.sha256(f"{root}\0{lab}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % SLOTS


def lab_network(slot: int | str, first: int) -> str:
    """Return the first three octets of a slot's network: `first`.64-127.0-255."""
    number = int(slot)
    if not 0 <= number < SLOTS:
        raise AnsibleFilterError(f"lab_slot: {number} is not in 0 to {SLOTS - 1}")
    return f"{first}.{64 + number // 256}.{number % 256}"


def lab_id(name: str, is_balancer: bool) -> int:
    """Return the last octet of the host `name`: its number, behind 10 (balancers) or 20 (others).

    Raises AnsibleFilterError where the name ends in no number: set `lab_id` for that host then.
    """
    match = re.search(r"(\d{1,2})$", name)
    if match is None:
        raise AnsibleFilterError(
            f"lab host {name}: its name ends in no number to derive its address from; "
            f"set lab_id (2 to 254) for it in the inventory"
        )
    return int(match[1]) + (10 if is_balancer else 20)


def _mac_address(address: str) -> str:
    """Return the MAC address of the host at `address`, so that it keeps it over a reboot."""
    return "02:00:" + ":".join(f"{int(octet):02x}" for octet in address.split("."))


def _ulimits() -> list[str]:
    """Return podman's limits for a host, no higher than this process's, which crun cannot raise."""
    limits = []
    for name, kind, most in (
        ("nofile", resource.RLIMIT_NOFILE, 524_288),
        ("nproc", resource.RLIMIT_NPROC, 32_768),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(hard, most)
        limits.append(f"--ulimit={name}={limit}:{limit}")
    return limits


def _port(text: str) -> int:
    """Return the port that `text` names. Raises AnsibleFilterError where it names none."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise AnsibleFilterError(
            f"lab_http_port: {text!r} is not a port; use 1024 to 65535, "
            f"e.g. make demo LAB_HTTP_PORT=8081"
        )
    return int(text)


def lab_hosts(
    names: list[str], hostvars: Mapping[str, Any], balancers: list[str]
) -> list[dict[str, Any]]:
    """Return the hosts to make: name, loopback address, SSH port, distribution, ports,
    and the `arguments` for podman that are its own.

    A port is `{address, port, inner, mend}`: where this machine listens for port `inner` of the
    host, and what moves it. Every host has SSH, every balancer the web; the first balancer answers
    on 127.0.0.1 too where the lab has a `lab_http_port`.

    Raises AnsibleFilterError where two hosts would share an address.
    """
    hosts: list[dict[str, Any]] = []
    seen: dict[int, str] = {}
    for name in names:
        variables = hostvars[name]
        number = int(variables["lab_id"])
        if number in seen:
            raise AnsibleFilterError(
                f"lab hosts {seen[number]} and {name} share the lab_id {number}; "
                f"set another lab_id (2 to 254) for one of them in the inventory"
            )
        seen[number] = name
        loopback = str(variables["lab_ssh"]["address"])
        ssh_port = int(variables["lab_ssh"]["port"])
        move = "set lab_slot (0 to 16383) in the inventory"
        ports = [{"address": loopback, "port": ssh_port, "inner": 22, "mend": move}]
        if name in balancers:
            ports.append({"address": loopback, "port": 8080, "inner": 80, "mend": move})
        if balancers and name == balancers[0] and variables.get("lab_http_port"):
            port = _port(str(variables["lab_http_port"]))
            mend = f"set lab_http_port, e.g. make demo LAB_HTTP_PORT={port + 1}"
            ports.append({"address": "127.0.0.1", "port": port, "inner": 80, "mend": mend})
        hosts.append(
            {
                "name": str(name),
                "loopback": loopback,
                "ssh_port": ssh_port,
                "distribution": str(variables["lab_distribution"]),
                "ports": ports,
                "arguments": [
                    f"--hostname={name}",
                    f"--ip={variables['app_address']}",
                    f"--mac-address={_mac_address(str(variables['app_address']))}",
                    *_ulimits(),
                    *(f"--publish={p['address']}:{p['port']}:{p['inner']}" for p in ports),
                ],
            }
        )
    return hosts


class FilterModule:
    """Filters of the lab's inventory and of playbooks/lab.yml."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {
            "lab_checkout": lab_checkout,
            "lab_hosts": lab_hosts,
            "lab_id": lab_id,
            "lab_network": lab_network,
            "lab_slot": lab_slot,
        }
