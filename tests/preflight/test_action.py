"""The action plugin in a real ansible-playbook, on an inventory of hosts that do not exist."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleets import ROOT, Plain, entry

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - preflight:
        apps: "{{ apps | default({}) }}"
        app_defaults: "{{ app_defaults | default({}) }}"
      register: __fleet
    - ansible.builtin.copy:
        content: "{{ __fleet | to_json }}"
        dest: "{{ playbook_dir }}/fleet.json"
        mode: "0600"
      delegate_to: localhost
      connection: local
"""
Run = Callable[..., tuple[int, str, Plain]]


@pytest.fixture
def run(source: Path) -> Run:
    """Run the preflight over host variables and apps → exit code, output, fleet."""

    def playbook(apps: Plain, **hosts: Plain) -> tuple[int, str, Plain]:
        members = {"app1": {"app_address": "10.0.0.11"}, **hosts}
        balancers = {"lb1": {"ansible_host": "10.0.0.1"}}
        children = {"load_balancers": {"hosts": balancers}, "app_servers": {"hosts": members}}
        for name, content in {
            "hosts.json": {"all": {"children": children}},
            "apps.json": {"apps": apps, "home": str(source)},
        }.items():
            (source / name).write_text(json.dumps(content), encoding="utf-8")
        (source / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
        done = ansible(source, source / "play.yml")
        result = source / "fleet.json"
        fleet: dict[str, Any] = json.loads(result.read_text("utf-8")) if result.exists() else {}
        return done.returncode, done.stdout + done.stderr, fleet

    return playbook


def ansible(source: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook over the inventory that the fixture has written."""
    return subprocess.run(
        [
            Path(sys.executable).parent / "ansible-playbook",
            *("-i", source / "hosts.json", "-e", f"@{source}/apps.json", *arguments),
        ],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_good(run: Run, source: Path) -> None:
    """Values that templates make arrive as plain ones, and nothing is connected to."""
    shop = entry(source={"path": "{{ home }}/app"}, port="{{ 8000 + 1 }}", env={"A": "{{ 'x' }}"})
    code, output, fleet = run({"shop": shop}, app2={"app_address": "{{ 'fd00::' ~ 12 }}"})
    assert code == 0, output
    assert fleet["apps"]["shop"]["source"]["path"] == str(source / "app")
    assert fleet["apps"]["shop"]["env"] == {"A": "x"}
    assert [m["address"] for m in fleet["sites"][0]["members"]] == ["10.0.0.11", "fd00::12"]
    assert fleet["load_balancers"] == [{"name": "lb1", "address": "10.0.0.1"}]


def test_bad(run: Run, source: Path) -> None:
    """All errors in one message; the lab's and the templates' are among them."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free = closed.getsockname()[1]
    code, output, _ = run(
        {"shop": entry(source={"path": str(source / "app")}, server="gunicon")},
        app3={"app_address": "10.0.0.13", "lab_ssh": {"address": "127.0.0.1", "port": free}},
        app4={"app_address": "{{ nowhere }}"},
    )
    assert code == 2
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if "errors found, no host was touched:" in line)
    assert [line.strip() for line in lines[start + 1 : start + 4]] == [
        "apps.shop.server: 'gunicon' is not one of daphne, granian, gunicorn, gunicorn-asgi, "
        "gunicorn-gevent, gunicorn-sync, gunicorn-uvicorn, hypercorn, uvicorn, uwsgi "
        "(did you mean 'gunicorn'?)",
        "app4.app_address: cannot be made out ('nowhere' is undefined); mend it in the inventory",
        f"lab: app3 does not answer on 127.0.0.1:{free}; boot the lab with: "
        "ansible-playbook playbooks/lab.yml (or make demo)",
    ]


def test_a_lab_with_one_host_down_is_booted(run: Run, source: Path) -> None:
    """The run itself meets that host, and says what goes on without it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as up,
        socket.create_server(("127.0.0.1", 0)) as down,
    ):
        ports = [listener.getsockname()[1] for listener in (up, down)]
        down.close()
        hosts = {
            f"app{number}": {
                "app_address": f"10.0.0.1{number}",
                "lab_ssh": {"address": "127.0.0.1", "port": port},
            }
            for number, port in enumerate(ports, 2)
        }
        code, output, _ = run({"shop": entry(source={"path": str(source / "app")})}, **hosts)
    assert code == 0, output


def test_secrets(run: Run, source: Path) -> None:
    """Good ones are in nothing that is returned, bad ones in no message, templates included."""
    shop = entry(source={"path": str(source / "app")})
    address = {"app_address": "10.0.0.11"}
    good = {"A": "hush", "B": "{{ 'hush' ~ 1 }}", "C": {"__ansible_unsafe": "hush {{ {% {# "}}
    code, output, fleet = run({"shop": shop}, app1={**address, "app_secrets": {"shop": good}})
    assert code == 0, output
    assert "hush" not in output + json.dumps(fleet)

    bad = {"A": "{{ nowhere }}", "B": "hush {{ hush", "C": "{{ 5 }}", "D": "{{ ['hush'] }}"}
    code, output, _ = run({"shop": shop}, app1={**address, "app_secrets": {"shop": bad}})
    assert code == 2
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if "errors found, no host was touched:" in line)
    mend = "Ansible cannot decrypt it, or not make out its template"
    assert [line.strip().split(";")[0] for line in lines[start + 1 : start + 5]] == [
        f"app_secrets.shop.A: {mend}",
        f"app_secrets.shop.B: {mend}",
        "app_secrets.shop.C: is not text, as YAML reads it",
        "app_secrets.shop.D: is no single value",
    ]
    assert "hush" not in output


@pytest.mark.parametrize(
    ("playbook", "said"),
    [
        ("rollback", "app: is missing; name one of shop: -e app=shop"),
        ("remove", "app: is missing; name one of shop: -e app=shop"),
        ("maintenance", "app: is missing; name one of shop: -e app=shop"),
        ("canary", "app: is missing; name one of shop: -e app=shop"),
        ("drain", "host: is missing; name one of app1: -e host=app1"),
        ("scale -e add=app9", "add: no app is on 'app9' (did you mean 'app1'?); name one of app1"),
    ],
)
def test_what_a_playbook_has_to_be_told(run: Run, source: Path, playbook: str, said: str) -> None:
    run({"shop": entry(source={"path": str(source / "app")})})
    name, *more = playbook.split()
    done = ansible(source, ROOT / "playbooks" / f"{name}.yml", *more)
    assert done.returncode == 2
    assert said in done.stdout + done.stderr
    assert "unreachable=1" not in done.stdout, "no host is asked"
