"""Every framework serves on each of its servers, behind nginx as in front of a developer."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import time

import httpx
import pytest
import yaml
from conftest import HTTP_PORT, INVENTORY, Answer, Lab
from websockets.sync.client import connect

APPS = yaml.safe_load((INVENTORY / "group_vars/all/apps.yml").read_text())["apps"]
HOSTS = {"app1", "app2"}
WSGI = {"gunicorn", "uwsgi"}
ASGI = [name for name, app in APPS.items() if app["server"] not in WSGI]
DJANGO = [name for name in APPS if name.startswith("django-")]
SERVES = {"gunicorn-uvicorn": "gunicorn"}
HTML = {"Accept": "text/html,*/*;q=0.8"}
PATIENCE = 20  # seconds

every_app = pytest.mark.parametrize("app", APPS)
every_live_app = pytest.mark.parametrize("app", ASGI)
every_project = pytest.mark.parametrize("app", DJANGO)


def site(app: str) -> str:
    return f"{app}.localhost"


def allowed(lab: Lab, app: str) -> dict[str, str]:
    """The headers without which Django takes no form."""
    if app not in DJANGO:
        return {}
    given = lab.request(site(app), "/form").headers["set-cookie"]
    token = re.findall(r"csrftoken=(\w+)", given)[0]
    return {"X-CSRFToken": token, "Cookie": f"csrftoken={token}"}


def send_form(
    lab: Lab, app: str, text: str, content: bytes, headers: dict[str, str] | None = None
) -> Answer:
    form = httpx.Request(
        "POST", "http://unused/", data={"text": text}, files={"file": ("x.bin", content)}
    )
    kind = {"Content-Type": form.headers["Content-Type"]}
    given = kind | (allowed(lab, app) if headers is None else headers)
    return lab.request(site(app), "/form", method="POST", headers=given, body=form.read())


@every_app
def test_it_serves_on_every_host(lab: Lab, app: str) -> None:
    server = APPS[app]["server"]
    answers = [lab.request(site(app), "/whoami").json() for _ in range(6)]
    assert {answer["host"] for answer in answers} == HOSTS
    assert {answer["server"] for answer in answers} == {SERVES.get(server, server)}
    assert {answer["protocol"] for answer in answers} == {"asgi" if app in ASGI else "wsgi"}
    assert all(answer["load_balancer"] == "lb1" and answer["release"] for answer in answers)


@every_app
def test_the_client_is_the_real_one(lab: Lab, app: str) -> None:
    claimed = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
    seen = lab.request(site(app), "/whoami", headers=claimed).json()
    assert seen["client"] == seen["forwarded_for"] != "6.6.6.6"
    assert seen["scheme"] == "http"


@every_app
def test_who_is_no_balancer_is_not_believed(lab: Lab, app: str) -> None:
    """From one app host to the other, past nginx. A port that speaks uwsgi is closed to it."""
    if APPS[app]["server"] == "uwsgi":
        pytest.skip("molecule/servers proves that nobody reaches it")
    address = lab.host("app1").run("ss -Htln").stdout
    listening = re.findall(rf"(\S+):{APPS[app]['port']}\s", address)[0]
    ask = (
        f"from urllib.request import Request, urlopen; "
        f"told = dict(Host='{site(app)}'); told['X-Forwarded-For'] = '6.6.6.6'; "
        f"url = 'http://{listening}:{APPS[app]['port']}/whoami'; "
        f"print(urlopen(Request(url, headers=told), timeout=10).read().decode())"
    )
    answer = lab.host("app2").run(f'python3 -c "{ask}"')
    assert answer.rc == 0, answer.stderr
    seen = json.loads(answer.stdout)
    assert seen["client"] != seen["forwarded_for"] == "6.6.6.6"


@every_app
def test_page_and_stylesheet(lab: Lab, app: str) -> None:
    """From both hosts, since the page of one names the file that the other is asked for."""
    for _ in range(4):
        page = lab.request(site(app), "/", headers=HTML)
        assert page.status == 200, page.body
        path = re.findall(rb'"(/static/[^"]+\.css)"', page.body)[0].decode()
        style = lab.request(site(app), path)
        assert (style.status, style.headers["content-type"].partition(";")[0]) == (200, "text/css")


@every_app
def test_a_form_with_a_file(lab: Lab, app: str) -> None:
    content = os.urandom(2_000_000)
    answer = send_form(lab, app, "a b", content)
    assert answer.status == 200, answer.body
    digest = hashlib.sha256(content).hexdigest()
    received = {"name": "x.bin", "size": len(content), "sha256": digest}
    assert answer.json() == {"text": "a b", "files": [received]}


@every_app
def test_10_mb_arrive_whole(lab: Lab, app: str) -> None:
    body = os.urandom(10_000_000)
    answer = lab.request(site(app), "/whoami", method="POST", body=body)
    assert answer.json()["received"] == len(body)


@every_live_app
def test_events_come_through(lab: Lab, app: str) -> None:
    headers = {"Last-Event-ID": "41"}
    answer = lab.request(site(app), "/events?count=2", headers=headers)
    assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
    data = re.findall(rb"^data: (.+)$", answer.body, flags=re.MULTILINE)
    assert [json.loads(one)["count"] for one in data] == [42, 43]


@every_live_app
def test_a_websocket_comes_through(lab: Lab, app: str) -> None:
    wire = socket.create_connection((lab.addresses["lb1"], HTTP_PORT), timeout=20)
    with connect(f"ws://{site(app)}/ws", sock=wire, proxy=None) as peer:
        greeting = json.loads(peer.recv(timeout=20))
        assert greeting["host"] in HOSTS
        for message in ("hé", b"\0\xff"):
            peer.send(message)
            assert peer.recv(timeout=20) == message


@every_live_app
def test_work_goes_on_after_the_answer(lab: Lab, app: str) -> None:
    started = lab.request(site(app), "/later", method="POST")
    assert started.status == 202, started.body
    before = started.json()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        now = lab.request(site(app), "/later").json()
        if now["pid"] == before["pid"] and now["host"] == before["host"]:
            if now["done"] == before["done"] + 1:
                return
            time.sleep(0.2)
    pytest.fail(f"what {before['host']} began was never done")


@every_app
def test_every_kind_of_client_is_served(lab: Lab, app: str) -> None:
    without = () if app in ASGI else ("websocket", "events")
    with lab.traffic(site(app), rate=20, without=without, lasting=1) as traffic:
        traffic.mark("look at it")
        time.sleep(5)
    report = traffic.report()
    assert not report.failed, report.summary()
    assert set(report.hosts) == HOSTS


@every_project
def test_the_guestbook_is_one(lab: Lab, app: str) -> None:
    """Migrated once, written by both hosts, read from both."""
    query = "select count(*) from django_migrations where app = 'guestbook'"
    asked = lab.host("lb1").run(f'runuser -u postgres -- psql -tAc "{query}" {app}')
    assert asked.stdout.strip() == "1", asked.stderr
    token = allowed(lab, app)
    texts = [f"entry {number} of {app}" for number in range(4)]
    for text in texts:
        assert send_form(lab, app, text, b"", token).status == 200
    for _ in HOSTS:  # one after the other
        entries = lab.request(site(app), "/entries").json()["entries"][: len(texts)]
        assert [entry["text"] for entry in entries] == texts[::-1]
        assert {entry["host"] for entry in entries} == HOSTS


@every_project
def test_a_form_without_its_token_is_refused(lab: Lab, app: str) -> None:
    assert send_form(lab, app, "x", b"", headers={}).status == 403
