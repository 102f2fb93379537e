"""What the playbooks' filters make of results and hosts."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "filter"))

from run import failure, former_releases


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


def host(previous: str = "", held: str = "", since: str = "1") -> dict[str, Any]:
    hold = {"release": held, "since": since} if held else None
    return {"run_found": {"apps": {"shop": {"previous": previous, "hold": hold}}}}


def test_a_rollback_goes_where_most_hosts_were() -> None:
    hosts = [host("old"), host("older"), host("old"), host(), {}]
    assert former_releases(hosts, "rollback", "") == {"shop": "old"}
    assert former_releases(hosts, "rollback", "older") == {"shop": "older"}


def test_all_but_a_deploy_keep_what_holds() -> None:
    hosts = [host("new", held="old", since="1"), host(held="newer", since="2"), host()]
    assert former_releases(hosts, "site", "") == {"shop": "newer"}
    assert former_releases(hosts, "deploy", "") == {}
    assert former_releases([host("old")], "site", "") == {}
