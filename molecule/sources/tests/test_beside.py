"""Processes and jobs run beside the service, of the same release, and go with it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml
from conftest import INVENTORY, Lab

APPS = yaml.safe_load((INVENTORY / "group_vars/all/apps.yml").read_text())["apps"]
HOSTS = ("app1", "app2")
SHARED = "/srv/busy/shared"
MAIN = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ["GREETING"].encode() + b", " + os.environ["NAME"].encode()]
"""
WORK = """
import os, signal, sys, time

def note(text):
    with open("../../../shared/worked", "a") as file:
        print(os.environ["APP_RELEASE"], text, file=file)

def stop(number, frame):
    time.sleep(1)  # what it is at takes a while
    note("finished")
    sys.exit()

signal.signal(signal.SIGTERM, stop)
note("began")
while True:
    time.sleep(0.1)
"""
LONG = """
import os, time

def note(text):
    with open("../../../shared/long", "a") as file:
        print(os.environ["APP_RELEASE"], text, file=file)

note("began")
until = time.monotonic() + 90
while not os.path.exists("../../../shared/go") and time.monotonic() < until:
    time.sleep(0.1)
note(open("late.txt").read())
"""
BEGIN: dict[str, Any] = {
    "source": {},
    "callable": "main:app",
    "port": 8020,
    "domains": ["busy.localhost"],
    "env": {"NAME": "Bea"},
    "processes": {"worker": {"command": "python work.py"}},
    "jobs": {"tidy": {"command": "sh -c 'hostname >>../../../shared/tidied'",
                      "schedule": "*:*:*"},
             "long": {"command": "python long.py", "schedule": "*:*:0/3"}},
}  # fmt: skip
Deploy = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the apps as they were deployed last."""
    return tmp_path_factory.mktemp("busy") / "apps.json"


@pytest.fixture(scope="module")
def deploy(lab: Lab, given: Path) -> Deploy:
    """Deploy the app beside those of the inventory, from a source with that worker."""
    folder = given.parent
    (folder / "app").mkdir()

    def run(work: str = WORK, **changed: object) -> CompletedProcess[str]:
        (folder / "app" / "main.py").write_text(MAIN)
        (folder / "app" / "work.py").write_text(work)
        (folder / "app" / "long.py").write_text(LONG)
        (folder / "app" / "late.txt").write_text(f"{len(work)}")
        settings = folder / "busy.env"
        settings.write_text('# of the team\nexport GREETING="it\'s $HOME"\nNAME=Al\n')
        entry = {**BEGIN, "source": {"path": str(folder / "app")}, "env_files": [str(settings)]}
        entry |= changed
        given.write_text(json.dumps({"apps": {**APPS, "busy": entry}}))
        return lab.playbook("playbooks/deploy.yml", "-e", f"@{given}", "-e", "app=busy")

    return run


def said(lab: Lab, host: str, where: str = "worked") -> list[list[str]]:
    """What the worker noted there, or the job that takes long, as release and word."""
    text = lab.host(host).run(f"cat {SHARED}/{where}").stdout
    return [line.split() for line in text.splitlines()]


def tidied(lab: Lab) -> list[str]:
    """Where the job ran, each time."""
    text: str = lab.host("app1").run(f"cat {SHARED}/tidied").stdout
    return text.split()


def test_a_unit_of_somebody_elses_is_refused_before_anything_is_made(
    lab: Lab, deploy: Deploy
) -> None:
    host, unit = lab.host("app2"), "/etc/systemd/system/busy_worker.service"
    host.run(f"printf '[Service]\nExecStart=/bin/true\n' >{unit}")
    try:
        run = deploy()
    finally:
        host.run(f"rm {unit}")
    assert run.returncode != 0
    assert "app2: Claim the app's place on the host: apps.busy: " in run.stdout
    assert unit in run.stdout
    for made in ("ls -d /srv/busy /etc/busy", "getent passwd busy"):
        assert host.run(made).rc != 0


def test_they_begin_with_a_deploy_and_follow_its_release(lab: Lab, deploy: Deploy) -> None:
    run = deploy()
    assert run.returncode == 0, run.stdout
    first = {host: said(lab, host) for host in HOSTS}
    assert all([word for _, word in notes] == ["began"] for notes in first.values()), first
    # Each second, which systemd's own limit of starts would have ended after five.
    deadline = time.monotonic() + 30
    while len(tidied(lab)) < 10 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert len(tidied(lab)) >= 10
    assert set(tidied(lab)) == {"app1"}
    while not said(lab, "app1", "long") and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not lab.host("app2").file(f"{SHARED}/tidied").exists, "a job runs on one host"

    run = deploy(WORK + "# another release\n")
    assert run.returncode == 0, run.stdout
    for host in HOSTS:
        old, new = first[host][0][0], said(lab, host)[-1][0]
        assert said(lab, host) == [[old, "began"], [old, "finished"], [new, "began"]]
        assert old != new
    # The job began with the first release, runs on, and has its files.
    old = first["app1"][0][0]
    assert said(lab, "app1", "long") == [[old, "began"]]
    lab.host("app1").run(f"touch {SHARED}/go")
    deadline = time.monotonic() + 15
    while len(said(lab, "app1", "long")) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert said(lab, "app1", "long")[1] == [old, str(len(WORK))]
    again = deploy(WORK + "# another release\n")
    assert again.stdout.count("changed=0") == again.stdout.count("changed="), again.stdout


def test_a_process_that_does_not_stay_up_fails_the_deploy(lab: Lab, deploy: Deploy) -> None:
    before = {host: said(lab, host)[-1][0] for host in HOSTS}
    run = deploy("raise SystemExit('no queue here')\n")
    assert run.returncode != 0
    assert "processes.worker does not stay up" in run.stdout
    assert "no queue here" in run.stdout
    for host in HOSTS:
        assert said(lab, host)[-1] == [before[host], "began"]
        assert lab.host(host).service("busy_worker").is_running


def test_one_that_is_killed_comes_back_and_one_that_is_down_is_shown(lab: Lab, given: Path) -> None:
    host = lab.host("app1")
    count = len(said(lab, "app1"))
    assert host.run("systemctl kill --signal=KILL busy_worker").rc == 0
    deadline = time.monotonic() + 10
    while len(said(lab, "app1")) == count and time.monotonic() < deadline:
        time.sleep(0.2)
    assert said(lab, "app1")[-1][1] == "began"
    assert host.run("systemctl stop busy_worker").rc == 0
    status = lab.playbook("playbooks/status.yml", "-e", f"@{given}")
    assert "worker inactive" in status.stdout, status.stdout


def test_what_is_taken_out_of_the_entry_stops(lab: Lab, deploy: Deploy) -> None:
    refused = deploy(jobs={"tidy": {"command": "true", "schedule": "every day"}})
    assert refused.returncode != 0
    assert "apps.busy.jobs.tidy.schedule: " in refused.stdout
    run = deploy(processes={}, jobs={})
    assert run.returncode == 0, run.stdout
    for host in HOSTS:
        left = lab.host(host).run("ls /etc/systemd/system | grep busy_; pgrep -f 'work[.]py'")
        assert left.stdout == ""
    assert lab.request("busy.localhost", "/").body == b"it's $HOME, Bea"
