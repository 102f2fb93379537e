"""What has an app's name and not our mark is refused by name, before anything is made; and what the
system refuses is told with the host."""

import errno
import getpass
import socket
from pathlib import Path

import pytest
from fuego_deploy.layout import (
    App,
    DeployError,
    claim,
    locked,
    missing_claims,
    refuse_foreign,
    told,
)


@pytest.fixture
def bare(tmp_path: Path) -> App:
    return App("fuego-test-hello", tmp_path)


def test_a_bare_host_is_claimed(bare: App) -> None:
    refuse_foreign(bare)
    assert len(missing_claims(bare)) == 6
    assert claim(bare)
    assert missing_claims(bare) == []
    assert claim(bare) == []
    refuse_foreign(bare)


@pytest.mark.parametrize("folder", ["srv/fuego-test-hello", "etc/fuego-test-hello"])
def test_a_folder_of_somebody_else(bare: App, folder: str) -> None:
    (bare.root / folder).mkdir(parents=True)
    refuse_foreign(bare)  # empty: nobody's
    (bare.root / folder / "file").write_text("x")
    with pytest.raises(DeployError, match=rf"apps\.fuego-test-hello: .*/{folder} exists already"):
        refuse_foreign(bare)


def test_a_folder_that_is_a_symlink(bare: App, tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "fuego-test-hello").symlink_to(tmp_path)
    with pytest.raises(DeployError, match="exists already"):
        refuse_foreign(bare)


@pytest.mark.parametrize("folder", ["etc/systemd/system", "usr/lib/systemd/system"])
@pytest.mark.parametrize("kind", ["service", "socket"])
def test_a_unit_of_somebody_else(bare: App, folder: str, kind: str) -> None:
    unit = bare.root / folder / f"fuego-test-hello.{kind}"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Unit]\n")
    with pytest.raises(DeployError, match=rf"the unit .*/{folder}/.*{kind} exists already"):
        refuse_foreign(bare)
    unit.write_text("# Managed by fuego-deploy; edits are lost.\n[Unit]\n")
    refuse_foreign(bare)


def test_a_unit_of_somebody_else_that_a_process_would_take(bare: App) -> None:
    bare.units.mkdir(parents=True)
    (bare.units / "fuego-test-hello_work.service").write_text("[Unit]\n")
    refuse_foreign(bare, ["fuego-test-hello_other.service"])
    with pytest.raises(DeployError, match=r"hello_work\.service exists already.*take another name"):
        refuse_foreign(bare, ["fuego-test-hello_work.service"])


def test_a_unit_that_is_masked(bare: App) -> None:
    bare.units.mkdir(parents=True)
    (bare.units / "fuego-test-hello.service").symlink_to("/dev/null")
    with pytest.raises(DeployError, match="exists already"):
        refuse_foreign(bare)


def test_one_run_at_a_time(bare: App) -> None:
    claim(bare)
    with locked(bare):
        second = locked(bare, seconds=0)
        with pytest.raises(DeployError, match="another run has been at work"):
            second.__enter__()
    with locked(bare, seconds=0):
        pass


def test_a_user_of_somebody_else(tmp_path: Path) -> None:
    name = getpass.getuser()
    with pytest.raises(DeployError, match=rf"apps\.{name}: the user {name} \(uid \d+\) exists"):
        refuse_foreign(App(name, tmp_path))


def test_a_group_of_somebody_else(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"the group shadow \(gid \d+\) exists"):
        refuse_foreign(App("shadow", tmp_path))


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (DeployError("apps.shop: no"), "apps.shop: no"),
        (OSError(errno.ENOSPC, "x"), "{host}: no space left on the disk; make room there and"),
        (OSError(errno.EDQUOT, "x"), "{host}: no space left on the disk; make room there and"),
        (OSError(errno.EROFS, "Read-only", "/etc/x"), "{host}: [Errno 30] Read-only: '/etc/x'"),
    ],
)
def test_what_the_system_refuses_is_told_with_the_host(problem: Exception, words: str) -> None:
    assert told(problem).startswith(words.format(host=socket.gethostname()))
