"""The entries of docs/frameworks.md are ready to copy, each on every server it names."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from fleet.catalogue import Catalogue
from fleet.hosts import Inventory
from fleet.plan import plan
from fleets import ROOT

PAGE = (ROOT / "docs/frameworks.md").read_text(encoding="utf-8")
BLOCKS = [
    "\n".join(line[4:] for line in block.splitlines())
    for block in re.findall(r"(?:^ {4}.*\n)+", PAGE, flags=re.MULTILINE)
]


def servers(block: str) -> list[str]:
    """The server of an entry, and those that the comment beside it offers."""
    first, offered = re.findall(r"server: (\S+)(?: +# (?:or|and) ([\w, -]+))?", block)[0]
    return [first, *(offered.split(", ") if offered else [])]


CASES = [(block, server) for block in BLOCKS for server in servers(block)]


@pytest.mark.parametrize(("block", "server"), CASES)
def test_entry_passes_the_preflight(
    catalogue: Catalogue, inventory: Inventory, block: str, server: str
) -> None:
    given: dict[str, Any] = yaml.safe_load(block)
    given["apps"]["shop"]["server"] = server

    def secrets(host: str) -> object:
        return given.get("app_secrets", {})

    _, errors = plan(given["apps"], None, inventory, catalogue, ROOT, secrets)
    assert errors == []


def test_page_has_every_combination_of_the_scenario() -> None:
    scenario = ROOT / "molecule/frameworks/inventory/group_vars/all/apps.yml"
    apps = yaml.safe_load(scenario.read_text(encoding="utf-8"))["apps"].values()
    deployed = {(app["callable"], app["source"]["path"], app["server"]) for app in apps}
    told = set()
    for block, server in CASES:
        shop = yaml.safe_load(block)["apps"]["shop"]
        told.add((shop["callable"], shop["source"]["path"], server))
    assert told == deployed
