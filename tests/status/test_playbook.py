"""The playbook itself, on hosts that cannot be reached: it shows them and ends well."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLOSED = {"ansible_host": "127.0.0.1", "ansible_port": 1}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("wsgi_app = None\n")
    apps = {"shop": {"source": {"path": str(tmp_path / "app")}, "callable": "main:wsgi_app"}}
    hosts = {f"app{n}": {"app_address": f"10.0.0.{n}"} for n in (1, 2)}
    # A host of the lab that does not answer is refused by every playbook but this one.
    variables = {**CLOSED, "apps": apps, "lab_ssh": {"address": "127.0.0.1", "port": 1}}
    whole = {
        "all": {
            "vars": variables,
            "children": {
                "load_balancers": {"hosts": {"lb1": {"app_address": "10.0.1.1"}}},
                "app_servers": {"hosts": hosts},
            },
        }
    }
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps(whole))
    return path


def playbook(inventory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "ansible-playbook"
    return subprocess.run(
        [program, "-i", inventory, ROOT / "playbooks/status.yml", *arguments],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True, text=True, check=False, cwd=inventory.parent,
    )  # fmt: skip


def test_hosts_that_cannot_be_reached_are_shown_and_the_run_ends_well(inventory: Path) -> None:
    run = playbook(inventory, "-e", "report=page.html", "--check")
    assert run.returncode == 0, run.stdout
    lines = [line.split() for line in run.stdout.splitlines()]
    assert [
        "shop",
        "app1",
        "gunicorn",
        "-",
        "unknown",
        "unreachable",
        "-",
        "-",
        "-",
        "-",
        "-",
    ] in lines
    assert ["lb1:", "unreachable"] in lines
    assert "changed=1" not in run.stdout
    assert "unreachable" in (inventory.parent / "page.html").read_text()

    # One that a limit leaves out is not asked.
    run = playbook(inventory, "--limit", "app2")
    assert run.returncode == 0, run.stdout
    lines = [line.split()[:7] for line in run.stdout.splitlines()]
    assert ["shop", "app1", "gunicorn", "-", "unknown", "not", "asked"] in lines


def test_bad_input_is_refused_before_any_host_is_asked(inventory: Path) -> None:
    run = playbook(inventory, "-e", "app=shpo", "-e", "report=none/page.html")
    assert run.returncode != 0
    message = " ".join(run.stdout.split())
    assert "app: the inventory has no app 'shpo'" in message
    assert "report: 'none/page.html'" in message
    assert "name a file, for example" in message
    assert "unreachable=1" not in run.stdout
