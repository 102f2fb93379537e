"""The lock of an app: who has it, how it is waited for, taken over and freed."""

import pytest
from fuego_deploy import lock
from fuego_deploy.layout import App, DeployError
from fuego_deploy.lock import Run

ALICE = Run("run-a", "alice@desk", "deploy")
BOB = Run("run-b", "bob@desk", "rollback")


def test_the_second_is_told_who_has_it(app: App) -> None:
    assert lock.acquire(app, ALICE, "aaaaaaaaaaaa") is None
    with pytest.raises(DeployError, match=r"alice@desk since .* a deploy of release aaaaaaaaaaaa"):
        lock.acquire(app, BOB)
    assert not lock.release(app, BOB), "only its holder frees it"
    assert lock.release(app, ALICE)
    assert lock.acquire(app, BOB) is None


def test_the_same_run_may_ask_again(app: App) -> None:
    lock.acquire(app, ALICE)
    assert lock.acquire(app, ALICE) is None


def test_stolen_or_left_by_a_run_that_is_over(app: App) -> None:
    lock.acquire(app, ALICE)
    former = lock.acquire(app, BOB, steal=True)
    assert former is not None
    assert former["who"] == "alice@desk"
    assert not lock.release(app, ALICE)
    after = Run("run-c", "carol@desk", "deploy", over=("run-b",))
    former = lock.acquire(app, after)
    assert former is not None
    assert former["run"] == "run-b"


def test_waits_until_it_is_free(app: App) -> None:
    lock.acquire(app, ALICE)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        lock.release(app, ALICE)

    assert lock.acquire(app, BOB, wait=60, sleep=sleep) is None
    assert slept == [lock.PAUSE]


def test_waits_no_longer_than_told(app: App) -> None:
    lock.acquire(app, ALICE)
    with pytest.raises(DeployError, match=r"waited 0 s|locked by alice"):
        lock.acquire(app, BOB, wait=0.05)
