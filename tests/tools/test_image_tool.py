"""What `make image` takes of an inventory, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import image
import pytest
import yaml


def inventory(folder: Path, **variables: Any) -> image.Inventory:
    """Of a balancer and an app host."""
    (folder / "group_vars").mkdir()
    (folder / "group_vars/all.yml").write_text(yaml.safe_dump(variables))
    (folder / "group_vars/load_balancers.yml").write_text(
        yaml.safe_dump({"nginx_client_max_body_size": "64m", "nginx_http_port": 8080})
    )
    groups = {"load_balancers": {"hosts": {"lb1": None}}, "app_servers": {"hosts": {"app1": None}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
    return image.Inventory(str(folder), "shop")


def test_layers_stay_layers_and_what_is_a_fleets_goes(tmp_path: Path) -> None:
    shop = {"callable": "a:b", "env": {"GREETING": "{{ word }}"}, "backup": ["app3"], "port": 9,
            "health": {"path": "/up", "body": "ok"}, "secrets_env": ["KEY"],
            "hooks": {"before_activate": ["make css"], "migrate": ["migrate"]}}  # fmt: skip
    found = inventory(
        tmp_path, apps={"shop": shop, "other": {}}, app_defaults={"env": {"DB": "db"}, "port": 7},
        word="hi", app_bind="10.0.0.1", app_index_url="http://index", ansible_user="root",
    ).for_the_host()  # fmt: skip
    assert found["app_defaults"] == {"env": {"DB": "db"}}
    assert found["apps"] == {
        "shop": {
            "callable": "a:b", "env": {"GREETING": "{{ word }}", "SPT_NOENV": "1"},
            "health": {"path": "/up", "status": image.ANY_STATUS}, "secrets_env": ["KEY"],
            "hooks": {"before_activate": ["make css"]}, "workers": 2,
            "hosts": image.HOST, "default_site": True,
        }
    }  # fmt: skip
    assert found["app_secrets"] == {"shop": {"KEY": image.STAND_IN}}
    rest = {key: found[key] for key in found if not key.startswith(("apps", "app_d", "app_s"))}
    assert rest == {
        "word": "hi", "app_index_url": "http://index", "nginx_client_max_body_size": "64m",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"apps": {"shop": {"server": "granian"}}}, "apps.shop.server: an image runs gunicorn;"),
        ({"apps": {"shops": {}}}, "has no such app; apps has shops"),
        ({"apps": "{{ all_apps }}"}, "is a template or no mapping; write it out"),
    ],
)
def test_what_cannot_be_an_image(tmp_path: Path, variables: dict[str, Any], said: str) -> None:
    with pytest.raises(image.RefusedError) as caught:
        inventory(tmp_path, **variables).for_the_host()
    assert said in str(caught.value)


def test_a_vaulted_setting_is_not_put_into_an_image(tmp_path: Path) -> None:
    env = {"KEY": {"__ansible_vault": "…"}}
    found = inventory(tmp_path, apps={"shop": {}})
    found.variables["apps"]["shop"] = {"env": env}
    with pytest.raises(image.RefusedError, match=r"apps\.shop\.env\.KEY: a vaulted value"):
        found.for_the_host()
