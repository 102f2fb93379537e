"""Everything that is refused, each with the app, the key and the mend in one line."""

from pathlib import Path
from typing import Any

import pytest
from fleet.hosts import Host, Inventory
from fleets import Plain, Planner, entry


def asgi(**keys: Any) -> Plain:
    return entry(callable="main:asgi_app", server="uvicorn", **keys)


ONE_APP: list[tuple[str, object, str]] = [
    ("not a dictionary", 5, "apps.shop: 5 is not a dictionary of an app's keys"),
    ("empty entry", None, "apps.shop: None is not a dictionary of an app's keys"),
    ("misspelt key", entry(workres=2), "apps.shop.workres: no such key (did you mean 'workers'?)"),
    (
        "misspelt key inside",
        entry(health={"pth": "/"}),
        "apps.shop.health.pth: no such key (did you mean 'path'?); the keys are path, status",
    ),
    ("key of the playbook", entry(name="shop"), "apps.shop.name: no such key"),
    ("no callable", entry(callable=...), "apps.shop.callable: is missing; it says: What the"),
    ("no source", entry(source=...), "apps.shop.source"),
    ("no path", entry(source={}), "apps.shop.source: names neither path, a folder, nor git"),
    (
        "unknown server",
        entry(server="gunicon"),
        "apps.shop.server: 'gunicon' is not one of daphne, granian, gunicorn, gunicorn-asgi, "
        "gunicorn-gevent, gunicorn-sync, gunicorn-uvicorn, hypercorn, uvicorn, uwsgi "
        "(did you mean 'gunicorn'?)",
    ),
    ("YAML's yes", entry(server=True), "apps.shop.server: True is not text; YAML reads"),
    ("empty key", entry(domains=None), "apps.shop.domains: is empty; give it a value or leave"),
    ("number as text", entry(callable=5), "apps.shop.callable: 5 is not text; put it in quotes"),
    ("text as number", entry(port="two"), "apps.shop.port: 'two' is not a whole number"),
    ("boolean as number", entry(workers=True), "apps.shop.workers: True is not a whole number"),
    ("text as list", entry(domains="a.b, c.d"), "apps.shop.domains: 'a.b, c.d' is not a list"),
    (
        "text as folder",
        entry(source="app"),
        "the keys path, git, version, packages, requirements,",
    ),
    ("element", entry(domains=[5]), "apps.shop.domains[0]: 5 is not text; put it in quotes"),
    (
        "WSGI on uvicorn",
        entry(server="uvicorn"),
        "apps.shop.callable: 'main:wsgi_app' is WSGI by its name and uvicorn speaks ASGI; "
        "use server: granian, gunicorn, gunicorn-gevent, gunicorn-sync, hypercorn or uwsgi, "
        "or name the ASGI callable",
    ),
    (
        "WSGI module on uvicorn",
        entry(server="uvicorn", callable="shop.wsgi:application"),
        "apps.shop.callable: 'shop.wsgi:application' is WSGI by its name",
    ),
    (
        "ASGI on gunicorn",
        entry(callable="main:asgi_app"),
        "apps.shop.callable: 'main:asgi_app' is ASGI by its name and gunicorn speaks WSGI; "
        "use server: daphne, granian, gunicorn-asgi, gunicorn-uvicorn, hypercorn or uvicorn, "
        "or name the WSGI callable",
    ),
    (
        "protocol the server does not speak",
        entry(server="uvicorn", protocol="wsgi"),
        "apps.shop.protocol: 'wsgi' is not spoken by uvicorn, which speaks ASGI; use server: "
        "granian, gunicorn, gunicorn-gevent, gunicorn-sync, hypercorn or uwsgi, "
        "or name the ASGI callable",
    ),
    (
        "version of a folder",
        entry(source={"path": "app", "version": "v1"}),
        "apps.shop.source.version: a folder has none; name a repository with git",
    ),
    (
        "repository that is no folder",
        entry(source={"git": "../nowhere"}),
        "apps.shop.source.git: there is no folder ",
    ),
    (
        "option as a version",
        entry(source={"git": "https://git.example/shop", "version": "--upload-pack=x"}),
        "apps.shop.source.version: '--upload-pack=x' is no tag, branch or commit",
    ),
    (
        "folder that leaves the repository",
        entry(source={"git": "git@git.example:shop.git", "path": "../x"}),
        "apps.shop.source.path: '../x' leaves the repository",
    ),
    (
        "source of nothing",
        entry(source={"packages": []}),
        "apps.shop.source: names neither path, a folder, nor git, a repository, nor requirements",
    ),
    (
        "requirement that is none",
        entry(source={"requirements": ["--index-url=https://x"]}),
        "apps.shop.source.requirements: '--index-url=https://x': ",
    ),
    (
        "requirement on the controller's disk",
        entry(source={"requirements": ["shop @ file:///tmp/shop"]}),
        "apps.shop.source.requirements: 'shop @ file:///tmp/shop': hosts cannot reach its address",
    ),
    (
        "distribution that is not there",
        entry(source={"distributions": ["dist/shop-1.0-py3-none-any.whl"]}),
        "apps.shop.source.distributions: there is no file ",
    ),
    (
        "distribution of another kind",
        entry(source={"distributions": ["shop.egg"]}),
        "shop.egg is neither a wheel (.whl) nor an sdist (.tar.gz)",
    ),
    (
        "working folder without a source",
        entry(source={"requirements": ["shop==1.0"]}, working_dir="site"),
        "apps.shop.working_dir: the source has no folder; leave it out",
    ),
    (
        "configuration for a server that reads none",
        entry(server="uvicorn", callable="main:asgi_app", server_config="workers = 3"),
        "apps.shop.server_config: uvicorn reads no configuration file; use env or server_args, or "
        "server: gunicorn",
    ),
    (
        "configuration that is no Python",
        entry(server_config="def (:"),
        "apps.shop.server_config: is no Python, which gunicorn reads: invalid syntax",
    ),
    (
        "home of nobody",
        entry(env_files=["~no-such-user/a.env"]),
        "apps.shop.env_files: ~no-such-user/a.env cannot be read (Could not determine home",
    ),
    (
        "wheels from no folder",
        entry(source={"path": "app", "wheels": ""}),
        "apps.shop.source.wheels: is empty; name the folder, such as wheels/shop",
    ),
    (
        "file of the environment that is not there",
        entry(env_files=["shop.env"]),
        "shop.env cannot be read (",
    ),
    (
        "folder as a file of the environment",
        entry(env_files=["app"]),
        "app cannot be read (",
    ),
    (
        "process without a command",
        entry(processes={"worker": {"hosts": "app1"}}),
        "apps.shop.processes.worker.command: is missing; write it as",
    ),
    (
        "process with a schedule",
        entry(processes={"worker": {"command": "work", "schedule": "daily"}}),
        "apps.shop.processes.worker.schedule: no such key; the keys are command, hosts, stop_",
    ),
    (
        "process that is no dictionary",
        entry(processes={"worker": "celery worker"}),
        "apps.shop.processes.worker: 'celery worker' is not a dictionary",
    ),
    (
        "process of no name",
        entry(processes={"My worker": {"command": "work"}}),
        "apps.shop.processes.My worker: not a name; use at most 31",
    ),
    (
        "command on two lines",
        entry(processes={"worker": {"command": "work\nUser=root"}}),
        "apps.shop.processes.worker.command: 'work\\nUser=root' is no text on one line",
    ),
    (
        "command that goes on on the next line",
        entry(jobs={"tidy": {"command": "true \\", "schedule": "daily"}}),
        "apps.shop.jobs.tidy.command: 'true \\\\' is no text on one line",
    ),
    (
        "command whose quotes are not closed",
        entry(processes={"worker": {"command": "python -c 'x"}}),
        "cannot be split into words: No closing quotation; mend the quotes",
    ),
    (
        "two commands",
        entry(jobs={"tidy": {"command": "a ; b", "schedule": "daily"}}),
        "apps.shop.jobs.tidy.command: 'a ; b' is more than one command; write sh -c 'one; two'",
    ),
    (
        "process on another host",
        entry(processes={"worker": {"command": "work", "hosts": "lb1"}}),
        "apps.shop.processes.worker.hosts: lb1 is no host of 'shop', which is on app1, app2",
    ),
    (
        "process that stops for too long",
        entry(processes={"worker": {"command": "work", "stop_timeout": 900}}),
        "apps.shop.processes.worker.stop_timeout: 900 is not from 1 to 240 seconds",
    ),
    (
        "job without a schedule",
        entry(jobs={"tidy": {"command": "tidy"}}),
        "apps.shop.jobs.tidy.schedule: is missing; write it as, for example, {command: python",
    ),
    (
        "job named as a process",
        entry(
            processes={"tidy": {"command": "tidy"}},
            jobs={"tidy": {"command": "tidy", "schedule": "daily"}},
        ),
        "apps.shop.jobs.tidy: there is a process of that name already",
    ),
    (
        "system package of no name",
        entry(packages=["-y"]),
        "apps.shop.packages: '-y' is not the name of a system package; write it as apt does",
    ),
    ("directive of no name", entry(unit={"memory": 1}), "apps.shop.unit.memory: not the name of a"),
    ("directive of ours", entry(unit={"User": "root"}), "apps.shop.unit.User: not to be set, each"),
    (
        "directive on two lines",
        entry(unit={"MemoryMax": "1G\nUser=root"}),
        "apps.shop.unit.MemoryMax: '1G\\nUser=root' is no text on one line",
    ),
    (
        "directive that goes on",
        entry(unit={"MemoryMax": "1G\rUser=root"}),
        "apps.shop.unit.MemoryMax: '1G\\rUser=root' is no text on one line",
    ),
    (
        "argument on two lines",
        entry(server_args=["--a\n"]),
        "apps.shop.server_args: '--a\\n' is no text on one line",
    ),
    (
        "working folder of a repository",
        entry(source={"git": "https://git.example/shop"}, working_dir="/etc"),
        "apps.shop.working_dir: '/etc' leaves the source",
    ),
    (
        "what a factory makes called",
        entry(callable="main:make().build()()"),
        "apps.shop.callable: 'main:make().build()()': what it returns is called at once",
    ),
    (
        "factory with a list as a key",
        entry(callable="main:make({[]: 1})"),
        "apps.shop.callable: 'main:make({[]: 1})': '{[]: 1}' is no literal",
    ),
    (
        "patience beyond that of a run",
        entry(graceful_timeout=1000),
        "apps.shop.graceful_timeout: 1000 is above 240, the most there is",
    ),
    (
        "port as an argument",
        entry(server_args=["--bind=0.0.0.0:80"]),
        "apps.shop.server_args: --bind: where it listens follows the keys port and bind; take it",
    ),
    (
        "HTTP/2 behind nginx",
        entry(server="granian", env={"GRANIAN_HTTP": "2"}),
        "apps.shop.env.GRANIAN_HTTP: not to be set, nginx speaks HTTP/1.1 to app servers",
    ),
    (
        "factory with what is no literal",
        entry(callable="main:wsgi_app(Config)"),
        "apps.shop.callable: 'main:wsgi_app(Config)': 'Config' is no literal; a factory takes",
    ),
    (
        "factory that is called twice",
        entry(callable="main:wsgi_app()()"),
        "apps.shop.callable: 'main:wsgi_app()()': what it returns is called at once",
    ),
    (
        "folder that is not in the source",
        entry(working_dir="../empty"),
        "apps.shop.working_dir: '../empty' leaves the source; name a folder in it",
    ),
    ("no attribute", entry(callable="main"), "apps.shop.callable: 'main' is not module:attribute"),
    ("a file", entry(callable="main.py:app "), "is not module:attribute; write it as"),
    ("no folder", entry(source={"path": "nope"}), "apps.shop.source.path: there is no folder"),
    ("a file as folder", entry(source={"path": "app/main.py"}), "is not a folder; name the one"),
    ("empty folder", entry(source={"path": "empty"}), "is empty; name the one that holds the app"),
    (
        "package without a project file",
        entry(source={"path": "app", "packages": ["app"]}),
        "apps.shop.source.packages",
    ),
    (
        "misspelt module",
        entry(callable="mian:app"),
        "apps.shop.callable: there is no module 'mian' in",
    ),
    ("module of a package", entry(callable="shop.wbe:app"), "there is no module 'shop.wbe' in"),
    ("module below a module", entry(callable="main.web:app"), "there is no module 'main.web' in"),
    ("port 0", entry(port=0), "apps.shop.port: 0 is not a port; use one from 1024 to 65535"),
    ("port 70000", entry(port=70000), "apps.shop.port: 70000 is not a port"),
    ("root's port", entry(port=80), "apps.shop.port: 80 is for root, and apps never run as root"),
    ("no worker", entry(workers=0), "apps.shop.workers: 0 is below 1, the least there is"),
    ("threads on uvicorn", asgi(threads=2), "apps.shop.threads: uvicorn has no such setting"),
    (
        "key and its name",
        entry(workers=2, env={"GUNICORN_WORKERS": 3}),
        "apps.shop.workers: set a second time as env.GUNICORN_WORKERS; keep one of the two",
    ),
    (
        "port and its name",
        entry(port=8000, env={"GUNICORN_BIND_PORT": 8000}),
        "apps.shop.port: set a second time as env.GUNICORN_BIND_PORT",
    ),
    (
        "alias that is no number",
        entry(env={"GUNICORN_BIND_PORT": "web"}),
        "apps.shop.env.GUNICORN_BIND_PORT: 'web' is not a whole number",
    ),
    (
        "alias below the least",
        entry(env={"GUNICORN_THREADS": 0}),
        "apps.shop.env.GUNICORN_THREADS: 0 is below 1",
    ),
    (
        "name of another server",
        asgi(env={"GUNICORN_WORKERS": 3}),
        "apps.shop.env.GUNICORN_WORKERS: uvicorn does not read it; the names it reads in place "
        "of keys are UVICORN_WORKERS",
    ),
    (
        "bind past the socket",
        entry(env={"GUNICORN_CMD_ARGS": "--log-level debug --bind=[::]:1"}),
        "apps.shop.env.GUNICORN_CMD_ARGS: gunicorn does not bind here, systemd does",
    ),
    ("name with a dash", entry(env={"A-B": 1}), "apps.shop.env.A-B: not a name for the environ"),
    ("our name", entry(env={"APP_NAME": "x"}), "apps.shop.env.APP_NAME: reserved"),
    ("list in env", entry(env={"A": [1]}), "apps.shop.env.A: [1] is not a single value"),
    ("nothing in env", entry(env={"A": None}), "apps.shop.env.A: is empty; give it a value, or ''"),
    ("NUL in env", entry(env={"A": "x\0"}), "apps.shop.env.A: contains a NUL byte"),
    ("env as list", entry(env=["A=1"]), "apps.shop.env: ['A=1'] is not a dictionary"),
    ("URL as domain", entry(domains=["http://x"]), "apps.shop.domains: 'http://x' is not a host"),
    ("wildcard", entry(domains=["*.x.example"]), "apps.shop.domains: '*.x.example' is not a host"),
    ("umlaut", entry(domains=["bücher.example"]), "international ones in their xn-- form"),
    (
        "never reached",
        entry(default_site=False),
        "apps.shop.domains: none are named and default_site is false",
    ),
    ("health path", entry(health={"path": "healthz"}), "apps.shop.health.path: 'healthz' is not"),
    ("health status", entry(health={"status": [20]}), "apps.shop.health.status: 20 is not an HTTP"),
    ("health deadline", entry(health={"deadline": 0}), "apps.shop.health.deadline: 0 is below 1"),
    (
        "no such group",
        entry(hosts="app_server"),
        "apps.shop.hosts: the inventory has no group or host 'app_server' (did you mean "
        "'app_servers'?)",
    ),
    ("empty group", entry(hosts="nobody"), "apps.shop.hosts: group 'nobody' has no host; add one"),
    ("no host at all", entry(hosts=[]), "apps.shop.hosts: names no host"),
    ("number as host", entry(hosts=[1]), "apps.shop.hosts: 1 is not the name of a group or a host"),
    ("bind to a name", entry(bind="app1"), "apps.shop.bind: 'app1' is not an IP address"),
    ("bind with brackets", entry(bind="[::1]"), "(IPv6 without brackets)"),
    ("bind to loopback", entry(bind="127.0.0.1"), "apps.shop.bind: '127.0.0.1' can be reached"),
    ("one address, two hosts", entry(bind="10.0.0.11"), "cannot be an address of app1 and app2"),
]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [case[1:] for case in ONE_APP],
    ids=[case[0] for case in ONE_APP],
)
def test_one_app(planned: Planner, wrong: object, message: str) -> None:
    _, errors = planned({"shop": wrong})
    assert len([e for e in errors if message in e]) == 1, errors
    assert all("\n" not in error for error in errors)


@pytest.mark.parametrize("name", ["Shop", "1shop", "-shop", "sh_op", "s" * 32, "shop\n", 5, None])
def test_name(planned: Planner, name: object) -> None:
    _, errors = planned({name: entry()})
    assert errors == [
        f"apps.{name}: not a name for an app; use at most 31 lower-case letters, digits and -, a "
        "letter first"
    ]


@pytest.mark.parametrize("apps", [None, {}, [], "shop"])
def test_no_apps(planned: Planner, apps: object) -> None:
    _, errors = planned(apps)
    assert len(errors) == 1
    assert errors[0].startswith("apps: the inventory has no app; add one, for example")


def test_all_errors_at_once(planned: Planner) -> None:
    _, errors = planned({"a": entry(workres=1, port=80), "b": 5, "c": entry(server="x")})
    assert [error.split(":")[0] for error in errors] == [
        "apps.a.workres",
        "apps.a.port",
        "apps.b",
        "apps.c.server",
        "apps.c.domains",
    ]


def test_one_mistake_is_one_error(planned: Planner) -> None:
    """What could not be read is not judged a second time."""
    for wrong in (entry(server="x"), entry(callable=5), entry(hosts="x"), entry(port="two")):
        assert len(planned({"shop": wrong})[1]) == 1


def test_app_defaults(planned: Planner) -> None:
    """Said once, however many apps there are."""
    apps = {"a": entry(), "b": entry(domains=["b.example"], port=8001)}
    assert [e.split(" (")[0] for e in planned(apps, {"sevrer": "x"})[1]] == [
        "app_defaults.sevrer: no such key"
    ]
    assert planned(apps, {"workers": 0})[1] == [
        "app_defaults.workers: 0 is below 1, the least there is"
    ]
    assert planned(apps, {"workers": 1, "env": {"GUNICORN_WORKERS": 2}})[1] == [
        "app_defaults.workers: set a second time as env.GUNICORN_WORKERS; keep one of the two"
    ]
    assert planned(apps, [1])[1] == ["app_defaults: [1] is not a dictionary of an app's keys"]


def test_two_apps_on_one_port(planned: Planner) -> None:
    apps = {"a": entry(), "b": entry(domains=["b.example"], hosts="app1")}
    assert planned(apps)[1] == [
        "apps.b.port: app 'b' has port 8000 of app1, and so has app 'a'; give one of them "
        "another, for example port: 8001"
    ]


@pytest.mark.parametrize(
    ("mine", "other", "collide"),
    [
        ("0.0.0.0", None, True),
        ("::", None, True),
        ("10.0.0.99", None, False),
        ("10.0.0.99", "10.0.0.99", True),
    ],
)
def test_ports_by_address(planned: Planner, mine: str, other: str | None, collide: bool) -> None:
    apps = {
        "a": entry(hosts="app1", bind=mine),
        "b": entry(hosts="app1", domains=["b.example"], bind=other or ...),
    }
    assert bool(planned(apps)[1]) is collide


def test_two_apps_with_one_domain(planned: Planner) -> None:
    apps = {
        "a": entry(domains=["Shop.example."]),
        "b": entry(domains=["x.example", "shop.EXAMPLE"], port=8001),
    }
    assert planned(apps)[1] == [
        "apps.b.domains: 'shop.example' belongs to app 'a' already; a domain leads to one app"
    ]


def test_two_default_sites(planned: Planner) -> None:
    apps = {"a": entry(domains=["a.example"], default_site=True), "b": entry(port=8001)}
    assert planned(apps)[1] == [
        "apps.b.domains: 'a' is the default site already, and there is one at most; name the "
        "domains of 'b', and set default_site on one app only"
    ]


def spoilt(inventory: Inventory, *hosts: Host, **groups: list[str]) -> Inventory:
    return Inventory(
        inventory.groups | groups, inventory.hosts | {host.name: host for host in hosts}
    )


def test_no_load_balancer(planned: Planner, inventory: Inventory) -> None:
    message = "load_balancers: the inventory has no host in this group; add one, for example lb1"
    assert planned({"shop": entry()}, None, spoilt(inventory, load_balancers=[]))[1] == [message]
    del inventory.groups["load_balancers"]
    assert planned({"shop": entry()})[1] == [message]


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (Host("lb1", "lb1", "lb1"), "lb1.app_address: 'lb1' is not an IP address, and app servers"),
        (Host("app1", "app1", "app1"), "app1.app_bind: 'app1' is not an IP address"),
        (Host("app1", "10.0.0.11", "127.0.0.1"), "app1.app_bind: '127.0.0.1' can be reached from"),
        (Host("app1", "127.0.0.1", "127.0.0.1"), "app1.app_address: '127.0.0.1' leads lb1 to its"),
        (Host("app1", "fd00::12", "::"), "app2.app_address: 'fd00::12' is the address of app1 too"),
        (Host("app1", "", "", "app1.app_address: cannot be made out"), "cannot be made out"),
        (Host("lb1", "", "", "lb1.app_address: cannot be made out"), "cannot be made out"),
    ],
)
def test_addresses(planned: Planner, inventory: Inventory, host: Host, message: str) -> None:
    _, errors = planned({"shop": entry()}, None, spoilt(inventory, host))
    assert len(errors) == 1
    assert message in errors[0]


def test_a_module_that_a_requirement_may_bring_is_left_to_stage(
    planned: Planner, source: Path
) -> None:
    apps = {"shop": entry(callable="datasette.app:app")}
    assert "there is no module 'datasette'" in planned(apps)[1][0]
    (source / "app/requirements.txt").touch()
    assert planned(apps)[1] == []
