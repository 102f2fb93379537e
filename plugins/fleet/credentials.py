"""What can be wrong with the apps' secrets. No message shows a value, nor a part of one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fuego_deploy import credentials
from fuego_deploy.layout import DeployError

from fleet.catalogue import Catalogue, Plain
from fleet.entry import App
from fleet.reading import RESERVED_ENV, suggest

FORM = "write app_secrets: {hello: {API_KEY: '…'}}"

Reader = Callable[[str], object]
"""Host → what its variable app_secrets holds."""


class Unreadable:
    """Stands for a value that Ansible cannot make out; its own reason may show a part of it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unreadable)

    __hash__ = None  # type: ignore[assignment]


def check_secrets(
    apps: list[App], names: list[str], reader: Reader, catalogue: Catalogue, errors: list[str]
) -> None:
    """Judge what every host has for its apps; `names` are those of all apps of the inventory."""
    used = dict.fromkeys(host for app in apps for host in app.spec["hosts"])
    given = {host: reader(host) for host in used}
    for hosts, value in variants(given):
        errors += [error + hosts for error in check_shape(value, names)]
    for app in apps:
        mine = {host: own(app, given[host]) for host in app.spec["hosts"]}
        for hosts, secrets in variants(mine):
            errors += [error + hosts for error in check_app(app, secrets, catalogue)]


def variants(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Each different value, with the hosts that have it in words; none where all have the same."""
    found: list[tuple[list[str], Any]] = []
    for host, value in given.items():
        alike = next((hosts for hosts, other in found if other == value), None)
        if alike is None:
            found.append(([host], value))
        else:
            alike.append(host)
    return [(f" (on {', '.join(h)})" if len(found) > 1 else "", value) for h, value in found]


def check_shape(value: object, names: list[str]) -> Iterator[str]:
    if isinstance(value, Unreadable):
        yield f"app_secrets: {unfit(value)}"
    elif not isinstance(value, Mapping):
        yield f"app_secrets: is not a dictionary of apps; {FORM}"
    else:
        for name, secrets in value.items():
            if name not in names:
                known = ", ".join(names) or "none"
                yield (
                    f"app_secrets.{name}: there is no app of that name{suggest(name, names)}; the "
                    f"apps are {known}"
                )
            elif isinstance(secrets, Unreadable):
                yield f"app_secrets.{name}: {unfit(secrets)}"
            elif not isinstance(secrets, Mapping):
                yield f"app_secrets.{name}: is not a dictionary of names and texts; {FORM}"


def own(app: App, value: object) -> Plain:
    """The app's part of app_secrets, none where it is refused as a whole."""
    secrets = value.get(app.spec["name"]) if isinstance(value, Mapping) else None
    return dict(secrets) if isinstance(secrets, Mapping) else {}


def check_app(app: App, secrets: Plain, catalogue: Catalogue) -> Iterator[str]:
    name = app.spec["name"]
    wanted = [] if "secrets_env" in app.bad else app.spec["secrets_env"]
    size = 0
    for key, value in secrets.items():
        error = misnamed(app, key, catalogue) or unfit(value)
        if error:
            yield f"app_secrets.{name}.{key}: {error}"
            continue
        data = value.encode() if isinstance(value, str) else value
        size += len(key) + len(data)
        if key in wanted:
            try:
                credentials.read_text(name, key, data)
            except DeployError as problem:
                yield str(problem)
    for key in wanted:
        if key not in secrets:
            yield (
                f"{app.at('secrets_env')}: app_secrets.{name} has no '{key}'"
                f"{suggest(key, map(str, secrets))}; add it there, or take it out here"
            )
    if size > credentials.LARGEST:
        yield (
            f"app_secrets.{name}: {size} bytes, names included, are more than the "
            f"{credentials.LARGEST} that systemd hands to one service; lay the large ones on the "
            "hosts as files"
        )


def misnamed(app: App, key: object, catalogue: Catalogue) -> str:
    """Why no secret can have that name, or nothing."""
    name = app.spec["name"]
    if not (isinstance(key, str) and credentials.NAME.match(key)):
        return "not a name for a secret; use letters, digits and _, no digit first, at most 200"
    if key in RESERVED_ENV:
        return f"reserved, {RESERVED_ENV[key]}; take another name"
    if key in catalogue.aliases:
        return f"a setting of the server, and no secret; set it as apps.{name}.env.{key}"
    if key in app.spec["env"]:
        return f"the env of app '{name}' has that name, too; keep one of the two"
    return ""


def unfit(value: object) -> str:
    """Why it cannot be a secret, or nothing."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "has no form in UTF-8; write its bytes as !!binary, in base64"
        return ""
    if isinstance(value, bytes):
        return ""
    if isinstance(value, Unreadable):
        return (
            "Ansible cannot decrypt it, or not make out its template; mend it, or write !unsafe "
            "before it where its braces are meant as they stand"
        )
    if value is None:
        return "is empty; give it a value, or '' where none is meant"
    if isinstance(value, list | Mapping):
        return "is no single value; write it as one text"
    return "is not text, as YAML reads it; put it in quotes"
