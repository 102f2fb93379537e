"""client → nginx → gunicorn | uvicorn → Fuego app → back the same way, for both protocols."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from conftest import Lab, exposure

SITES = {"hello.localhost": ("gunicorn", "wsgi"), "hello-async.localhost": ("uvicorn", "asgi")}
HOSTS = ("app1", "app2", "app3")
APPS = ("hello", "hello-async")

sites = pytest.mark.parametrize("site", SITES)


def access_log(lab: Lab, request_id: str) -> list[dict[str, Any]]:
    """Return the lines of the balancer's access log that carry `request_id`."""
    lines = lab.host("lb1").run(f"grep -h {request_id} /var/log/nginx/access.log").stdout
    return [json.loads(line) for line in lines.splitlines()]


@sites
def test_requests_spread_over_all_hosts(lab: Lab, site: str) -> None:
    answered = Counter(lab.request(site, "/whoami").json()["host"] for _ in range(300))
    print(f"spread of 300 requests to {site}: {dict(sorted(answered.items()))}")
    assert set(answered) == set(HOSTS)
    assert all(80 <= count <= 120 for count in answered.values()), answered


@sites
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_whoami_names_the_server_that_runs(lab: Lab, site: str, method: str) -> None:
    answer = lab.request(site, "/whoami", method=method, body=b"x" if method == "POST" else None)
    who = answer.json()
    assert answer.status == 200
    assert (who["server"], who["protocol"]) == SITES[site]
    host, app = lab.host(who["host"]), site.partition(".")[0]
    main = host.run(f"systemctl show --property=MainPID --value {app}").stdout.strip()
    assert f"/bin/{SITES[site][0]}" in host.file(f"/proc/{main}/cmdline").content.decode()
    assert f"/{app}.service" in host.file(f"/proc/{who['pid']}/cgroup").content.decode()


@sites
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_request_id_is_the_same_all_the_way(lab: Lab, site: str, method: str) -> None:
    answer = lab.request(
        site, "/whoami", method=method, headers={"X-Request-ID": "forged"}, body=b""
    )
    who = answer.json()
    request_id = answer.headers["x-request-id"]
    assert request_id != "forged"
    assert who["request_id"] == request_id
    (line,) = access_log(lab, request_id)
    assert line["status"] in (200, "200")
    assert line["upstream_addr"]
    app = site.partition(".")[0]
    journal = lab.host(who["host"]).run(f"journalctl --unit {app} --output=cat").stdout
    assert request_id in journal


@sites
def test_forged_forwarded_headers_are_overwritten(lab: Lab, site: str) -> None:
    genuine = lab.request(site, "/whoami").json()
    forged = lab.request(
        site,
        "/whoami",
        headers={
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Host": "evil.example",
            "X-Forwarded-Port": "666",
            "X-Load-Balancer": "evil.example",
            "X_Forwarded_For": "203.0.113.9",
            "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
        },
    ).json()
    assert genuine["forwarded_for"]
    assert forged["forwarded_for"] == genuine["forwarded_for"]
    assert forged["client"] == genuine["client"] == genuine["forwarded_for"]
    assert forged["scheme"] == "http"
    assert forged["load_balancer"] == "lb1"
    assert not {"evil.example", "203.0.113.9", "666"} & set(map(str, forged.values()))


@pytest.mark.parametrize("host", ["unknown.example", "hello.localhost.evil.example", "x"])
def test_unknown_host_is_answered_by_nginx_itself(lab: Lab, host: str) -> None:
    answer = lab.request(host, "/whoami")
    assert answer.status == 404
    (line,) = access_log(lab, answer.headers["x-request-id"])
    assert line["upstream_addr"] in ("", "-", None)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "localhost:8080", "localhost"])
def test_default_site_answers_for_addresses(lab: Lab, host: str) -> None:
    assert lab.request(host, "/whoami").json()["protocol"] == "wsgi"


def test_nginx_hides_its_version(lab: Lab) -> None:
    assert lab.request("unknown.example").headers["server"] == "nginx"


@sites
def test_page_shows_the_path_of_its_request(lab: Lab, site: str) -> None:
    answer = lab.request(site, "/")
    page = answer.body.decode()
    assert answer.headers["content-type"].startswith("text/html")
    for part in ("lb1", SITES[site][0], answer.headers["x-request-id"]):
        assert part in page


@sites
def test_query_and_encoded_path_reach_the_app_unchanged(lab: Lab, site: str) -> None:
    assert lab.request(site, "/whoami?a=%2F&a=b%20c").status == 200
    assert lab.request(site, "/who%2Fami").status == 404


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("app", APPS)
def test_units_are_up_enabled_and_sandboxed(lab: Lab, name: str, app: str) -> None:
    host = lab.host(name)
    for unit in (f"{app}.service", f"{app}.socket"):
        assert host.service(unit).is_running
        assert host.service(unit).is_enabled
    assert exposure(lab, name, app) <= 2.0


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("app", APPS)
def test_app_cannot_write_its_code_nor_its_settings(lab: Lab, name: str, app: str) -> None:
    host = lab.host(name)
    for path in (f"/srv/{app}/current/release/src", f"/srv/{app}/current/", f"/etc/{app}"):
        denied = host.run(f"runuser -u {app} -- touch {path}/probe")
        assert denied.rc != 0, path
        assert "denied" in denied.stderr
    assert host.run(f"runuser -u {app} -- touch /srv/{app}/shared/probe").rc == 0
    host.run(f"rm /srv/{app}/shared/probe")


def test_app_logs_nothing_twice(lab: Lab) -> None:
    answer = lab.request("hello.localhost", "/whoami")
    who = answer.json()
    journal = lab.host(who["host"]).run("journalctl --unit hello --output=cat").stdout
    assert journal.count(answer.headers["x-request-id"]) == 1
