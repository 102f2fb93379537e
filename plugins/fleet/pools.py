"""How the requests of an app are shared out: weights, limits, backups and sticky clients."""

from typing import Any

from fleet.catalogue import Plain
from fleet.entry import App
from fleet.hosts import Inventory, resolve
from fleet.reading import suggest

HEAVIEST = 65535
LEAST_SHARE = 500
"""A host with less than one request in so many is not seen to serve within a health deadline."""
MOST_STICKY = 600
"""What the weights of a pool with sticky clients may add up to: nginx makes 160 entries for each
one, and its ip_hash tells 6,271 clients apart."""


def check_pool(app: App, inventory: Inventory, errors: list[str]) -> None:
    """What the entry says of its pool, with `backup` turned into host names."""
    spec = app.spec
    if "backup" in spec and "backup" not in app.bad:
        spec["backup"] = _read_backup(app, inventory, errors)
    most = spec.get("max_conns")
    if most is not None and "max_conns" not in app.bad and most < 1:
        errors.append(
            f"{app.at('max_conns')}: {most} is below 1, the least there is; leave it out where "
            "there is to be no limit"
        )
    if "weights" in spec and "weights" not in app.bad:
        _check_weights(app, errors)
    if spec.get("canary") and "canary" not in app.bad:
        _check_canary(app, inventory, errors)


def _read_backup(app: App, inventory: Inventory, errors: list[str]) -> list[str]:
    spec, path = app.spec, app.at("backup")
    if spec["backup"] == []:
        return []
    found = resolve(path, spec["backup"], inventory, errors)
    if "hosts" in app.bad or not spec["hosts"]:
        return found
    for name in found:
        if name not in spec["hosts"]:
            errors.append(f"{path}: {_no_host_of(app, name)}")
    if set(spec["hosts"]) <= set(found):
        errors.append(
            f"{path}: every host of '{spec['name']}' is one; leave out those that serve as a rule"
        )
    if found and spec.get("sticky") and "sticky" not in app.bad:
        errors.append(
            f"{path}: nginx has no backups where clients stay on a host; leave out backup, or "
            f"sticky: {spec['sticky']}"
        )
    return found


def _check_weights(app: App, errors: list[str]) -> None:
    spec, path = app.spec, app.at("weights")
    before = len(errors)
    for name, weight in spec["weights"].items():
        if spec["hosts"] and name not in spec["hosts"]:
            errors.append(f"{path}.{name}: {_no_host_of(app, name)}")
        if type(weight) is not int or not 1 <= weight <= HEAVIEST:
            errors.append(
                f"{path}.{name}: {weight!r} is not a weight; use a whole number from 1 to "
                f"{HEAVIEST}, and to keep a host out of the pool drain it (playbooks/drain.yml)"
            )
    if len(errors) > before:
        return
    total = sum(spec["weights"].get(name, 1) for name in spec["hosts"])
    if spec.get("sticky") and total > MOST_STICKY:
        errors.append(
            f"{path}: they add up to {total}, and with sticky {MOST_STICKY} is the most; divide "
            "them all by the same number"
        )
    for serving in (set(spec["hosts"]) - set(spec.get("backup", [])), set(spec.get("backup", []))):
        weights = {name: spec["weights"].get(name, 1) for name in sorted(serving)}
        least = min(weights, key=lambda name: weights[name], default="")
        total = sum(weights.values())
        if weights and total > LEAST_SHARE * weights[least] and len(set(weights.values())) > 1:
            errors.append(
                f"{path}: {least} would get one request in {total // weights[least]}, too few to "
                f"prove that it serves; keep every host above one in {LEAST_SHARE}"
            )


def _check_canary(app: App, inventory: Inventory, errors: list[str]) -> None:
    spec, path = app.spec, app.at("canary")
    share = spec["canary"].get("weight", 1)
    if not 1 <= share <= 99:
        errors.append(f"{path}.weight: {share} is not a percentage to try; use 1 to 99")
    if "hosts" not in spec["canary"]:
        return
    found = resolve(f"{path}.hosts", spec["canary"]["hosts"], inventory, errors)
    spec["canary"]["hosts"] = found
    if not spec["hosts"]:
        return
    for name in found:
        if name not in spec["hosts"]:
            errors.append(f"{path}.hosts: {_no_host_of(app, name)}")
        elif name in spec.get("backup", []):
            errors.append(
                f"{path}.hosts: {name} is a backup, which gets no requests while others serve; "
                "name one that does"
            )
    if not set(spec["hosts"]) - set(found) - set(spec.get("backup", [])):
        errors.append(
            f"{path}.hosts: no host of '{spec['name']}' would keep the release that serves; leave "
            "one out at least"
        )


def _no_host_of(app: App, name: object) -> str:
    hosts = app.spec["hosts"]
    return (
        f"'{name}' is no host of '{app.spec['name']}'{suggest(name, hosts)}; its hosts are "
        f"{', '.join(hosts)}"
    )


def member_options(spec: Plain, name: str) -> Plain:
    """What the pool's member says of itself beside its address; nothing where it says nothing."""
    found: dict[str, Any] = {}
    if name in spec.get("weights", {}):
        found["weight"] = spec["weights"][name]
    if "max_conns" in spec:
        found["max_conns"] = spec["max_conns"]
    if name in spec.get("backup", []):
        found["backup"] = True
    return found
