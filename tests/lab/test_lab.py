"""Addresses of the lab: the same for the same checkout and lab, others for others."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from lab import lab_hosts, lab_id, lab_network, lab_slot


def variables(number: int, **more: Any) -> dict[str, Any]:
    """Return what the inventory says of a host."""
    return {
        "lab_id": number,
        "lab_ssh": {"address": f"127.64.0.{number}", "port": 2222},
        "lab_distribution": "debian-13",
        "app_address": f"10.64.0.{number}",
        **more,
    }


def test_slots_differ_by_checkout_and_by_lab() -> None:
    slots = {lab_slot(root, lab) for root in ("/a", "/b") for lab in ("demo", "default")}
    assert len(slots) == 4
    assert lab_slot("/a", "demo") == lab_slot("/a", "demo")


def test_networks_stay_in_their_range() -> None:
    assert lab_network(0, 10) == "10.64.0"
    assert lab_network("16383", 127) == "127.127.255"
    with pytest.raises(AnsibleFilterError, match="lab_slot"):
        lab_network(16384, 10)


def test_a_hosts_address_does_not_depend_on_the_others() -> None:
    assert lab_id("lb1", True) == 11
    assert lab_id("app4", False) == 24
    with pytest.raises(AnsibleFilterError, match="set lab_id"):
        lab_id("web", False)


def test_only_the_first_balancer_answers_where_browsers_look() -> None:
    hostvars = {
        "lb1": variables(11, lab_http_port="8081"),
        "lb2": variables(12, lab_http_port="8081"),
        "app1": variables(21, lab_http_port="8081"),
    }
    hosts = lab_hosts(list(hostvars), hostvars, ["lb1", "lb2"])
    listening = {host["name"]: [(p["address"], p["port"]) for p in host["ports"]] for host in hosts}
    assert listening == {
        "lb1": [("127.64.0.11", 2222), ("127.64.0.11", 8080), ("127.0.0.1", 8081)],
        "lb2": [("127.64.0.12", 2222), ("127.64.0.12", 8080)],
        "app1": [("127.64.0.21", 2222)],
    }
    assert "--publish=127.0.0.1:8081:80" in hosts[0]["arguments"]
    assert "LAB_HTTP_PORT=8082" in hosts[0]["ports"][2]["mend"]


def test_a_host_keeps_its_network_card_over_a_reboot() -> None:
    (host,) = lab_hosts(["app1"], {"app1": variables(21)}, [])
    assert "--mac-address=02:00:0a:40:00:15" in host["arguments"]


def test_two_hosts_with_one_address_are_refused() -> None:
    with pytest.raises(AnsibleFilterError, match=r"app1 and client1 share the lab_id 21"):
        lab_hosts(["app1", "client1"], {"app1": variables(21), "client1": variables(21)}, [])
