"""The image's first process: what it makes of settings, before it starts anything."""

from __future__ import annotations

import socket
from pathlib import Path

import container
import pytest

IMAGE = {
    "app": "shop",
    "environment": {"GUNICORN_WORKERS": "2", "GREETING": "hi", "PATH": "/usr/bin"},
    "secrets": [],
    "secrets_env": [],
    "settings": {
        "workers": {"env": "GUNICORN_WORKERS", "minimum": 1},
        "graceful_timeout": {"env": "GUNICORN_GRACEFUL_TIMEOUT", "minimum": 1, "maximum": 240},
    },
}


def test_what_is_given_wins_but_for_who_the_user_is() -> None:
    given = {"GREETING": "hello", "HOME": "/root", "PATH": "/evil"}
    found = container.settings(IMAGE, given)
    assert found == {
        "GUNICORN_WORKERS": "2",
        "GREETING": "hello",
        "PATH": "/usr/bin",
    }


def test_what_the_image_needs_to_import_stays() -> None:
    image = {**IMAGE, "environment": {"PYTHONPATH": "/srv/shop/current", "APP_CALLABLE": "a:b"}}
    found = container.settings(image, {"PYTHONPATH": "/extra", "APP_CALLABLE": "c:d"})
    assert found == {"PYTHONPATH": "/srv/shop/current:/extra", "APP_CALLABLE": "a:b"}


def test_secrets_are_files_or_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "SECRETS", tmp_path)
    image = {**IMAGE, "secrets": ["API_KEY", "PEPPER"], "secrets_env": ["API_KEY"]}
    missing = container.check(image, container.settings(image, {}))
    assert missing == [
        "API_KEY: this secret of the app is missing; give it: --secret API_KEY, or -e API_KEY=…",
        "PEPPER: this secret of the app is missing; give it: --secret PEPPER",
    ]
    (tmp_path / "PEPPER").write_text("p")
    assert container.check(image, container.settings(image, {"API_KEY": "a"})) == []
    (tmp_path / "API_KEY").write_text("k")
    assert container.settings(image, {})["API_KEY"] == "k"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ("127.0.0.1", 8000)),
        ({"GUNICORN_BIND_ADDRESS": "::", "GUNICORN_BIND_PORT": "81"}, ("::", 81)),
        ({"GUNICORN_CMD_ARGS": "-w 2 --bind 127.0.0.2:82"}, ("127.0.0.2", 82)),
        ({"GUNICORN_CMD_ARGS": "--bind=[::1]:83", "GUNICORN_BIND_PORT": "9"}, ("::1", 83)),
        ({"GUNICORN_CMD_ARGS": "-b 127.0.0.1:84 -w 1"}, ("127.0.0.1", 84)),
    ],
)
def test_where_the_server_listens(given: dict[str, str], found: tuple[str, int]) -> None:
    assert container.where(given) == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"GUNICORN_WORKERS": "0"}, "GUNICORN_WORKERS: 0 is out of range; give one from 1"),
        ({"GUNICORN_WORKERS": "1.5"}, "GUNICORN_WORKERS: '1.5' is not a whole number; give one"),
        ({"GUNICORN_GRACEFUL_TIMEOUT": "999"}, "999 is out of range; give one from 1 to 240"),
        ({"STOP_TIMEOUT": "soon"}, "STOP_TIMEOUT: 'soon' is not a whole number"),
        ({"GUNICORN_BIND_PORT": "65536"}, "GUNICORN_BIND_PORT: 65536 is out of range"),
        ({"GUNICORN_BIND_PORT": "80"}, "GUNICORN_BIND_PORT: 80 is nginx's own; give another one"),
        ({"GUNICORN_BIND_ADDRESS": "localhost"}, "'localhost' is no IP address; give one"),
        ({"GUNICORN_CMD_ARGS": "--bind"}, "GUNICORN_CMD_ARGS: --bind: '' is no IP address"),
        ({"GUNICORN_CMD_ARGS": "--name 'a"}, "GUNICORN_CMD_ARGS: No closing quotation"),
    ],
)
def test_a_wrong_value_is_named(given: dict[str, str], said: str) -> None:
    (told,) = container.check(IMAGE, given)
    assert said in told


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(container.check(IMAGE, {"GUNICORN_WORKERS": "x", "STOP_TIMEOUT": "y"})) == 2
    assert container.check(IMAGE, {"GUNICORN_WORKERS": "", "STOP_TIMEOUT": " 3 "}) == []


@pytest.mark.parametrize(
    ("address", "member"),
    [
        ("127.0.0.1", "127.0.0.1:81"),
        ("0.0.0.0", "127.0.0.1:81"),
        ("::", "127.0.0.1:81"),
        ("::1", "[::1]:81"),
    ],
)
def test_nginx_asks_where_the_server_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, member: str
) -> None:
    monkeypatch.setattr(container, "POOLS", tmp_path)
    pool = tmp_path / "shop.conf"
    pool.write_text("# Managed by us\nserver 10.64.0.11:8000 max_fails=3;  # image1\n")
    container.point_nginx("shop", address, 81)
    assert pool.read_text() == f"# Managed by us\nserver {member} max_fails=3;  # image1\n"


def test_a_port_that_is_taken_is_told() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as held,
        pytest.raises(container.WrongError, match="cannot listen on"),
    ):
        container.listen("127.0.0.1", held.getsockname()[1])
