"""Maintenance of one app on both balancers, with the other app served as ever.

The fleet is as the tests of deploys left it, and as its inventory describes it.
"""

from __future__ import annotations

import re

from conftest import Lab
from hello import RATE, SITES, Fleet

BALANCERS = ("lb1", "lb2")
MESSAGE = 'Back at 14:00; it\'s "now" $5 & <b>50 %</b> off } \\'


def assert_closed(lab: Lab) -> None:
    for balancer in BALANCERS:
        page = lab.request(SITES["hello"], "/whoami", balancer=balancer)
        assert (page.status, page.headers["retry-after"]) == (503, "600")
        assert b"Back at 14:00; it&#x27;s &quot;now&quot; &#36;5 &amp; &lt;b&gt;" in page.body
        accept = {"Accept": "application/json"}
        told = lab.request(SITES["hello"], "/", balancer=balancer, headers=accept)
        assert (told.status, told.json()["message"]) == (503, MESSAGE)
        assert lab.request(SITES["hello"], "/healthz", balancer=balancer).status == 200


def test_maintenance_outlives_runs_and_restarts(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 15."""
    with lab.traffic(SITES["hello-async"], balancers=("lb1",), rate=RATE) as other:
        other.mark("maintenance of the other app")
        closed = {"state": "on", "message": MESSAGE, "retry_after": 600}
        run = fleet.run("maintenance.yml", app="hello", **closed)
        assert run.returncode == 0, run.stdout
        assert_closed(lab)

        site = fleet.run("site.yml")
        assert site.returncode == 0, site.stdout
        assert site.stdout.count("changed=0") == site.stdout.count("changed="), site.stdout
        assert re.search(r"hello: maintenance on by \S+@\S+ since 20\S+Z: Back at", site.stdout)
        assert lab.host("lb2").run("nginx -t && systemctl restart nginx").rc == 0
        assert_closed(lab)

        off = fleet.run("maintenance.yml", app="hello", state="off")
        assert off.returncode == 0, off.stdout
        for balancer in BALANCERS:
            assert lab.request(SITES["hello"], "/whoami", balancer=balancer).status == 200
    report = other.report()
    assert not report.failed, report.summary()
