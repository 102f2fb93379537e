"""Where an app is to listen, tried on this machine's own sockets."""

import socket

import pytest
from fuego_deploy.layout import MARK, App, DeployError
from fuego_deploy.listening import check_listening, read_stream


def unit(address: str, port: int) -> str:
    """A socket unit of ours."""
    shown = f"[{address}]" if ":" in address else address
    return f"# {MARK}\n[Socket]\nListenStream={shown}:{port}\n"


def test_streams_are_read_as_they_are_written() -> None:
    assert read_stream(unit("10.0.0.1", 8000)) == ("10.0.0.1", 8000)
    assert read_stream(unit("fd00::12", 8001)) == ("fd00::12", 8001)
    assert read_stream("[Socket]\n") is None


def test_free_port_and_app_without_a_socket_pass(app: App) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check_listening(app, [unit("127.0.0.1", port)])
    check_listening(app, [""])


def test_address_that_the_host_does_not_have(app: App) -> None:
    with pytest.raises(
        DeployError, match=r"app_bind is 192\.0\.2\.77, which is no address of this"
    ):
        check_listening(app, [unit("192.0.2.77", 8000)])


def test_port_that_something_else_holds(app: App) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(DeployError, match=rf"port: {port} on 127.0.0.1 .* by something else"):
            check_listening(app, [unit("127.0.0.1", port)])


def test_port_that_another_app_of_ours_holds_names_it(app: App) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (app.units / "former.socket").write_text(unit("127.0.0.1", port))
        with pytest.raises(DeployError, match=r"by former\.socket"):
            check_listening(app, [unit("127.0.0.1", port)])


def test_port_that_the_app_holds_itself(app: App) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = unit("127.0.0.1", server.getsockname()[1])
        (app.units / f"{app.name}.socket").write_text(text)
        check_listening(app, [text])
