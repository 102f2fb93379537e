"""Make one container image of an app of the inventory: what `make image` runs.

nginx in front of gunicorn, laid by the roles that deploy the app to hosts: it is deployed to a host
of the lab, which becomes the image. Prints how to run it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "plugins"), str(ROOT / "plugins/module_utils")]

from fleet import catalogue  # noqa: E402

LAB = ROOT / ".lab" / "image"
PODMAN = ROOT / "roles/lab/files/podman.sh"
WORKERS = 2
HOST = "image1"
ANY_STATUS = list(range(200, 600))
"""Its database and the like are not there where the image is made; that it answers is enough."""
NOT_IN_AN_IMAGE = ("hosts", "bind", "port", "weights", "sticky", "backup", "max_conns", "canary",
                   "processes", "jobs")  # fmt: skip
BEFORE = "before_activate"
"""The hook that makes something of the release itself; the others are a fleet's."""
OF_A_HOST = ("__", "ansible_", "app_", "drain_", "lab_", "nginx_", "run_")
"""What variables begin with that say how a host is reached and what it is, not what an app is."""
STAND_IN = "a secret that the container gets"

Plain = dict[str, Any]


class RefusedError(Exception):
    """What cannot be an image, with the mend."""


class Inventory:
    """What an inventory says of an app. Raises RefusedError where it does not say it."""

    def __init__(self, path: str, app: str) -> None:
        self.path, self.app = path, app
        command = ["ansible-inventory", f"--inventory={path}", "--list"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RefusedError(f"{path}: {done.stderr.strip()}")
        self._listed: Plain = json.loads(done.stdout)
        self._hosts: Plain = self._listed.get("_meta", {}).get("hostvars", {})
        self.variables = self._of_the_app()

    def _of_the_app(self) -> Plain:
        known: set[str] = set()
        for host, variables in self._hosts.items():
            apps = variables.get("apps") or {}
            for name in ("apps", "app_defaults", "app_secrets"):
                if not isinstance(variables.get(name) or {}, dict):
                    raise RefusedError(
                        f"{self.path}: {name} of {host} is a template or no mapping; write it out"
                    )
            known |= set(apps)
            if self.app in apps:
                return dict(variables)
        said = f"apps has {', '.join(sorted(known))}" if known else "it has no apps"
        raise RefusedError(f"APP={self.app}: {self.path} has no such app; {said}")

    @property
    def entry(self) -> Plain:
        """The app's own entry."""
        return self.variables["apps"][self.app] or {}

    @property
    def defaults(self) -> Plain:
        """Below it, app_defaults."""
        return self.variables.get("app_defaults") or {}

    def check_server(self) -> None:
        """Raise RefusedError where an image does not run the app's server."""
        servers = catalogue.load(ROOT).servers.values()
        fit = [s.name for s in servers if s.inherits and s.bind and s.upstream_protocol == "http"]
        if str((self.defaults | self.entry).get("server", "gunicorn")) not in fit:
            key = f"apps.{self.app}.server"
            raise RefusedError(f"{key}: an image runs gunicorn; take one of {', '.join(fit)}")

    def secrets(self) -> list[str]:
        """The names of the app's secrets."""
        own = (self.variables.get("app_secrets") or {}).get(self.app) or {}
        named = (self.defaults | self.entry).get("secrets_env") or []
        return sorted({*own, *named})

    def for_the_host(self) -> Plain:
        """The variables of the host that becomes the image. Raises RefusedError."""
        self.check_server()
        defaults, entry = image_layer(self.defaults), image_layer(self.entry)
        env = entry.get("env") or {}
        for name, value in {**(defaults.get("env") or {}), **env}.items():
            if isinstance(value, dict):
                raise RefusedError(
                    f"apps.{self.app}.env.{name}: a vaulted value would be open in the image; "
                    "make it one of app_secrets"
                )
        # It would hide from us what it was started with, where the app brings setproctitle.
        entry |= {"hosts": HOST, "default_site": True, "env": {**env, "SPT_NOENV": "1"}}
        entry["health"] = {**(entry.get("health") or {}), "status": ANY_STATUS}
        said = {"GUNICORN_WORKERS", "WEB_CONCURRENCY"} & {*env, *(defaults.get("env") or {})}
        if "workers" not in defaults | entry and not said:
            entry["workers"] = WORKERS
        balancers = self._listed.get("load_balancers", {}).get("hosts") or []
        front = self._hosts.get(balancers[0], {}) if balancers else {}
        kept = {
            key: value
            for key, value in self.variables.items()
            if key != "apps" and not key.startswith(OF_A_HOST) and not is_closed(value)
        }
        nginx = {key: value for key, value in front.items() if key.startswith("nginx_")}
        kept |= {key: value for key, value in nginx.items() if key != "nginx_http_port"}
        if self.variables.get("app_index_url"):
            kept["app_index_url"] = self.variables["app_index_url"]
        secrets = dict.fromkeys(self.secrets(), STAND_IN)
        return kept | {
            "apps": {self.app: entry},
            "app_defaults": defaults,
            "app_secrets": {self.app: secrets},
        }


def image_layer(said: Plain) -> Plain:
    """What an entry or app_defaults says that holds for an image too."""
    kept = {key: value for key, value in said.items() if key not in NOT_IN_AN_IMAGE}
    if isinstance(kept.get("health"), dict):
        kept["health"] = {k: v for k, v in kept["health"].items() if k not in ("body", "status")}
    if "hooks" in kept:
        kept["hooks"] = {BEFORE: (kept["hooks"] or {}).get(BEFORE) or []}
    return kept


def is_closed(value: object) -> bool:
    """Whether ansible-inventory shows only that there is something, vaulted or no template."""
    return isinstance(value, dict) and any(key.startswith("__ansible_") for key in value)


def write_inventory(variables: Plain) -> Path:
    """Write the inventory of the one host, and return its folder."""
    folder = LAB / "inventory"
    shared = folder / "group_vars/all"
    shared.mkdir(parents=True, exist_ok=True)
    lab = shared / "lab.yml"
    lab.unlink(missing_ok=True)
    lab.symlink_to(ROOT / "inventories/lab/group_vars/all/lab.yml")
    # After lab.yml, so that the inventory's own package index wins.
    (shared / "of_the_app.yml").write_text(yaml.safe_dump(variables))
    hosts = {
        "all": {
            "vars": {"lab_name": "image", "lab_root": str(ROOT)},
            "children": {
                name: {"hosts": {HOST: None}} for name in ("load_balancers", "app_servers")
            },
        }
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    return folder


def run(*command: str) -> int:
    """Run a command of the checkout, and return its exit code."""
    return subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode


def main() -> int:
    """Make the image that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("app", nargs="?", default="")
    parser.add_argument(
        "--inventory", default="inventories/lab", help="where the app's entry stands"
    )
    parser.add_argument("--name", default="", help="of the image (localhost/APP:latest)")
    options = parser.parse_args()
    if not options.app:
        print("image: which app? make image APP=…", file=sys.stderr)
        return 2
    name = options.name or f"localhost/{options.app}:latest"
    try:
        inventory = Inventory(options.inventory, options.app)
        variables = inventory.for_the_host()
    except RefusedError as problem:
        print(f"image: {problem}", file=sys.stderr)
        return 2
    lab = f"--inventory={write_inventory(variables)}"
    try:
        code = run(
            "ansible-playbook", lab, "playbooks/image.yml",
            "-e", json.dumps({"image_app": options.app, "image_name": name}),
        )  # fmt: skip
    finally:
        run("ansible-playbook", lab, "playbooks/lab.yml", "-e", "lab_state=absent")
    if code:
        return code
    print(
        f"\n{name}: {size(name)}. As root, with podman or what calls it where cgroup v1 is mounted:"
    )
    words = ["-p 8080:80", "-e GUNICORN_WORKERS=4", *(f"--secret {s}" for s in inventory.secrets())]
    print(f"    {PODMAN.relative_to(ROOT)} run {' '.join(words)} {name}")
    return 0


def size(name: str) -> str:
    """How large the image is."""
    shown = ["images", "--format={{.Size}}", name]
    done = subprocess.run([str(PODMAN), *shown], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("image: interrupted", file=sys.stderr)
        sys.exit(130)
