"""What comes out of an inventory without a mistake."""

from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import (
    ArgumentSpecValidator,
)
from fleet.catalogue import Catalogue
from fleet.hosts import Host, Inventory
from fleet.plan import cautions
from fleet.source import protocol_hint
from fleets import ROOT, Plain, Planner, entry


def only(result: tuple[Plain, list[str]]) -> Plain:
    fleet, errors = result
    assert errors == []
    spec: Plain = fleet["apps"]["shop"]
    return spec


NOTHING_MORE: dict[str, list[str]] = {"packages": [], "requirements": [], "distributions": []}


def test_two_keys_are_enough(planned: Planner, source: Path) -> None:
    assert only(planned({"shop": entry()})) == {
        "name": "shop",
        "source": {"path": str(source / "app"), **NOTHING_MORE},
        "packages": [],
        "processes": {},
        "jobs": {},
        "callable": "main:wsgi_app",
        "server": "gunicorn",
        "protocol": "wsgi",
        "threads": 4,
        "timeout": 120,
        "graceful_timeout": 30,
        "port": 8000,
        "domains": [],
        "default_site": True,
        "health": {"path": "/", "status": [], "body": "", "interval": 1, "deadline": 30},
        "drain_timeout": 30,
        "hooks": {"before_activate": [], "after_activate": [], "migrate": [], "after_deploy": []},
        "working_dir": ".",
        "server_args": [],
        "unit": {},
        "env": {},
        "env_files": [],
        "secrets_env": [],
        "hosts": ["app1", "app2"],
    }


@pytest.mark.parametrize(
    "own", [{}, {"server": "uvicorn", "protocol": "asgi", "bind": "::", "env": {"A": 1}}]
)
def test_the_role_takes_what_the_preflight_hands_on(planned: Planner, own: Plain) -> None:
    spec = only(planned({"shop": entry(**own)}))
    file = ROOT / "roles" / "app" / "meta" / "argument_specs.yml"
    entry_points = yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"]
    for point in ("stage", "activate"):
        options = {"app_spec": entry_points[point]["options"]["app_spec"]}
        result = ArgumentSpecValidator(options).validate({"app_spec": spec})
        assert result.error_messages == []


def test_settings_are_those_of_the_server(planned: Planner) -> None:
    spec = only(planned({"shop": entry(server="uvicorn", callable="main:app")}, {"threads": 9}))
    assert (spec["graceful_timeout"], spec["protocol"]) == (30, "asgi")
    assert not {"threads", "timeout"} & spec.keys()


@pytest.mark.parametrize(
    ("own", "team", "workers"),
    [
        ({"workers": 3}, {}, 3),
        ({"env": {"GUNICORN_WORKERS": 3}}, {}, 3),
        ({"env": {"GUNICORN_WORKERS": "3"}}, {"workers": 5}, 3),
        ({"workers": 3}, {"env": {"GUNICORN_WORKERS": 5}}, 3),
        ({}, {"env": {"GUNICORN_WORKERS": 5}}, 5),
        ({}, {"env": {"UVICORN_WORKERS": 5}}, None),
        ({"env": {"WEB_CONCURRENCY": 4}}, {"workers": 5}, 4),
        ({"env": {"WEB_CONCURRENCY": 4, "GUNICORN_WORKERS": 3}}, {}, 3),
    ],
)
def test_the_app_wins_over_the_team(
    planned: Planner, own: Plain, team: Plain, workers: int | None
) -> None:
    spec = only(planned({"shop": entry(**own)}, team))
    assert spec.get("workers") == workers
    assert spec["env"] == {}


def test_bind_and_port_by_their_environment_names(planned: Planner) -> None:
    env = {"GUNICORN_BIND_PORT": 8001, "GUNICORN_BIND_ADDRESS": "0.0.0.0"}
    spec = only(planned({"shop": entry(env=env)}))
    assert (spec["port"], spec["bind"], spec["env"]) == (8001, "0.0.0.0", {})


def test_env_is_text_and_merged_by_name(planned: Planner) -> None:
    own = {"A": True, "B": 1.5, "C": "", "D": "a'b\"$x %n #\nü"}
    spec = only(planned({"shop": entry(env=own)}, {"env": {"A": 1, "Z": 0}}))
    assert spec["env"] == {"A": "true", "B": "1.5", "C": "", "D": "a'b\"$x %n #\nü", "Z": "0"}


def test_secrets_are_judged_and_no_part_of_the_fleet(planned: Planner) -> None:
    secrets = {"shop": {"API_KEY": "hush %$'\"{{ x }}\n", "EMPTY": "", "KEY": b"hush\xff"}}
    fleet, errors = planned(
        {"shop": entry(secrets_env=["EMPTY"])}, {"secrets_env": ["API_KEY"]}, secrets=secrets
    )
    assert errors == []
    assert fleet["apps"]["shop"]["secrets_env"] == ["EMPTY"]
    assert "hush" not in repr(fleet)


def test_health_is_merged_by_key(planned: Planner) -> None:
    spec = only(planned({"shop": entry(health={"path": "/up"})}, {"health": {"deadline": 5}}))
    assert spec["health"] == {
        "path": "/up",
        "status": [],
        "body": "",
        "interval": 1,
        "deadline": 5,
    }


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        ("app_servers", ["app1", "app2"]),
        ("app2", ["app2"]),
        (["app2", "app_servers"], ["app2", "app1"]),
    ],
)
def test_hosts(planned: Planner, hosts: object, names: list[str]) -> None:
    assert only(planned({"shop": entry(hosts=hosts)}))["hosts"] == names


def test_the_fleet_as_a_whole(planned: Planner) -> None:
    apps = {
        "shop": entry(domains=["Shop.example."], default_site=True, health={"path": "/up"}),
        "chat": entry(
            callable="main:asgi_app",
            server="gunicorn-uvicorn",
            hosts="app1",
            domains="chat.example",
            port=8001,
        ),
    }
    fleet, errors = planned(apps)
    assert errors == []
    assert fleet["load_balancers"] == [{"name": "lb1", "address": "10.0.0.1"}]
    assert fleet["by_host"] == {"app1": ["shop", "chat"], "app2": ["shop"]}
    assert fleet["sites"] == [
        {
            "name": "shop",
            "domains": ["shop.example"],
            "default_site": True,
            "port": 8000,
            "health": {"path": "/up", "status": [], "body": ""},
            "sticky": "",
            "upstream_protocol": "http",
            "members": [
                {"name": "app1", "address": "10.0.0.11", "port": 8000},
                {"name": "app2", "address": "fd00::12", "port": 8000},
            ],
        },
        {
            "name": "chat",
            "domains": ["chat.example"],
            "default_site": False,
            "port": 8001,
            "health": {"path": "/", "status": [], "body": ""},
            "sticky": "",
            "upstream_protocol": "http",
            "members": [{"name": "app1", "address": "10.0.0.11", "port": 8001}],
        },
    ]


def test_an_explicit_address_is_what_balancers_reach(planned: Planner) -> None:
    fleet, errors = planned({"shop": entry(hosts="app1", bind="10.0.0.99")})
    assert errors == []
    assert fleet["sites"][0]["members"][0]["address"] == "10.0.0.99"


def test_everything_on_one_host(planned: Planner) -> None:
    host = Host("all-in-one", "127.0.0.1", "127.0.0.1")
    groups = {"load_balancers": ["all-in-one"], "app_servers": ["all-in-one"]}
    fleet, errors = planned({"shop": entry()}, None, Inventory(groups, {host.name: host}))
    assert errors == []
    assert fleet["by_host"] == {"all-in-one": ["shop"]}


def test_protocol_silences_the_name(planned: Planner) -> None:
    spec = only(planned({"shop": entry(server="uvicorn", protocol="asgi")}))
    assert spec["protocol"] == "asgi"


@pytest.mark.parametrize(
    ("target", "protocol"),
    [
        ("main:wsgi_app", "wsgi"),
        ("main:asgi_app", "asgi"),
        ("project.wsgi:application", "wsgi"),
        ("project.asgi:application", "asgi"),
        ("project.wsgi:asgi_app", "asgi"),
        ("main:wsgi_to_asgi", None),
        ("main:app", None),
    ],
)
def test_protocol_by_name(target: str, protocol: str | None) -> None:
    assert protocol_hint(target) == protocol


@pytest.mark.parametrize("target", ["shop:app", "shop.web:app", "kit:app", "main:shop.app"])
def test_modules_that_are_there(planned: Planner, target: str) -> None:
    source = {"path": "app", "packages": ["pkg"]}
    assert planned({"shop": entry(source=source, callable=target)})[1] == []


@pytest.mark.parametrize(
    ("server", "hosts", "told"),
    [("hypercorn", "app1", 1), ("hypercorn", "app_servers", 0), ("gunicorn", "app1", 0)],
)
def test_a_server_without_a_socket_on_one_host_is_told_of(
    planned: Planner, catalogue: Catalogue, server: str, hosts: str, told: int
) -> None:
    fleet, errors = planned({"shop": entry(server=server, hosts=hosts)})
    assert errors == []
    found = cautions(fleet, catalogue)
    assert len(found) == told
    assert all("apps.shop.server: hypercorn" in line and "gunicorn" in line for line in found)


def test_processes_run_on_all_hosts_and_jobs_on_the_first(planned: Planner) -> None:
    given = {
        "processes": {"worker": {"command": "work"}, "one": {"command": "x", "hosts": ["app2"]}},
        "jobs": {"tidy": {"command": "tidy --all", "schedule": "daily"}},
    }
    spec = only(planned({"shop": entry(**given)}))
    assert spec["processes"]["worker"] == {
        "command": "work", "stop_timeout": 30, "hosts": ["app1", "app2"],
    }  # fmt: skip
    assert spec["processes"]["one"]["hosts"] == ["app2"]
    assert spec["jobs"]["tidy"] == {
        "command": "tidy --all", "schedule": "daily", "timeout": 3600, "hosts": ["app1"],
    }  # fmt: skip


def test_files_of_the_environment_stand_below_the_entry_s_own(
    planned: Planner, source: Path
) -> None:
    """Later files win, and the server's own names stand for their keys."""
    (source / "a.env").write_text(
        "# comment\nexport A='1 2'  # why\nB=$HOME\nC=\nD=file\n"
        "URL=u:p#s@h  # it's\nCOLOR=#fff\nL=a\u2028X=b\n"
        'Q="a \\"b\\""\'c d\'e\\ f\r\n'
    )
    (source / "b.env").write_text("A=3\nGUNICORN_THREADS=7\n")
    given = entry(env_files=["a.env", "b.env"], env={"D": "own"})
    spec = only(planned({"shop": given}))
    assert spec["env"] == {"A": "3", "B": "$HOME", "C": "", "D": "own", "URL": "u:p#s@h",
                           "COLOR": "#fff", "L": "a\u2028X=b", "Q": 'a "b"c de f'}  # fmt: skip
    assert spec["threads"] == 7


def test_one_file_of_the_environment_and_one_of_all_apps(planned: Planner, source: Path) -> None:
    (source / "a.env").write_text("A=a\nB=a\n")
    (source / "all.env").write_text("B=all\nC=all\n")
    spec = only(planned({"shop": entry(env_files="a.env")}, {"env_files": ["all.env"]}))
    assert spec["env"] == {"A": "a", "B": "a", "C": "all"}


@pytest.mark.parametrize("line", ["A B=1", "A", "1A=x", "A=1 2", "A='1"])
def test_a_line_that_is_no_setting_is_named(planned: Planner, source: Path, line: str) -> None:
    (source / "a.env").write_text(f"OK=1\n{line}\n")
    _, errors = planned({"shop": entry(env_files=["a.env"])})
    assert len(errors) == 1
    assert errors[0].startswith(f"apps.shop.env_files: {source / 'a.env'}:2: ")


def test_a_repository_is_fetched_later(planned: Planner, source: Path) -> None:
    remote = {"git": "https://git.example/shop.git", "version": "1.5", "path": "backend"}
    assert only(planned({"shop": entry(source=remote)}))["source"] == {
        **remote,
        **NOTHING_MORE,
    }
    here = only(planned({"shop": entry(source={"git": "app"})}))["source"]
    assert here == {"git": str(source / "app"), **NOTHING_MORE}
