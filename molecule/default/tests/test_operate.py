"""What an operator does next: settings on a host, a pool that grows, a mistake, a reboot.

In the order of the file: each test leaves the fleet as it found it, and the reboot comes last.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import INVENTORY, ROOT, Lab

LAB_FILES = ROOT / "roles/lab/files"


def changed(output: str) -> dict[str, int]:
    """Return how many tasks changed something, by host, from the recap of a run."""
    return {
        name: int(count) for name, count in re.findall(r"^(\S+) +: .*changed=(\d+)", output, re.M)
    }


def workers(lab: Lab, name: str, app: str) -> int:
    """Return how many processes the service has below its main one."""
    main = lab.host(name).run(f"systemctl show --property=MainPID --value {app}").stdout.strip()
    return len(lab.host(name).run(f"pgrep --parent {main}").stdout.split())


def wait_for_pool(lab: Lab, host: str, seconds: float = 30) -> None:
    """Wait until `host` answers through the balancer; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if lab.request("hello.localhost", "/whoami").json()["host"] == host:
            return
        time.sleep(0.05)
    pytest.fail(f"{host} answered no request within {seconds} s")


def test_settings_on_the_host_win_after_a_restart_and_outlive_a_run(lab: Lab) -> None:
    host = lab.host("app1")
    assert workers(lab, "app1", "hello") == 2
    before = host.file("/etc/hello/env.local").content_string
    host.run("echo GUNICORN_WORKERS=3 >>/etc/hello/env.local")
    assert host.run("systemctl restart hello").rc == 0
    assert workers(lab, "app1", "hello") == 3
    watch = lab.host("lb1").service("fuego-deploy-watch")
    assert watch.is_running
    assert watch.is_enabled
    assert lab.host("lb1").run("systemctl disable --now fuego-deploy-watch").rc == 0
    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.stdout
    assert watch.is_running, "what runs on a balancer is started again"
    assert watch.is_enabled
    assert workers(lab, "app1", "hello") == 3
    assert "GUNICORN_WORKERS=3" in host.file("/etc/hello/env.local").content_string

    host.run("echo GUNICORN_CMD_ARGS=--workers=1 >>/etc/hello/env.local")
    assert host.run("systemctl restart hello").rc == 0
    assert workers(lab, "app1", "hello") == 1
    host.run(f"cat >/etc/hello/env.local <<'END'\n{before}END")
    assert host.run("systemctl restart hello").rc == 0
    assert workers(lab, "app1", "hello") == 2


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    """Return the scenario's inventory with one more line: app4, a bare host that is up."""
    text = (INVENTORY / "hosts.yml").read_text()
    root = "{{ (inventory_dir ~ '/../../..') | realpath }}"
    assert root in text
    text = text.replace(root, str(ROOT)).replace("        app3:", "        app4:\n        app3:")
    (tmp_path / "group_vars").symlink_to(INVENTORY / "group_vars")
    (tmp_path / "hosts.yml").write_text(text)
    return tmp_path


def test_check_on_a_bare_host_ends_well_and_touches_nothing(lab: Lab, grown: Path) -> None:
    host = lab.host("app4")
    look = "find /etc /srv /usr /var/lib /var/log/apt -newer /proc/1 -type f | sort"
    before = host.run(look).stdout
    run = lab.playbook("site.yml", "--check", inventories=(grown,))
    assert run.returncode == 0, run.stdout
    assert changed(run.stdout)["app4"] > 0
    assert host.run(look).stdout == before
    assert host.run("getent passwd hello").rc != 0


def test_one_more_line_in_the_inventory_is_one_more_host_in_the_pool(lab: Lab, grown: Path) -> None:
    run = lab.playbook("site.yml", inventories=(grown,))
    assert run.returncode == 0, run.stdout
    assert changed(run.stdout)["app1"] == 0
    wait_for_pool(lab, "app4")
    again = lab.playbook("site.yml", inventories=(grown,))
    assert set(changed(again.stdout).values()) == {0}, again.stdout
    check = lab.playbook("site.yml", "--check", inventories=(grown,))
    assert set(changed(check.stdout).values()) == {0}, check.stdout

    run = lab.playbook("site.yml")
    assert run.returncode == 0, run.stdout
    answered = {lab.request("hello.localhost", "/whoami").json()["host"] for _ in range(30)}
    assert answered == {"app1", "app2", "app3"}


def test_port_that_something_else_holds_is_named_with_what_moves_it(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        run = lab.playbook("playbooks/lab.yml", "-e", f"lab_http_port={port}")
    assert run.returncode != 0
    message = " ".join(run.stdout.split())
    assert f"lab: port {port} on 127.0.0.1, which lb1 needs, is held" in message
    assert f"LAB_HTTP_PORT={port + 1}" in message
    assert lab.request("hello.localhost", "/whoami").status == 200


def test_clean_of_another_checkout_leaves_this_one_alone(lab: Lab) -> None:
    podman, remove = LAB_FILES / "podman.sh", LAB_FILES / "remove.sh"

    def images() -> list[str]:
        command = [str(podman), "images", "--format={{.Repository}}:{{.Tag}}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return str(done.stdout).split()

    ours = images()
    subprocess.run([podman, "tag", ours[0], "localhost/fuego-lab-another:debian"], check=True)
    subprocess.run([remove, "another"], check=True)
    left = images()
    assert set(ours) <= set(left)
    assert not any(image.startswith("localhost/fuego-lab-another:") for image in left)
    assert lab.request("hello.localhost", "/whoami").status == 200


def test_callable_that_does_not_import_is_refused_at_stage(lab: Lab, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text(
        "apps:\n"
        "  hello:\n"
        "    source: {path: apps/hello, packages: [fuego]}\n"
        "    callable: main:no_such_name\n"
        "    default_site: true\n"
        "    domains: [hello.localhost]\n"
    )
    current = "readlink /srv/hello/current"
    before = {name: lab.host(name).run(current).stdout for name in ("app1", "app2", "app3")}
    run = lab.playbook("site.yml", "-e", f"@{broken}")
    assert run.returncode != 0
    assert "apps.hello.callable" in run.stdout
    assert "no_such_name" in run.stdout
    for name, release in before.items():
        assert lab.host(name).run(current).stdout == release
    assert lab.request("hello.localhost", "/whoami").status == 200


def test_setting_that_makes_no_sense_says_so_in_the_journal(lab: Lab) -> None:
    host = lab.host("app2")
    before = host.file("/etc/hello/env.local").content_string
    host.run("echo GUNICORN_WORKERS=many >>/etc/hello/env.local")
    host.run("systemctl restart hello")
    journal = host.run("journalctl --unit hello --lines=40 --output=cat").stdout
    host.run(f"cat >/etc/hello/env.local <<'END'\n{before}END")
    host.run("systemctl reset-failed hello")
    assert host.run("systemctl restart hello").rc == 0
    assert "GUNICORN_WORKERS" in journal
    assert "many" in journal


def test_host_serves_again_after_a_reboot(lab: Lab) -> None:
    lab.restart("app1")
    wait_for_pool(lab, "app1")
    for app in ("hello", "hello-async"):
        assert lab.host("app1").service(f"{app}.service").is_running


def test_balancer_serves_again_after_a_reboot(lab: Lab) -> None:
    lab.restart("lb1")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if lab.request("hello.localhost", "/whoami").status == 200:
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the balancer did not come back within 30 s")
