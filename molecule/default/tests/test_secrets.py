"""Secrets reach the app byte for byte, and are in no output, journal, process list or open file.

Each value but one carries the same random word, which is looked for everywhere. The app `keeper`
answers with digests of what it was given. The tests follow one another.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import INVENTORY, Lab

HOSTS = ("app1", "app2", "app3")
SITE = "keeper.localhost"
WORD = f"hush{secrets.token_hex(8)}"
HIDDEN = "***"
SOURCE = '''\
import hashlib, json, os, pathlib, socket, sys

FOLDER = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"])
GIVEN = {path.name: path.read_bytes() for path in FOLDER.iterdir()}


def digests(values):
    return {name: hashlib.sha256(value).hexdigest() for name, value in values.items()}


def app(environ, start_response):
    """The digests; at /boom a page such as a debugger makes, with everything in it."""
    if environ["PATH_INFO"] == "/boom":
        print("given:", GIVEN, file=sys.stderr, flush=True)
        start_response("500 Boom", [])
        return [repr(GIVEN).encode(), *GIVEN.values()]
    environment = {os.fsdecode(name): value for name, value in os.environb.items()}
    body = {"host": socket.gethostname(), "credentials": digests(GIVEN),
            "environment": digests(environment)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
'''
RAISES = "\nraise ValueError(repr(GIVEN), *(v.decode(errors='replace') for v in GIVEN.values()))\n"


class Unsafe(str):
    """Text that Ansible is to take as it stands."""


yaml.SafeDumper.add_representer(
    Unsafe, lambda dumper, text: dumper.represent_scalar("!unsafe", text)
)

VALUES: dict[str, Any] = {
    "QUOTED": f"{WORD} ' \" $HOME ${{HOME}} $$ %n %% # ; `id` \\n \\",
    "SPACED": f"  {WORD}\t ",
    "LINES": f"{WORD}\n\nQUOTED={WORD}\n\n",
    "UNICODE": f"ünï ☃ 😀 {WORD}",
    "BRACES": Unsafe(f"{WORD} {{{{ no }}}} {{# template #}} {{% at all"),
    # Ansible would mask it in all results, numbers of activations included.
    "ONE": "1",
    "BINARY": bytes(range(256)) + WORD.encode(),
}
IN_ENVIRONMENT = [name for name in VALUES if name != "BINARY"]


def digests(values: dict[str, Any]) -> dict[str, str]:
    """What the app should answer with."""
    plain = {n: v if isinstance(v, bytes) else v.encode() for n, v in values.items()}
    return {name: hashlib.sha256(value).hexdigest() for name, value in plain.items()}


ENCODED = [base64.b64encode(b"x" * n + WORD.encode())[4 if n else 0 : -4] for n in range(3)]
FORMS = [WORD, *(form.decode() for form in ENCODED)]
"""The word as it stands, and in base64 at any offset."""
PATTERN = "|".join(f"[{form[0]}]{form[1:]}" for form in FORMS)
"""For grep -E; it finds neither itself nor what sudo logs of the command."""


def leaks(text: str) -> list[str]:
    """The forms of the word that are in the text."""
    return [form for form in FORMS if form in text]


@dataclass
class Keeper:
    """The scenario's apps and one more, which has secrets; in a vault file, as people keep them."""

    lab: Lab
    folder: Path
    values: dict[str, Any] = field(default_factory=lambda: dict(VALUES))
    source: str = SOURCE
    health: str = "/"

    def deploy(self, playbook: str = "playbooks/deploy.yml") -> tuple[int, str]:
        """Run the playbook for this app, as noisy as an operator may make it."""
        (self.folder / "keeper").mkdir(exist_ok=True)
        (self.folder / "keeper/main.py").write_text(self.source)
        apps = yaml.safe_load((INVENTORY / "group_vars/all/apps.yml").read_text())["apps"]
        apps["keeper"] = {
            "source": {"path": str(self.folder / "keeper")},
            "callable": "main:app",
            "protocol": "wsgi",
            "port": 8002,
            "domains": [SITE],
            "health": {"path": self.health, "deadline": 5},
            "secrets_env": IN_ENVIRONMENT,
            "hooks": {
                "before_activate": ['env; cat "$CREDENTIALS_DIRECTORY"/*'],
                "after_activate": ['sha256sum <"$CREDENTIALS_DIRECTORY/BINARY"; printenv LINES'],
            },
        }
        (self.folder / "apps.json").write_text(json.dumps({"apps": apps}))
        password, vault = self.folder / "password", self.folder / "secrets.yml"
        password.write_text("of the vault")
        given = {"app_secrets": {"keeper": self.values}}
        vault.write_text(yaml.safe_dump(given, allow_unicode=True))
        subprocess.run(
            ["ansible-vault", "encrypt", f"--vault-password-file={password}", vault],
            check=True,
            capture_output=True,
        )
        with pytest.MonkeyPatch.context() as noisy:
            noisy.setenv("ANSIBLE_INJECT_INVOCATION", "1")  # the modules' parameters as well
            done = self.lab.playbook(
                *(playbook, "-vvv", "--diff", "-e", "app=keeper"),
                *("-e", f"@{self.folder}/apps.json", "-e", f"@{vault}"),
                f"--vault-password-file={password}",
            )
        return done.returncode, done.stdout + done.stderr

    def check_served(self, values: dict[str, Any]) -> None:
        """Every host has these."""
        answers = [self.lab.request(SITE).json() for _ in range(12)]
        assert {given["host"] for given in answers} == set(HOSTS)
        wanted = {n: d for n, d in digests(values).items() if n in IN_ENVIRONMENT}
        for given in answers:
            assert given["credentials"] == digests(values), given["host"]
            environment = given["environment"]
            assert {n: d for n, d in environment.items() if n in values} == wanted, given["host"]


def find_in_processes(lab: Lab, name: str) -> None:
    """Look at every command line on the host until it is told to stop."""
    lab.host(name).run(
        "systemd-run --unit=watch --collect /bin/sh -c "
        f"\"while sleep 0.02; do grep -alE '{PATTERN}' /proc/[0-9]*/cmdline; done >/run/seen\""
    )


@pytest.fixture(scope="module")
def keeper(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keeper]:
    """Return the app, not deployed yet; afterwards the pools are those of the scenario."""
    yield Keeper(lab, tmp_path_factory.mktemp("secrets"))
    assert lab.playbook("site.yml").returncode == 0


@pytest.fixture(scope="module")
def output(lab: Lab, keeper: Keeper) -> str:
    """Return what the first deploy said."""
    for name in HOSTS:
        find_in_processes(lab, name)
    code, said = keeper.deploy()
    for name in HOSTS:
        lab.host(name).run("systemctl stop watch")
    print(said if code else "")
    assert code == 0
    return said


def test_every_value_arrives_byte_for_byte(keeper: Keeper, output: str) -> None:
    """On Debian 12 and 13, in the check of the import and in hooks as well."""
    keeper.check_served(VALUES)
    assert digests(VALUES)["BINARY"] in output


def test_nothing_is_said(output: str) -> None:
    assert leaks(output) == []
    assert "QUOTED: a new value" in output
    assert HIDDEN in output, "the hooks say them all"


@pytest.mark.parametrize("name", HOSTS)
def test_nothing_is_kept_where_others_may_read(lab: Lab, output: str, name: str) -> None:
    host = lab.host(name)
    assert host.file("/run/seen").content_string == "", "on a command line"
    assert (
        host.run(f"journalctl --no-pager --output=export | grep -acE '{PATTERN}'").stdout == "0\n"
    )
    found = host.run(
        "find / /dev/shm /run /tmp /var/tmp -xdev -type f "
        f"-exec grep -laE '{PATTERN}' {{}} + | sort -u | xargs -d '\\n' stat -c '%a %U %n'"
    ).stdout.splitlines()
    kept = [line for line in found if "/srv/keeper/activations/1/secrets/" in line]
    assert len(kept) == 2 * len(VALUES) - 3, found
    assert {line.partition(" /")[0] for line in kept} == {"600 root"}
    # systemd's own copy, for the running service and nobody else.
    rest = [line for line in found if line not in kept]
    assert all("/run/credentials/keeper.service/" in line for line in rest), rest
    for user in ("ops", "hello", "keeper"):
        for path in ("secrets/QUOTED", "secrets/QUOTED.env", ".activation.json"):
            assert host.run(f"sudo -u {user} cat /srv/keeper/activations/1/{path}").rc != 0
    assert host.run("sudo -u hello ls /run/credentials/keeper.service").rc != 0


def test_a_second_run_changes_nothing(keeper: Keeper, output: str) -> None:
    code, said = keeper.deploy()
    assert code == 0, said
    assert set(re.findall(r"changed=(\d+)", said)) == {"0"}
    assert "QUOTED: " not in said
    assert leaks(said) == []


def test_another_value_is_another_activation_and_a_rollback_returns_the_old_one(
    keeper: Keeper, output: str
) -> None:
    keeper.values = {**VALUES, "QUOTED": f"another {WORD}"}
    keeper.source = f"{SOURCE}# another version\n"
    code, said = keeper.deploy()
    assert code == 0, said
    assert leaks(said) == []
    assert "-QUOTED: the former value" in said
    assert "+QUOTED: a new value" in said
    assert " SPACED: unchanged" in said
    keeper.check_served(keeper.values)
    code, said = keeper.deploy("playbooks/rollback.yml")
    assert code == 0, said
    assert leaks(said) == []
    keeper.check_served(VALUES)


def test_a_failure_shows_what_happened_without_them(keeper: Keeper, output: str) -> None:
    keeper.source = SOURCE + RAISES
    code, said = keeper.deploy()
    assert code != 0
    assert "ValueError" in said
    assert HIDDEN in said
    assert leaks(said) == []

    keeper.source, keeper.health = f"{SOURCE}# unhealthy\n", "/boom"
    code, said = keeper.deploy()
    assert code != 0
    assert "the last answer was 500" in said
    assert "given: " in said
    assert HIDDEN in said
    assert leaks(said) == []
    keeper.check_served(VALUES)
