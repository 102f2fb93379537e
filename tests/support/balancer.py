"""A running nginx with one site, before apps on loopback."""

import http.client
from typing import Any

from fuego_deploy import pool
from loopback import Running
from nginx_tree import Tree, render

OPTIONS = {"max_fails": 3, "fail_timeout": "2s"}


class Balancer:
    """The nginx, and the state of its pool. `members` are options of a host, by its name."""

    def __init__(
        self, tree: Tree, apps: dict[str, Running], sticky: str = "", **members: dict[str, Any]
    ) -> None:
        self.tree, self.apps = tree, apps
        self.state_file = tree.home / "lib" / "pools.json"
        self.file = tree.path / "pools" / "shop.conf"
        found = [
            {"name": name, "address": "127.0.0.1", "port": app.port, **members.get(name, {})}
            for name, app in apps.items()
        ]
        site = {"name": "shop", "domains": ["shop.example.com"], "port": 1, "members": found,
                "health": {"path": "/healthz", "status": [200]}, "sticky": sticky}  # fmt: skip
        files = render([site], nginx_http_port=tree.port, nginx_keepalive_timeout="60s")
        state = pool.State(pools=pool.wanted([site], OPTIONS, tree.port))
        state.admitted = {"shop": {m["name"]: {"address": pool.where(m), "since": "then"}
                                   for m in state.pools["shop"]["members"]}}  # fmt: skip
        tree.write({name: tree.here(text) for name, text in files.items()})
        pool.write(self.state_file, state)
        tree.start()

    @property
    def where(self) -> dict[str, str]:
        """Where the modules find everything."""
        return {
            "path": str(self.tree.path),
            "executable": self.tree.program,
            "pid_file": str(self.tree.pid_file),
            "error_log": str(self.tree.error_log),
            "access_log": str(self.tree.home / "log" / "access.log"),
            "state_file": str(self.state_file),
        }

    def get(
        self, path: str = "/healthz", client: str = "", **headers: str
    ) -> tuple[http.client.HTTPResponse, str]:
        """One request, from that address: the response, and its body."""
        source = (client, 0) if client else None
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.tree.port, timeout=20, source_address=source
        )
        try:
            connection.request("GET", path, headers={"Host": "shop.example.com", **headers})
            response = connection.getresponse()
            return response, response.read().decode()
        finally:
            connection.close()

    def ask(self, path: str = "/healthz") -> tuple[int, str]:
        response, body = self.get(path)
        return response.status, body

    def who(self, client: str = "", **headers: str) -> str:
        """The member that answers a request."""
        response, body = self.get(client=client, **headers)
        assert response.status == 200
        return {str(running.port): name for name, running in self.apps.items()}[body]

    def serving(self) -> set[str]:
        """The members that answer."""
        return {self.who() for _ in range(8)}

    def out(self) -> list[str]:
        """The comments of the lines that are down."""
        lines = self.file.read_text().splitlines()
        return [line.partition("  # ")[2] for line in lines if " down;" in line]
