"""Apps that nobody here wrote serve as they are; every way to say what an app requires works."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import INVENTORY, Lab
from fuego_deploy import tool

APPS = yaml.safe_load((INVENTORY / "group_vars/all/apps.yml").read_text())["apps"]
HOSTS = ("app1", "app2")
PROJECT = """
    [project]
    name = "{name}"
    version = "1.0"
    requires-python = ">=3.11"
    dependencies = ["idna==3.10", "markupsafe<3.1"]
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"
"""
MAIN = """
    import ctypes
    import json
    import socket
    from importlib.metadata import version

    import idna
    import markupsafe

    MAGIC = ctypes.CDLL("libmagic.so.1").magic_version() if {magic} else 0


    def app(environ, start_response):
        body = json.dumps({{"host": socket.gethostname(), "app": "{name}", "file": __file__,
                           "idna": version("idna"),
                           "magic": MAGIC}}).encode()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]
"""

NATIVE = """
    import json
    import socket

    import netifaces


    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        families = sorted(netifaces.address_families.values())
        told = {"host": socket.gethostname(), "families": families}
        return [json.dumps(told).encode()]
"""


def test_httpbin(lab: Lab) -> None:
    """WSGI, a requirement and nothing else."""
    site = "httpbin.localhost"
    answer = lab.request(site, "/anything", method="POST", body=b"x" * 1000).json()
    assert len(answer["data"]) == 1000
    assert answer["headers"]["Host"] == site
    seen = {lab.request(site, "/bytes/16?seed=1").headers["content-length"] for _ in range(6)}
    assert seen == {"16"}
    answer = lab.request(site, "/ip", headers={"X-Forwarded-For": "6.6.6.6"}).json()
    assert "6.6.6.6" not in answer["origin"], "the balancer says who the client is"


def test_datasette(lab: Lab) -> None:
    """ASGI, from a chain of calls."""
    versions = lab.request("datasette.localhost", "/-/versions.json").json()
    assert versions["datasette"]["version"] == "0.65.5"
    assert versions["asgi"] == "3.0"
    assert b"Datasette" in lab.request("datasette.localhost", "/").body


def test_radicale(lab: Lab) -> None:
    """With compiled parts, a configuration of its own, and data that outlives releases."""
    site, path = "radicale.localhost", "/ann/calendar"
    event = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nEND:VCALENDAR\r\n"
    kind = {"Content-Type": "text/calendar; charset=utf-8"}
    body = event.encode()
    assert lab.request(site, path, method="PUT", body=body, headers=kind).status == 401
    known = kind | {"Authorization": "Basic " + base64.b64encode(b"ann:plum").decode()}
    wrong = kind | {"Authorization": "Basic " + base64.b64encode(b"ann:pear").decode()}
    assert lab.request(site, path, method="PUT", body=body, headers=wrong).status == 401
    assert lab.request(site, path, method="PUT", body=body, headers=known).status == 201
    assert b"VCALENDAR" in lab.request(site, path, headers=known).body
    kept = lab.host("app1").run("ls /srv/radicale/shared/collections/collection-root/ann")
    assert kept.stdout.split() == ["calendar"]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """The same small app in every way that there is to say what it requires."""
    root = tmp_path_factory.mktemp("projects")
    uv = str(tool.find())
    found: dict[str, dict[str, object]] = {}

    def run(*command: str, cwd: Path) -> None:
        env = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def project(name: str, **source: object) -> Path:
        folder = root / name
        module = folder / "src" / f"{name}_app"
        module.mkdir(parents=True)
        main = textwrap.dedent(MAIN).format(name=name, magic=name == "loose")
        (module / "__init__.py").write_text(main)
        text = textwrap.dedent(PROJECT).format(name=f"{name}-app")
        (folder / "pyproject.toml").write_text(text)
        found[name] = {
            "source": source or {"path": str(folder)},
            "callable": f"{name}_app:app",
            "port": 8010 + len(found),
            "domains": [f"{name}.localhost"],
        }
        return folder

    project("loose")
    found["loose"]["packages"] = ["libmagic1"]
    run(uv, "lock", "--python", sys.executable, cwd=project("locked"))
    folder = project("pylocked")
    run(uv, "pip", "compile", "--universal", "--python-version=3.11", "--format=pylock.toml",
        "--output-file=pylock.toml", "pyproject.toml", cwd=folder)  # fmt: skip
    folder = project("wheeled", distributions=[str(root / "wheeled_app-1.0-py3-none-any.whl")])
    run(uv, "build", "--wheel", "--out-dir", str(root), cwd=folder)
    folder = project("tagged", git=str(root / "tagged"), version="v1")
    for command in ("init --quiet", "add .", "commit --quiet --message=first", "tag v1"):
        run("git", "-c", "user.name=a", "-c", "user.email=a@b.c", *command.split(), cwd=folder)
    (folder / "pyproject.toml").write_text("never committed")
    return found


def test_every_way_to_say_what_an_app_requires(
    lab: Lab, projects: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    given = tmp_path / "apps.json"
    given.write_text(json.dumps({"apps": {**APPS, **projects}}))
    first = lab.playbook("playbooks/deploy.yml", "-e", f"@{given}")
    assert first.returncode == 0, first.stdout
    assert "apps.loose.source: " in first.stderr
    assert "does not pin" in first.stderr
    assert "apps.locked" not in first.stderr
    assert "apps.pylocked" not in first.stderr
    for name in projects:
        answers = [lab.request(f"{name}.localhost", "/").json() for _ in range(4)]
        assert {answer["host"] for answer in answers} == set(HOSTS)
        for answer in answers:
            assert (answer["app"], answer["idna"]) == (name, "3.10")
            assert "/.venv/lib/" in answer["file"] or name == "tagged", answer["file"]
        assert bool(answers[0]["magic"]) == (name == "loose")
    again = lab.playbook("playbooks/deploy.yml", "-e", f"@{given}")
    assert again.stdout.count("changed=0") == again.stdout.count("changed="), again.stdout


def test_what_has_no_wheel_is_built_on_one_host_of_each_platform(lab: Lab, tmp_path: Path) -> None:
    """netifaces is C, and an sdist for these Pythons. app3 is of app1's platform, and has no
    compiler; what is built once serves the next hosts as well."""
    compiler = "apt-get update -qq && apt-get install -qq -y --no-install-recommends"
    for name in HOSTS:
        done = lab.host(name).run(f"{compiler} gcc libc6-dev python3-dev")
        assert done.rc == 0, done.stderr
    assert lab.host("app3").run("command -v cc gcc").rc != 0
    (tmp_path / "main.py").write_text(textwrap.dedent(NATIVE))
    (tmp_path / "requirements.txt").write_text("netifaces==0.11.0\n")
    given = tmp_path / "apps.json"
    entry = {
        "source": {"path": str(tmp_path)},
        "callable": "main:app",
        "port": 8040,
        "domains": ["native.localhost"],
        "hosts": [*HOSTS, "app3"],
    }
    given.write_text(json.dumps({"apps": {**APPS, "native": entry}}))
    run = lab.playbook("playbooks/deploy.yml", "-e", f"@{given}", "-e", "app=native")
    assert run.returncode == 0, run.stdout
    found = re.findall(
        r"TASK \[app : (Build from|Take what)[^\n]+\n((?:(?!TASK).*\n)+)", run.stdout
    )
    done = {step: set(re.findall(r"changed: \[(\w+)\]", text)) for step, text in found}
    assert done == {"Build from": {"app1", "app2"}, "Take what": {"app3"}}, run.stdout
    answers = [lab.request("native.localhost", "/").json() for _ in range(6)]
    assert {answer["host"] for answer in answers} == {*HOSTS, "app3"}
    assert all("AF_INET6" in answer["families"] for answer in answers)
    again = lab.playbook("playbooks/deploy.yml", "-e", f"@{given}", "-e", "app=native")
    assert again.stdout.count("changed=0") == again.stdout.count("changed="), again.stdout


@contextmanager
def cut_off(lab: Lab) -> Iterator[None]:
    """Let the app hosts reach nobody but the lab's own network."""
    rule = (
        "type filter hook output priority 0; "
        "ip daddr 10.0.0.0/8 accept; ip daddr 127.0.0.0/8 accept; meta nfproto ipv4 drop;"
    )
    for name in HOSTS:
        assert lab.host(name).run(f"nft 'table inet out {{ chain output {{ {rule} }}; }}'").rc == 0
    try:
        yield
    finally:
        for name in HOSTS:
            lab.host(name).run("nft delete table inet out")


def test_hosts_without_a_way_out_take_the_wheels_along(
    lab: Lab, projects: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    """For each of their Pythons; uv's cache on the hosts is emptied before."""
    app = {**projects["locked"], "port": 8030, "domains": ["cut.localhost"]}
    source: dict[str, object] = dict(app["source"])  # type: ignore[call-overload]
    given = tmp_path / "apps.json"
    given.write_text(json.dumps({"apps": {**APPS, "cut": {**app, "source": {
        **source, "wheels": str(tmp_path / "wheels")}}}}))  # fmt: skip
    gathered = lab.playbook("playbooks/wheels.yml", "-e", f"@{given}", "-e", "app=cut")
    assert gathered.returncode == 0, gathered.stdout
    names = {path.name for path in (tmp_path / "wheels").iterdir()}
    for python in ("cp311", "cp313"):
        assert any(name.startswith("markupsafe") and python in name for name in names), names
    again = lab.playbook("playbooks/wheels.yml", "-e", f"@{given}", "-e", "app=cut")
    assert again.stdout.count("changed=0") == again.stdout.count("changed="), again.stdout
    for name in HOSTS:
        lab.host(name).run("rm -r /var/cache/fuego-deploy/uv")
    with cut_off(lab):
        run = lab.playbook("playbooks/deploy.yml", "-e", f"@{given}", "-e", "app=cut")
    assert run.returncode == 0, run.stdout
    answers = [lab.request("cut.localhost", "/").json() for _ in range(4)]
    assert {answer["host"] for answer in answers} == set(HOSTS)


def test_what_cannot_be_resolved_touches_no_host(lab: Lab, tmp_path: Path) -> None:
    newer = {**APPS["httpbin"], "source": {"requirements": ["httpbin==9.9"]}}
    given = tmp_path / "apps.json"
    given.write_text(json.dumps({"apps": {**APPS, "httpbin": newer}}))
    run = lab.playbook("playbooks/deploy.yml", "-e", f"@{given}")
    assert run.returncode != 0
    assert "apps.httpbin.source: what it requires cannot be resolved" in run.stdout
    assert "Nothing was switched" in run.stdout
    assert lab.request("httpbin.localhost", "/status/200").status == 200
