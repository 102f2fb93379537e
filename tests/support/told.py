"""What the modules tell of two apps on two hosts behind two balancers."""

import copy
from typing import Any

Plain = dict[str, Any]
WHEN = "2026-11-21T10:00:00Z"
EPOCH = 1795255200  # the same


def unit(active: str = "active", **more: Any) -> Plain:
    return {"active": active, "enabled": "enabled", "result": "success", "restarts": 0,
            "since": EPOCH, **more}  # fmt: skip


def app(name: str, **more: Any) -> Plain:
    """What app_status says of one that serves."""
    return {
        "release": "aaaaaaaaaaaa", "hold": None, "uncommitted": False, "lock": None, "problem": "",
        "units": {f"{name}.service": unit(), f"{name}.socket": unit()},
        "answer": {"path": "/healthz", "status": 200, "problem": "", "healthy": True}, **more,
    }  # fmt: skip


def member(host: str, port: int, state: str = "in", **more: str) -> Plain:
    where = f"10.0.0.{host[-1]}:{port}"
    return {"name": host, "address": where, "logged_as": [where], "state": state, **more}


def pools() -> Plain:
    """What pool_status says of a balancer that sends requests to everybody."""
    return {
        "nginx": {"active": "active", "since": EPOCH}, "hosts": {}, "seconds": 300.0,
        "pools": {
            "shop": [member("app1", 8000), member("app2", 8000)],
            "blog": [member("app1", 8001), member("app2", 8001)],
        },
        "requests": {}, "problems": [],
    }  # fmt: skip


class Fleet:
    """The plan of the preflight, and what was said; tests change it."""

    def __init__(self) -> None:
        ports = {"shop": 8000, "blog": 8001}
        names = ["app1", "app2"]
        self.plan: Plain = {
            "load_balancers": [{"name": f"lb{n}", "address": f"10.0.1.{n}"} for n in (1, 2)],
            "apps": {name: {"hosts": names, "server": "gunicorn"} for name in ports},
            "by_host": {host: list(ports) for host in names},
            "sites": [
                {"name": name, "members": [
                    {"name": host, "address": f"10.0.0.{host[-1]}", "port": port} for host in names
                ]}
                for name, port in ports.items()
            ],
            "run": {"over": []},
        }  # fmt: skip
        self.hosts: dict[str, Plain] = {
            host: {"apps": {name: app(name) for name in ports}, "changes": []} for host in names
        }
        self.pools: dict[str, Plain] = {f"lb{n}": copy.deepcopy(pools()) for n in (1, 2)}

    def drain(self, host: str, *balancers: str, why: str = "new kernel") -> None:
        """Take the host out on these balancers; on all of them without any."""
        record = {"state": "drained", "by": "alice@ctl", "when": WHEN, "why": why, "hand": True}
        for name in balancers or self.pools:
            for members in self.pools[name]["pools"].values():
                for one in members:
                    if one["name"] == host:
                        one |= record
