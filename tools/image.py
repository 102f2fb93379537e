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
NOT_IN_AN_IMAGE = ("hosts", "bind", "port", "weights", "sticky", "max_conns", "canary", "hooks",
                   "secrets_env", "processes", "jobs")  # fmt: skip

Plain = dict[str, Any]


class RefusedError(Exception):
    """What cannot be an image, with the mend."""


def read(inventory: str, app: str) -> Plain:
    """The variables that the inventory gives its hosts. Raises RefusedError: none has that app."""
    command = ["ansible-inventory", f"--inventory={inventory}", "--list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"{inventory}: {done.stderr.strip()}")
    hosts: Plain = json.loads(done.stdout).get("_meta", {}).get("hostvars", {})
    for variables in hosts.values():
        if app in (variables.get("apps") or {}):
            return dict(variables)
    known = sorted({name for each in hosts.values() for name in each.get("apps") or {}})
    said = f"apps has {', '.join(known)}" if known else "it has no apps"
    raise RefusedError(f"APP={app}: {inventory} has no such app; {said}")


def entry_of(variables: Plain, app: str) -> tuple[Plain, str]:
    """The app's entry for a host that is all of its fleet, and its server. Raises RefusedError."""
    defaults: Plain = variables.get("app_defaults") or {}
    entry = defaults | variables["apps"][app]
    servers = catalogue.load(ROOT).servers
    fit = [
        s.name for s in servers.values() if s.inherits and s.bind and s.upstream_protocol == "http"
    ]
    name = str(entry.get("server", "gunicorn"))
    if name not in fit:
        raise RefusedError(
            f"apps.{app}.server: an image runs gunicorn; take one of {', '.join(fit)}"
        )
    kept = {key: value for key, value in entry.items() if key not in NOT_IN_AN_IMAGE}
    health = {**(entry.get("health") or {}), "status": ANY_STATUS}
    health.pop("body", None)
    made = kept | {"hosts": HOST, "default_site": True, "health": health}
    said = {"GUNICORN_WORKERS", "WEB_CONCURRENCY"} & set(entry.get("env") or {})
    if "workers" not in made and not said:
        made["workers"] = WORKERS
    return made, name


def write_inventory(variables: Plain, app: str, entry: Plain) -> Path:
    """Write the inventory of the one host, and return its folder."""
    folder = LAB / "inventory"
    shared = folder / "group_vars/all"
    shared.mkdir(parents=True, exist_ok=True)
    lab = shared / "lab.yml"
    lab.unlink(missing_ok=True)
    lab.symlink_to(ROOT / "inventories/lab/group_vars/all/lab.yml")
    nginx = {key: value for key, value in variables.items() if key.startswith("nginx_")}
    (shared / "app.yml").write_text(yaml.safe_dump({"apps": {app: entry}, **nginx}))
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
        variables = read(options.inventory, options.app)
        entry, _ = entry_of(variables, options.app)
    except RefusedError as problem:
        print(f"image: {problem}", file=sys.stderr)
        return 2
    inventory = f"--inventory={write_inventory(variables, options.app, entry)}"
    try:
        code = run(
            "ansible-playbook", inventory, "playbooks/image.yml",
            "-e", json.dumps({"image_app": options.app, "image_name": name}),
        )  # fmt: skip
    finally:
        run("ansible-playbook", inventory, "playbooks/lab.yml", "-e", "lab_state=absent")
    if code:
        return code
    print(
        f"\n{name}: {size(name)}. As root, with podman or what calls it where cgroup v1 is mounted:"
    )
    print(f"    {PODMAN.relative_to(ROOT)} run -p 8080:80 -e GUNICORN_WORKERS=4 {name}")
    return 0


def size(name: str) -> str:
    """How large the image is."""
    shown = ["images", "--format={{.Size}}", name]
    done = subprocess.run([str(PODMAN), *shown], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
