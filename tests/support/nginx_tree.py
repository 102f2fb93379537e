"""The role's files rendered by Ansible itself, and nginx to judge them, with no host at all."""

import contextlib
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.collection_loader import AnsibleCollectionConfig
from fuego_deploy import nginx, pool

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "nginx"
Files = dict[str, str]


def variables_of(**settings: Any) -> tuple[dict[str, Any], Templar]:
    """The role's variables as they are written, and what makes them out with these settings."""
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader()
    loader = DataLoader()
    variables: dict[str, Any] = {"ansible_search_path": [str(ROLE)]}
    for path in ("defaults/main.yml", "vars/main.yml"):
        variables |= loader.load_from_file(str(ROLE / path), trusted_as_template=True)
    variables |= settings
    return variables, Templar(loader, variables)


def render(sites: list[dict[str, Any]], **settings: Any) -> Files:
    """What the tasks of tasks/configure.yml lay, with each member admitted that does not say
    `admitted: false`."""
    variables, templar = variables_of(nginx_sites=sites, **settings)
    options = {key: variables[f"nginx_{key}"] for key in ("max_fails", "fail_timeout")}
    state = pool.State(pools=pool.wanted(sites, options, int(variables["nginx_http_port"])))
    for site in sites:
        state.admitted[site["name"]] = {
            member["name"]: {"address": pool.where(member), "since": "now"}
            for member, given in zip(
                state.pools[site["name"]]["members"], site["members"], strict=True
            )
            if given.get("admitted", True)
        }
    files: Files = templar.template(variables["__nginx_files"])
    return {**pool.render(state), **files}


def free_port() -> int:
    """A port below those that the system gives to clients, one of whom might take it meanwhile."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as taken, contextlib.suppress(OSError):
            taken.bind(("", port))
            return port


class Tree:
    """A configuration folder whose nginx touches nothing outside `home` and needs no root."""

    def __init__(self, home: Path, program: str, mime_types: Path) -> None:
        self.home = home
        self.program = program
        self.path = home / "nginx"
        self.pid_file = home / "nginx.pid"
        self.error_log = home / "log" / "error.log"
        self.port = free_port()
        self.child: subprocess.Popen[bytes] | None = None
        self.path.mkdir()
        self.error_log.parent.mkdir()
        shutil.copy(mime_types, self.path)

    def here(self, text: str) -> str:
        """The text of a file with the host's paths and port replaced by ours."""
        temporary = "".join(
            f"    {kind}_temp_path {self.home}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        for host, ours in {
            "/run/nginx.pid": str(self.pid_file),
            "/var/log/nginx": str(self.error_log.parent),
            "user www-data;\n": "",
            "http {\n": "http {\n" + temporary,
            "worker_processes auto;": "worker_processes 2;",
        }.items():
            text = text.replace(host, ours)
        return text

    def write(self, files: Files) -> None:
        for name, text in files.items():
            (self.path / name).parent.mkdir(exist_ok=True, parents=True)
            (self.path / name).write_text(text)

    def test(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, "-t", "-c", str(self.path / "nginx.conf")],
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self) -> None:
        """Run nginx as a child of the test and wait until it listens."""
        self.child = subprocess.Popen(
            [self.program, "-g", "daemon off;", "-c", str(self.path / "nginx.conf")]
        )
        for _ in range(250):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except ConnectionRefusedError:
                assert self.child.poll() is None, self.error_log.read_text()
                try:
                    self.child.wait(0.02)
                except subprocess.TimeoutExpired:
                    continue
        raise AssertionError("nginx does not listen")

    def workers(self) -> set[int]:
        """Its workers, once both are there: under load the second one comes late."""
        for _ in range(500):
            found = nginx.workers(int(self.pid_file.read_text()))
            if len(found) == 2:
                return found
            time.sleep(0.02)
        raise AssertionError(f"not two workers: {found}")

    def stop(self) -> None:
        if self.child:
            self.child.terminate()
            self.child.wait(10)
