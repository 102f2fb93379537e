"""What a person sees where the lab cannot be: the shipped playbooks, run for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def run(
    *arguments: str, path: str | None = None, program: str = "ansible-playbook"
) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible's from the root of the checkout, with `path` as its PATH."""
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"}
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        [BIN / program, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Return a lab's inventory of a checkout that has booted none."""
    folder = tmp_path / "inventory"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "group_vars" / "all").symlink_to(ROOT / "inventories/lab/group_vars/all")
    (folder / "hosts.yml").write_text(
        f"all:\n"
        f"  vars: {{lab_name: nowhere, lab_root: {tmp_path}}}\n"
        f"  children:\n"
        f"    load_balancers: {{hosts: {{lb1: }}}}\n"
        f"    app_servers: {{hosts: {{app1: , app2: }}}}\n"
    )
    return folder


def test_site_while_the_lab_is_not_up(inventory: Path) -> None:
    result = run("site.yml", "-i", str(inventory))
    assert result.returncode != 0
    for host in ("lb1", "app1", "app2"):
        assert f"lab: {host} does not answer on 127." in result.stdout
    assert "make demo" in result.stdout
    assert "Install nginx" not in result.stdout


def control_path(inventory: Path) -> str:
    """Return the socket that Ansible's connection to app1 of a lab is kept on."""
    shown = "{{ lab_ssh.address }} {{ ansible_control_path }}"
    result = run(
        "app1", "-i", str(inventory), "-m", "debug", "-a", f"msg='{shown}'", program="ansible"
    )
    address, path = result.stdout.split("msg:")[1].strip(" '\n").split()
    path = path % {"directory": "kept"}
    command = ["ssh", "-G", "-o", f"HostName={address}", "-o", f"ControlPath={path}", "app1"]
    settings = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return next(line for line in settings.splitlines() if line.startswith("controlpath "))


def test_two_labs_keep_their_connections_apart(inventory: Path) -> None:
    first = control_path(inventory)
    assert first == control_path(inventory)
    hosts = inventory / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("lab_name: nowhere", "lab_name: elsewhere"))
    assert first != control_path(inventory)


def programs(tmp_path: Path, *, root: bool, without: tuple[str, ...]) -> str:
    """Return a PATH of a machine without some programs, whose user is root or may not sudo."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in (*Path("/bin").iterdir(), *Path("/usr/bin").iterdir()):
        link = folder / program.name
        if program.name not in (*without, "id", "sudo") and not link.is_symlink():
            link.symlink_to(program)
    for name, script in {
        "id": f"#!/bin/sh\necho {0 if root else 1000}\n",
        "sudo": "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n",
    }.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("root", "without", "reason"),
    [
        (False, ("podman", "mmdebstrap"), "installing it needs root"),
        (True, ("podman", "mmdebstrap", "apt-get"), "there is no apt to install it with"),
    ],
)
def test_podman_missing_where_it_cannot_be_installed(
    inventory: Path, tmp_path: Path, root: bool, without: tuple[str, ...], reason: str
) -> None:
    path = programs(tmp_path, root=root, without=without)
    result = run("playbooks/lab.yml", "-i", str(inventory), path=path)
    assert result.returncode != 0
    message = " ".join(result.stdout.split())
    assert "lab: podman" in message
    assert reason in message
    assert "sudo apt-get install podman" in message
