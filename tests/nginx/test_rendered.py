"""What the role's templates make of sites, judged by reading and by nginx itself."""

import re
from typing import Any

import pytest
from nginx_tree import ROLE, Files, Tree, render, variables_of

Site = dict[str, Any]


def site(name: str = "hello", **keys: Any) -> Site:
    members = [{"name": "app1", "address": "10.0.0.1", "port": 8000, "admitted": True}]
    return {"name": name, "domains": [f"{name}.example.com"], "default_site": False, "port": 8000,
            "members": members, "health": {"path": "/"}, **keys}  # fmt: skip


def members(*addresses: str, **keys: Any) -> list[dict[str, Any]]:
    return [{"name": f"app{n}", "address": a, **keys} for n, a in enumerate(addresses, 1)]


def servers(text: str) -> list[str]:
    return re.findall(r"^server (.*)$", text, re.MULTILINE)


def test_each_site_is_one_file_and_one_pool() -> None:
    files = render([site("a"), site("b")])
    assert [n for n in files if n.startswith(("pools/", "sites/", "upstreams/"))] == [
        "pools/a.conf",
        "pools/b.conf",
        "sites/_unknown.conf",
        "upstreams/a.conf",
        "sites/a.conf",
        "upstreams/b.conf",
        "sites/b.conf",
    ]


def test_every_file_reads_like_one_written_by_hand() -> None:
    site_ = site(default_site=True, members=members("10.0.0.1", "::1"))
    for name, text in render([site_], nginx_extra=["server_names_hash_max_size 1;"]).items():
        assert text.splitlines()[0].startswith("# Managed by fuego-deploy"), name
        assert text.endswith("\n"), name
        assert not re.search(r"[ \t]+$|\n\n\n|^(?: {4})* {1,3}(?=\w)(?!application)", text), name
        assert not re.search(r"[{%]%|%[}]|\{\{", text), name


def test_every_template_is_used() -> None:
    rendered = {f"{name}.j2" for name in render([])}
    rendered |= {"site.conf.j2", "upstream.conf.j2", "watch.service.j2", "_tree.j2"}
    folder = ROLE / "templates"
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.j2")} == rendered


def test_nginx_is_installed_with_what_serves_no_site() -> None:
    variables, templar = variables_of()
    without = {name: text for name, text in render([]).items() if not name.startswith("pools/")}
    assert templar.template(variables["__nginx_base_files"]) == without
    assert list(without) == variables["__nginx_base"]


def test_each_pool_is_what_its_file_says() -> None:
    files = render([site(members=members("10.0.0.1", "10.0.0.2"))])
    assert "    include pools/hello.conf;\n" in files["upstreams/hello.conf"]
    assert len(servers(files["pools/hello.conf"])) == 2


def test_settings_of_the_pool() -> None:
    files = render(
        [site()], nginx_max_fails=7, nginx_fail_timeout="9s", nginx_keepalive=5,
        nginx_keepalive_timeout="11s",
    )  # fmt: skip
    upstream = files["upstreams/hello.conf"]
    assert "max_fails=7 fail_timeout=9s" in files["pools/hello.conf"]
    assert "keepalive 5;" in upstream
    assert "keepalive_timeout 11s;" in upstream


@pytest.mark.parametrize(("count", "zone", "kept"), [(1, "66k", 64), (1000, "2064k", 2000)])
def test_zone_and_kept_connections_follow_the_size(count: int, zone: str, kept: int) -> None:
    pool = members(*[f"10.1.{n // 250}.{n % 250 + 1}" for n in range(count)])
    upstream = render([site(members=pool)])["upstreams/hello.conf"]
    assert f"zone hello {zone};" in upstream
    assert f"keepalive {kept};" in upstream


def rendered(tree: Tree, sites: list[Site], **settings: Any) -> Files:
    files = render(sites, nginx_http_port=tree.port, **settings)
    return {name: tree.here(text) for name, text in files.items()}


LONG = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])


@pytest.mark.parametrize(
    "sites",
    [
        [],
        [site(default_site=True), site("other", domains=["*.example.org", "localhost"])],
        [site(default_site=True, domains=[]), site("local", domains=["localhost"])],
        [site(default_site=True, domains=["localhost", "10.0.0.1"])],
        [site(domains=[LONG, f"*.{LONG[2:]}"])],
        [site(members=[])],
        [site(members=members("10.0.0.1", "::1", admitted=False))],
        [site(members=members(*[f"2001:db8:1:2:3:4:5:{n:x}" for n in range(1, 1001)]))],
        [site(f"app{n}", domains=[f"{n}-{d}.example.com" for d in range(60)]) for n in range(30)],
        [site("a" + "b" * 30)],
        [site(sticky="cookie", members=members("10.0.0.1", "::1", weight=300, max_conns=5))],
        [site(sticky="ip_hash", members=members("10.0.0.1", "::1", weight=300, max_conns=5))],
        [site(members=[*members("10.0.0.1"), {**members("::1")[0], "backup": True}])],
        [site(upstream_protocol="uwsgi")],
        [site("a", sticky="cookie", members=[]), site("b", sticky="ip_hash", members=[])],
    ],
    ids=["none", "default", "no-domains", "localhost", "long", "empty", "all-down", "1000-members",
         "1800-names", "long-name", "cookie", "ip_hash", "backup", "uwsgi",
         "sticky-empty"],
)  # fmt: skip
def test_nginx_takes_it_without_a_warning(sites: list[Site], tree: Tree) -> None:
    tree.write(rendered(tree, sites))
    result = tree.test()
    # A plain user cannot raise its own limits.
    lines = [line for line in result.stderr.splitlines() if "setrlimit" not in line]
    assert result.returncode == 0, result.stderr
    assert not [line for line in lines if "[" in line and "[notice]" not in line]


def test_extra_lines_and_drop_ins_are_part_of_it(tree: Tree) -> None:
    tree.write(rendered(tree, [site()], nginx_extra=["gzip_disable msie6;"]))
    assert tree.test().returncode == 0
    for name in ("conf.d/own.conf", "sites/hello.d/own.conf"):
        (tree.path / name).parent.mkdir(exist_ok=True)
        (tree.path / name).write_text("nonsense;\n")
        assert name in tree.test().stderr
        (tree.path / name).unlink()


def test_numbers_from_the_command_line_are_numbers() -> None:
    """`-e nginx_keepalive=5` arrives as text."""
    files = render([site()], nginx_keepalive="5", nginx_worker_connections="100")
    assert "keepalive 5;" in files["upstreams/hello.conf"]
    assert "worker_rlimit_nofile 400;" in files["nginx.conf"]
