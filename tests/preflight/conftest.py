"""A small healthy fleet that the tests of the preflight then spoil in one place each."""

from pathlib import Path

import pytest
from fleet.catalogue import Catalogue, load
from fleet.hosts import Host, Inventory
from fleet.plan import plan
from fleets import ROOT, Plain, Planner


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    return load(ROOT)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A project's root with the app `app`, the package `pkg` and folders that are neither."""
    for folder in ("app/shop", "pkg/src/kit", "empty"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("app/main.py", "app/shop/__init__.py", "app/shop/web.py", "pkg/pyproject.toml"):
        (tmp_path / file).touch()
    (tmp_path / "pkg/src/kit/__init__.py").touch()
    return tmp_path


@pytest.fixture
def inventory() -> Inventory:
    hosts = {"lb1": "10.0.0.1", "app1": "10.0.0.11", "app2": "fd00::12"}
    return Inventory(
        groups={
            "all": list(hosts),
            "load_balancers": ["lb1"],
            "app_servers": ["app1", "app2"],
            "nobody": [],
        },
        hosts={name: Host(name, address, address) for name, address in hosts.items()},
    )


@pytest.fixture
def planned(catalogue: Catalogue, source: Path, inventory: Inventory) -> Planner:
    """Plan the given apps: `planned({name: entry}, app_defaults)` → fleet, errors.

    `secrets` are app_secrets of every host, `host_secrets` those of some.
    """

    def run(
        apps: object,
        app_defaults: object = None,
        fleet: Inventory = inventory,
        secrets: object = None,
        host_secrets: Plain | None = None,
    ) -> tuple[Plain, list[str]]:
        def read(host: str) -> object:
            return (host_secrets or {}).get(host, {} if secrets is None else secrets)

        return plan(apps, app_defaults, fleet, catalogue, source, read)

    return run
