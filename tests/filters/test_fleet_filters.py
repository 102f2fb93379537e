"""What the playbooks' filters make of results and hosts."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "filter"))

from run import failure, former_releases, over_drains


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"failed": True, "msg": "no"}, "no"),
        ({"failed": True, "stderr": "sh: no"}, "sh: no"),
        ({"failed": True}, "it gave no reason"),
        (
            {
                "failed": True,
                "msg": "One or more items failed",
                "results": [
                    {"failed": True, "msg": "lb1 refuses"},
                    {"failed": False, "msg": "fine"},
                    {"unreachable": True, "msg": "lb2 is away"},
                ],
            },
            "lb1 refuses\nlb2 is away",
        ),
    ],
)
def test_failure(result: dict[str, Any], said: str) -> None:
    assert failure(result) == said


def host(name: str, held: str = "", since: str = "1", **facts: Any) -> dict[str, Any]:
    """Hostvars with what app_run found: release `new`, `old` before it, unless told otherwise."""
    hold = {"release": held, "since": since} if held else None
    found = {"release": "new", "committed": "new", "uncommitted": False, "previous": "old",
             "kept": ["new", "old"], "hold": hold, **facts}  # fmt: skip
    return {"inventory_hostname": name, "run_found": {"apps": {"shop": found}}}


BARE: dict[str, Any] = {"release": "", "committed": "", "previous": "", "kept": []}


def goes_to(
    hosts: list[dict[str, Any]], purpose: str, given: str = ""
) -> tuple[str, str, str] | None:
    """Release, preferred activation and a host that has it; None where the inventory decides."""
    found = former_releases(hosts, purpose, given).get("shop")
    return (found["release"], found["prefer"], found["host"]) if found else None


def test_a_rollback_goes_where_most_hosts_were() -> None:
    hosts = [host("a"), host("b", previous="older"), host("c"), host("d", **BARE),
             {"inventory_hostname": "e"}]  # fmt: skip
    assert goes_to(hosts, "rollback") == ("old", "previous", "a")
    assert goes_to(hosts, "rollback", "older") == ("older", "current", "")
    assert goes_to([host("d", **BARE)], "rollback") == ("", "previous", "")


def test_a_rollback_of_a_change_that_never_ended_goes_before_it() -> None:
    """One host was switched to `newer` when the controller died; `old` was before all that."""
    hosts = [host("a", release="newer", uncommitted=True, kept=["newer", "new", "old"]), host("b")]
    assert goes_to(hosts, "rollback") == ("new", "committed", "a")


def test_all_but_a_deploy_keep_what_holds() -> None:
    hosts = [host("a", held="old", since="1"), host("b", held="new", since="2"), host("c")]
    assert goes_to(hosts, "site") == goes_to(hosts, "scale") == ("new", "current", "a")
    assert goes_to(hosts, "deploy") is None
    assert goes_to([host("a")], "site") is None


def test_a_scaling_keeps_the_release_of_the_fleet() -> None:
    assert goes_to([host("d", **BARE), host("a")], "scale") == ("new", "current", "a")
    assert goes_to([host("d", **BARE)], "scale") is None, "the inventory says what is first"


def test_only_drains_that_were_there_before_the_lock_are_over() -> None:
    drained = {
        "hello": {"app1": {"run": "r1"}, "app2": {"run": "r1"}},
        "blog": {"app1": {"run": "r1"}},
    }
    hosts: list[dict[str, Any]] = [
        {"inventory_hostname": "app1", "run_found": {"apps": {"hello": {}}}},
        {"inventory_hostname": "app2"},
    ]
    assert over_drains(drained, hosts) == {"hello": {"app1": {"run": "r1"}}, "blog": {}}
