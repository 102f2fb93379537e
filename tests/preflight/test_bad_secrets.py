"""Secrets that are refused: by app, by name, with the mend, and never with a value."""

import datetime
from typing import Any

import pytest
from fleet.credentials import Unreadable
from fleets import Planner, entry

HUSH = "hush"
ONE_SECRET: list[tuple[str, object, object, str]] = [
    ("a dash", "API-KEY", HUSH, "not a name for a secret; use letters, digits and _, no digit"),
    ("a digit first", "1A", HUSH, "not a name for a secret"),
    ("too long", "A" * 201, HUSH, "not a name for a secret"),
    ("no text", 5, HUSH, "not a name for a secret"),
    ("systemd's", "CREDENTIALS_DIRECTORY", HUSH, "reserved, systemd sets it; take another name"),
    ("ours", "APP_NAME", HUSH, "reserved, it is set to the app's name; take another name"),
    (
        "the server's",
        "GUNICORN_WORKERS",
        HUSH,
        "a setting of the server, and no secret; set it as apps.shop.env.GUNICORN_WORKERS",
    ),
    ("of the env", "GREETING", HUSH, "the env of app 'shop' has that name, too; keep one of the"),
    ("a number", "A", 20481, "is not text, as YAML reads it; put it in quotes"),
    ("a fraction", "A", 2.0481, "is not text, as YAML reads it; put it in quotes"),
    ("YAML's yes", "A", True, "is not text, as YAML reads it; put it in quotes"),
    ("a date", "A", datetime.date(2048, 1, 1), "is not text, as YAML reads it; put it in quotes"),
    ("a list", "A", [HUSH], "is no single value; write it as one text"),
    ("a dictionary", "A", {"hush": HUSH}, "is no single value; write it as one text"),
    ("nothing", "A", None, "is empty; give it a value, or '' where none is meant"),
    ("half a character", "A", "hush\ud800", "has no form in UTF-8; write its bytes as !!binary"),
    ("a broken template", "A", Unreadable(), "Ansible cannot decrypt it, or not make out its"),
    ("NUL", "IN_ENV", "hush\0", "contains U+0000, which systemd takes into no environment"),
    ("bytes", "IN_ENV", b"hush\xff", "is no UTF-8 text, and the environment takes nothing else"),
    ("too long for it", "IN_ENV", HUSH * 40_000, "longer than the 131071 bytes that a process"),
]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [case[1:] for case in ONE_SECRET],
    ids=[case[0] for case in ONE_SECRET],
)
def test_one_secret(planned: Planner, key: object, value: object, message: str) -> None:
    apps = {"shop": entry(env={"GREETING": "hi"}, secrets_env=["IN_ENV"])}
    _, errors = planned(apps, secrets={"shop": {"IN_ENV": "good", key: value}})
    assert len(errors) == 1
    assert errors[0].startswith(f"app_secrets.shop.{key}: {message}")
    assert "hush" not in errors[0]
    assert "2048" not in errors[0]


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        (
            {"shpo": {"A": HUSH}},
            "app_secrets.shpo: there is no app of that name (did you mean 'shop'?); the apps are "
            "shop",
        ),
        ({"A": HUSH}, "app_secrets.A: there is no app of that name; the apps are shop"),
        (HUSH, "app_secrets: is not a dictionary of apps; write app_secrets: {hello: {API_KEY:"),
        ([{"shop": HUSH}], "app_secrets: is not a dictionary of apps"),
        ({"shop": HUSH}, "app_secrets.shop: is not a dictionary of names and texts; write"),
        ({"shop": None}, "app_secrets.shop: is not a dictionary of names and texts"),
        (Unreadable(), "app_secrets: Ansible cannot decrypt it"),
        ({"shop": Unreadable()}, "app_secrets.shop: Ansible cannot decrypt it"),
        (
            {"shop": {"A": HUSH * 2**17, "B": HUSH * 2**17}},
            "app_secrets.shop: 1048578 bytes, names included, are more than the 1048575 that",
        ),
    ],
)
def test_the_whole(planned: Planner, secrets: Any, message: str) -> None:
    _, errors = planned({"shop": entry()}, secrets=secrets)
    assert len(errors) == 1
    assert errors[0].startswith(message)
    assert "hush" not in errors[0]


def test_one_that_is_asked_for_and_not_there(planned: Planner) -> None:
    secrets = {"shop": {"API_KYE": HUSH}}
    told = "app_secrets.shop has no 'API_KEY' (did you mean 'API_KYE'?); add it there, or take it"
    _, errors = planned({"shop": entry(secrets_env=["API_KEY"])}, secrets=secrets)
    assert errors == [f"apps.shop.secrets_env: {told} out here"]
    _, errors = planned({"shop": entry()}, {"secrets_env": ["API_KEY"]}, secrets=secrets)
    assert errors == [f"app_defaults.secrets_env: {told} out here"]


def test_hosts_that_differ_are_named(planned: Planner) -> None:
    apps = {"shop": entry(secrets_env=["A"])}
    _, errors = planned(apps, secrets={"shop": {"A": HUSH}}, host_secrets={"app2": {}})
    assert errors == [
        "apps.shop.secrets_env: app_secrets.shop has no 'A'; add it there, or take it out here "
        "(on app2)"
    ]
    other = {"shop": {"A": "hush hush"}}
    assert planned(apps, secrets={"shop": {"A": HUSH}}, host_secrets={"app2": other})[1] == []


def test_an_app_is_not_judged_by_its_bad_keys(planned: Planner) -> None:
    _, errors = planned({"shop": entry(secrets_env=[5])}, secrets={"shop": {"A": HUSH}})
    assert errors == ["apps.shop.secrets_env[0]: 5 is not text; put it in quotes"]
