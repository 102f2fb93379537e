"""Every server serves, is restarted under traffic without a loss, and comes back by itself."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import HTTP_PORT, INVENTORY, ROOT, Lab, exposure

APPS = yaml.safe_load((INVENTORY / "group_vars/all/apps.yml").read_text())["apps"]
ASGI = {name for name, app in APPS.items() if "asgi" in app["callable"]}
HOSTS = ("app1", "app2")
SERVES = {"gthread": "gunicorn", "sync-workers": "gunicorn", "gevent": "gunicorn",
          "asgi": "gunicorn",
          "uvicorn-worker": "gunicorn", "granian-wsgi": "granian",
          "hypercorn-wsgi": "hypercorn"}  # fmt: skip
H2 = """
import socket, sys
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded
wire = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
peer = H2Connection()
peer.initiate_connection()
asked = {":method": "GET", ":path": "/whoami", ":scheme": "http", ":authority": sys.argv[3]}
peer.send_headers(1, list(asked.items()), end_stream=True)
body, ended = b"", False
while not ended:
    wire.sendall(peer.data_to_send())
    for event in peer.receive_data(wire.recv(65536)):
        if isinstance(event, ResponseReceived):
            assert b"200" in dict(event.headers).values(), event.headers
        if isinstance(event, DataReceived):
            body += event.data
        ended = ended or isinstance(event, StreamEnded)
print(body.decode())
"""
"""HTTP/2 with prior knowledge (RFC 9113, section 3.3), as no balancer speaks it."""
CUT = {
    **{app: {"websocket"} for app in ("asgi", "hypercorn", "granian")},
    "daphne": {"websocket", "events"},
}
"""What outlasts the drain and is then ended without a word, which the client sees as a loss.
uvicorn closes a WebSocket with 1012, service restart; daphne lets nothing finish."""
RATE = 6
"""Requests a second to each app: 72 in all. Ansible and all hosts share this machine."""
SLOW_CLIENTS = 100

every_app = pytest.mark.parametrize("app", APPS)


def site(app: str) -> str:
    return f"{app}.localhost"


@contextmanager
def traffic(lab: Lab, mark: str) -> Iterator[None]:
    """Traffic to all apps at once; on the way out nothing must be lost."""
    running = {}
    with ExitStack() as stack:
        for app in APPS:
            # One request at a time for each worker: two that are slow keep both from all else.
            without = {"slow"} if app == "sync-workers" else set()
            without |= set() if app in ASGI else {"websocket", "events"}
            clients = lab.traffic(site(app), rate=RATE, without=without, lasting=1)
            running[app] = stack.enter_context(clients)
            running[app].mark(mark)
        yield
    reports = {app: each.report() for app, each in running.items()}
    for app, report in reports.items():
        print(f"{app}: {report.summary()}")
    lost = {
        app: [failure for failure in report.failures if failure.client not in CUT.get(app, ())]
        for app, report in reports.items()
    }
    assert not any(lost.values()), lost
    for app, report in reports.items():
        # The one of each kind is cut on each host once, and is back on another at once.
        most = len(HOSTS) * len(CUT.get(app, ()))
        assert report.failed == len(report.failures) <= most, report.summary()


def wait_for_both(lab: Lab, app: str, seconds: float = 30) -> None:
    """Wait until both hosts answer through the balancer, and nothing but 200 comes back."""
    deadline = time.monotonic() + seconds
    seen: list[str] = []
    while time.monotonic() < deadline:
        answer = lab.request(site(app), "/whoami")
        seen = [*seen[-3:], answer.json()["host"] if answer.status == 200 else str(answer.status)]
        if len(seen) == 4 and set(seen) == set(HOSTS):
            return
    pytest.fail(f"{app} was answered by {seen} in the end")


@every_app
def test_it_serves_on_every_host(lab: Lab, app: str) -> None:
    answers = [lab.request(site(app), "/whoami").json() for _ in range(6)]
    assert {answer["host"] for answer in answers} == set(HOSTS)
    assert {answer["server"] for answer in answers} == {SERVES.get(app, app)}
    assert {answer["protocol"] for answer in answers} == {"asgi" if app in ASGI else "wsgi"}
    seen = lab.request(site(app), "/whoami", headers={"X-Forwarded-For": "6.6.6.6"}).json()
    assert seen["client"] == seen["forwarded_for"] != "6.6.6.6"
    assert seen["scheme"] == "http"


def test_a_file_in_the_servers_own_language_is_read(lab: Lab) -> None:
    long = "/whoami?" + "x" * 3000
    assert lab.request(site("gthread"), long).status == 414
    assert lab.request(site("gevent"), long).status == 200
    assert lab.request(site("uwsgi"), "/whoami").headers["x-own"] == "uwsgi"
    assert lab.request(site("hypercorn"), "/whoami").headers["alt-svc"] == 'own="hypercorn"'


def test_hypercorn_speaks_http_2_to_who_asks_it_itself(lab: Lab) -> None:
    """With the libraries that its release brings. nginx speaks HTTP/1.1 to upstreams."""
    host = lab.host("app1")
    address = host.run("ss -Htln").stdout
    listening = re.findall(rf"(\S+):{APPS['hypercorn']['port']}\s", address)[0]
    python = "/srv/hypercorn/current/release/.venv/bin/python"
    port, name = APPS["hypercorn"]["port"], site("hypercorn")
    done = host.run(f"{python} -c '{H2}' {listening} {port} {name}")
    assert done.rc == 0, done.stderr
    assert json.loads(done.stdout)["server"] == "hypercorn"


@every_app
def test_it_is_held_in(lab: Lab, app: str) -> None:
    assert all(exposure(lab, host, app) <= 2.0 for host in HOSTS)


@every_app
def test_10_mb_arrive_whole(lab: Lab, app: str) -> None:
    body = os.urandom(10_000_000)
    answer = lab.request(site(app), "/whoami", method="POST", body=body)
    assert answer.status == 200, answer.body
    assert answer.json()["received"] == len(body)


@every_app
def test_slow_clients_keep_nobody_waiting(lab: Lab, app: str) -> None:
    """Each begins a POST and goes on with a byte now and then; nginx holds them all."""
    head = f"POST /whoami HTTP/1.1\r\nHost: {site(app)}\r\nContent-Length: 1000\r\n\r\n".encode()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(
                socket.create_connection((lab.addresses["lb1"], HTTP_PORT), timeout=20)
            )
            for _ in range(SLOW_CLIENTS)
        ]
        for client in clients:
            client.sendall(head)
        for _ in range(5):
            for client in clients:
                client.sendall(b"x")
            started = time.monotonic()
            assert lab.request(site(app), "/whoami").status == 200
            assert time.monotonic() - started < 2


def test_a_deploy_to_all_of_them_loses_nothing(lab: Lab, tmp_path: Path) -> None:
    """Those that take no socket of systemd's are drained, the others as well; two change servers,
    one away from a socket of systemd's and one to it."""
    before = {app: lab.request(site(app), "/whoami").json()["release"] for app in APPS}
    changed = {app: {**entry, "env": {"GREETING": "again"}} for app, entry in APPS.items()}
    changed["asgi"]["server"], changed["hypercorn"]["server"] = "hypercorn", "uvicorn"
    del changed["hypercorn"]["server_config"]  # uvicorn reads none
    given = tmp_path / "apps.json"
    given.write_text(json.dumps({"apps": changed}))
    pids = {app: main_pids(lab, app) for app in APPS}
    with traffic(lab, "deploy to all servers"):
        run = lab.playbook("playbooks/deploy.yml", "-e", f"@{given}")
    assert run.returncode == 0, run.stdout
    for app in APPS:
        # A server's own packages are part of a release.
        same = changed[app]["server"] == APPS[app]["server"]
        assert (lab.request(site(app), "/whoami").json()["release"] == before[app]) == same
        assert not pids[app] & main_pids(lab, app)
    for app in ("asgi", "hypercorn"):
        answer = lab.request(site(app), "/whoami").json()
        assert answer["server"] == changed[app]["server"]


def main_pids(lab: Lab, app: str) -> set[tuple[str, str]]:
    """The main process of the app on each host."""
    show = f"systemctl show --property=MainPID --value {app}.service"
    return {(host, lab.host(host).run(show).stdout.strip()) for host in HOSTS}


@every_app
def test_killed_workers_come_back(lab: Lab, app: str) -> None:
    """On both hosts at once; one that has none is killed itself."""
    for host, main in main_pids(lab, app):
        children = f"pgrep --parent {main} --full 'gunicorn|uwsgi|granian|spawn_main|{app}'"
        killed = lab.host(host).run(f"kill -KILL $({children} || echo {main})")
        assert killed.rc == 0, killed.stderr
    wait_for_both(lab, app)


@pytest.mark.parametrize("app", ["daphne", "uwsgi"])
def test_what_fails_for_good_stops_and_is_shown(lab: Lab, app: str) -> None:
    """One without a socket of systemd's and one with: systemd gives up, and status says so."""
    host = lab.host("app1")
    host.run(f"mv /srv/{app}/current/served.py /srv/{app}/current/away.py")
    try:
        host.run(f"systemctl restart {app}.service")
        deadline = time.monotonic() + 120
        state = f"systemctl show --property=ActiveState --value {app}.service"
        while host.run(state).stdout.strip() != "failed" and time.monotonic() < deadline:
            time.sleep(0.5)
        assert host.run(state).stdout.strip() == "failed"
        status = lab.playbook("playbooks/status.yml")
        assert re.search(rf"^ *{app} +app1 .* failed \(", status.stdout, re.M), status.stdout
        assert lab.request(site(app), "/whoami").json()["host"] == "app2"
    finally:
        host.run(f"mv /srv/{app}/current/away.py /srv/{app}/current/served.py")
        host.run(f"systemctl reset-failed {app}.service {app}.socket")
        host.run(f"systemctl restart {app}.service")
    wait_for_both(lab, app)


def test_another_protocol_for_a_pool_that_serves_is_refused(lab: Lab, tmp_path: Path) -> None:
    changed = {**APPS, "gthread": {**APPS["gthread"], "server": "uwsgi"}}
    given = tmp_path / "apps.json"
    given.write_text(json.dumps({"apps": changed}))
    run = lab.playbook("playbooks/deploy.yml", "-e", f"@{given}")
    assert run.returncode != 0
    assert "apps.gthread.server: balancers speak http to 'gthread'" in run.stdout
    assert lab.request(site("gthread"), "/whoami").json()["server"] == "gunicorn"


def test_the_scenario_has_every_server() -> None:
    files = (ROOT / "roles/app/servers").glob("*.yml")
    deployed = {app["server"] for app in APPS.values()}
    assert {file.stem for file in files} == deployed


def test_a_uwsgi_port_answers_the_balancers_alone(lab: Lab) -> None:
    """uWSGI loads what a request's variables name, so nobody else may send it one."""
    listen = lab.host("app1").run("systemctl show --property=Listen --value uwsgi.socket").stdout
    address, _, port = listen.split()[0].rpartition(":")
    ask = f"timeout 3 bash -c '</dev/tcp/{address}/{port}'"
    assert lab.host("app2").run(ask).rc != 0
    assert lab.host("lb1").run(ask).rc == 0
    assert lab.host("app1").run(ask).rc == 0, "the health gate asks from there"
