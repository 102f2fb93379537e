"""The image as a person runs it: its settings, what it says of wrong ones, how it stops."""

from __future__ import annotations

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT

PODMAN = ROOT / "roles/lab/files/podman.sh"
SECRET = "--env=API_KEY=open sesame"
WSGI, ASGI = "localhost/fuego-image-hello", "localhost/fuego-image-hello-async"
Run = Callable[..., "Container"]


def podman(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [str(PODMAN), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done


class Container:
    """A running one."""

    def __init__(self, *words: str) -> None:
        given = ("--publish=127.0.0.1::80", SECRET, *words)
        self.id = podman("run", "--detach", *given).stdout.strip()

    @property
    def log(self) -> str:
        done = podman("logs", self.id)
        return done.stdout + done.stderr

    @property
    def port(self) -> int:
        return int(podman("port", self.id, "80").stdout.rpartition(":")[2])

    def get(self, path: str, host: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", path, headers={"Host": host})
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, response.read()
        finally:
            connection.close()

    def serves(self, seconds: float = 20) -> Container:
        """Wait for an answer of the app's own: what comes before it is up waits in its socket."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if self.get("/healthz")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"it does not serve:\n{self.log}")

    def processes(self, words: str) -> list[str]:
        """The users of the processes whose command line has these words."""
        lines = podman("exec", self.id, "ps", "-eo", "user:32,args").stdout.splitlines()
        return [line.split()[0] for line in lines if words in line]

    def environment(self) -> list[str]:
        """What the app's server was started with."""
        read = "tr '\\0' '\\n' </proc/$(pgrep --oldest --full bin/gunicorn)/environ"
        return podman("exec", "--user=hello", self.id, "sh", "-c", read).stdout.splitlines()

    def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        return int(podman("wait", self.id).stdout)


@pytest.fixture
def run() -> Iterator[Run]:
    made: list[Container] = []

    def start(*words: str) -> Container:
        made.append(Container(*words))
        return made[-1]

    yield start
    for each in made:
        podman("rm", "--force", "--time=0", each.id)


def workers(container: Container) -> int:
    """How many there are once all have started, beside their parent."""
    deadline = time.monotonic() + 10
    found: list[int] = []
    while time.monotonic() < deadline and (len(found) < 3 or len(set(found[-3:])) > 1):
        found.append(len(container.processes("bin/gunicorn")) - 1)
        time.sleep(0.3)
    return found[-1]


def test_it_serves_with_the_settings_and_files_of_who_runs_it(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "my.conf"
    mine.write_text("add_header X-Mine yes always;\n")
    given = ["-e", "GUNICORN_WORKERS=4", "-e", "GREETING=from outside"]
    container = run(*given, "-v", f"{mine}:/etc/nginx/conf.d/my.conf", WSGI).serves()
    status, headers, body = container.get("/whoami")
    assert (status, headers["server"], headers["x-mine"]) == (200, "nginx", "yes")
    assert b'"wsgi"' in body
    assert workers(container) == 4
    assert "GREETING=from outside" in container.environment()
    for name in ("hello.example.com", "buildbox.lan"):
        assert container.get("/whoami", host=name)[0] == 200
    assert '"uri":"/whoami"' in container.log


def test_who_runs_what(run: Run) -> None:
    container = run(WSGI).serves()
    assert workers(container) == 2
    assert set(container.processes("bin/gunicorn")) == {"hello"}
    assert set(container.processes("nginx: worker")) == {"www-data"}
    assert "GREETING=from an image" in container.environment()


def test_an_asgi_app_takes_gunicorns_own_words(run: Run) -> None:
    words = "-k uvicorn_worker.UvicornWorker --bind 127.0.0.1:9001 --workers 3 --timeout 60"
    container = run("-e", f"GUNICORN_CMD_ARGS={words}", ASGI).serves()
    assert b'"asgi"' in container.get("/whoami")[2]
    assert workers(container) == 3
    listening = podman("exec", container.id, "python3", "-c", "print(open('/proc/net/tcp').read())")
    assert "0100007F:2329" in listening.stdout  # 127.0.0.1:9001
    assert "0100007F:1F40" not in listening.stdout  # 127.0.0.1:8000


def test_another_address_and_port(run: Run) -> None:
    given = ["-e", "GUNICORN_BIND_ADDRESS=0.0.0.0", "-e", "GUNICORN_BIND_PORT=8123"]
    assert run(*given, WSGI).serves().get("/whoami")[0] == 200


def test_wrong_values_stop_it_with_a_message_each(run: Run) -> None:
    given = {"GUNICORN_WORKERS": "many", "GUNICORN_THREADS": "0", "GUNICORN_BIND_PORT": "http"}
    container = run(*(f"--env={name}={value}" for name, value in given.items()), WSGI)
    assert container.ended() == 2
    for said in (
        "GUNICORN_WORKERS: 'many' is not a whole number; give one from 1",
        "GUNICORN_THREADS: 0 is out of range; give one from 1",
        "GUNICORN_BIND_PORT: 'http' is not a whole number; give one from 1 to 65535",
    ):
        assert said in container.log


def test_a_file_that_nginx_does_not_take_stops_it_with_nginxs_words(
    run: Run, tmp_path: Path
) -> None:
    mine = tmp_path / "my.conf"
    mine.write_text("no_such_directive on;\n")
    container = run("-v", f"{mine}:/etc/nginx/conf.d/my.conf", WSGI)
    assert container.ended() == 1
    assert 'unknown directive "no_such_directive" in /etc/nginx/conf.d/my.conf:1' in container.log


@pytest.mark.parametrize("image", [WSGI, ASGI])
def test_it_stops_in_time_and_loses_no_request_in_flight(run: Run, image: str) -> None:
    container = run(image).serves()
    found: list[int] = []
    clients = [
        threading.Thread(target=lambda: found.append(container.get("/slow?seconds=3")[0]))
        for _ in range(6)
    ]
    for client in clients:
        client.start()
    time.sleep(1)
    began = time.monotonic()
    podman("stop", "--time=10", container.id)
    took = time.monotonic() - began
    for client in clients:
        client.join()
    assert found == [200] * 6, container.log
    assert 1 < took < 9, container.log
    assert podman("inspect", "--format={{.State.ExitCode}}", container.id).stdout.strip() == "0"


@pytest.mark.parametrize(("seconds", "answered"), [(2, []), (12, [200])])
def test_its_time_to_stop_is_whoever_runs_its_to_give(
    run: Run, seconds: int, answered: list[int]
) -> None:
    """A request of 7 seconds, which the 8 of a stop do not leave it."""
    container = run("-e", f"STOP_TIMEOUT={seconds}", WSGI).serves()
    found: list[int] = []

    def ask() -> None:
        with suppress(OSError, http.client.HTTPException):
            found.append(container.get("/slow?seconds=7")[0])

    client = threading.Thread(target=ask)
    client.start()
    time.sleep(0.5)
    podman("stop", "--time=20", container.id)
    client.join()
    assert found == answered, container.log
    assert ("STOP_TIMEOUT gives them more" in container.log) == (not answered)
    assert podman("inspect", "--format={{.State.ExitCode}}", container.id).stdout.strip() == "0"


def test_it_reads_its_files_again_while_it_serves(run: Run, tmp_path: Path) -> None:
    mine = tmp_path / "my.conf"
    mine.write_text("add_header X-Mine first always;\n")
    # The folder: an editor puts another file in a file's place, which a mount of it does not see.
    container = run("-v", f"{tmp_path}:/etc/nginx/conf.d", WSGI).serves()

    def header(wanted: str) -> str:
        """What it is once it is the wanted one, or after ten seconds."""
        deadline = time.monotonic() + 10
        while True:
            found = container.get("/whoami")[1]["x-mine"]
            if found == wanted or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    assert header("first") == "first"
    mine.write_text("add_header X-Mine second always;\n")
    podman("kill", "--signal=HUP", container.id)
    assert header("second") == "second"

    mine.write_text("add_header X-Mine;\n")
    podman("kill", "--signal=HUP", container.id)
    deadline = time.monotonic() + 10
    while "it goes on as before" not in container.log and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "invalid number of arguments" in container.log
    assert header("second") == "second"


def test_it_ends_with_its_app(run: Run) -> None:
    """Whoever runs containers starts it again."""
    container = run(WSGI).serves()
    podman("exec", container.id, "pkill", "--oldest", "-KILL", "--full", "bin/gunicorn")
    assert container.ended() == 1
    assert "ended by itself with -9" in container.log


def test_a_command_of_the_release_runs_as_the_apps_user() -> None:
    program = "import fuego, getpass, os; print(getpass.getuser(), os.environ['GREETING'])"
    done = podman("run", "--rm", SECRET, WSGI, "python", "-c", program)
    assert done.stdout == "hello from an image\n"
    absent = podman("run", "--rm", SECRET, WSGI, "no-such-command", check=False)
    assert absent.returncode == 2
    assert "there is no such command in the release" in absent.stderr


def test_nothing_of_the_host_is_left() -> None:
    left = "ls -d /etc/ssh /home/ops /etc/sudoers.d /srv/hello/artifacts /var/lib/fuego-deploy"
    users = "grep ^ops: /etc/passwd; cat /etc/machine-id; ls -d /srv/hello/activations/*/secrets"
    looked = (
        f"exec 2>/dev/null; {left}; {users}; grep -rl 'that the container gets' /srv /etc; true"
    )
    assert podman("run", "--rm", "--entrypoint=sh", WSGI, "-c", looked).stdout == ""


def test_its_secrets_are_those_it_is_given(run: Run, tmp_path: Path) -> None:
    absent = podman("run", "--rm", WSGI, "true", check=False)
    assert absent.returncode == 2
    assert "API_KEY: this secret of the app is missing; give it: --secret API_KEY" in absent.stderr
    (tmp_path / "API_KEY").write_text("open sesame")
    mounted = f"{tmp_path}/API_KEY:/run/secrets/API_KEY:ro"
    read = 'cat "$CREDENTIALS_DIRECTORY/API_KEY"; echo " $API_KEY"'
    done = podman("run", "--rm", "-v", mounted, WSGI, "sh", "-c", read)
    assert done.stdout == "open sesame open sesame\n"


def test_what_cannot_be_an_image_is_refused(tmp_path: Path) -> None:
    """Before anything is made."""
    (tmp_path / "hosts.yml").write_text(
        "all: {hosts: {app1: }, vars: {apps: {shop: {server: granian}}}}"
    )
    for app, said in (
        ("shop", "apps.shop.server: an image runs gunicorn; take one of gunicorn, "),
        ("shoop", f"APP=shoop: {tmp_path} has no such app; apps has shop"),
    ):
        command = [sys.executable, "tools/image.py", f"--inventory={tmp_path}", app]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert said in done.stderr
