"""Planned changes lose nothing, failed ones undo themselves, an interrupted one is mended.

Traffic runs through both balancers to both apps, on gunicorn and on uvicorn, in every test. The
tests follow one another: each begins with the fleet that the one before it left.
"""

from __future__ import annotations

import json

import hello
from conftest import Lab
from hello import Fleet, audit, traffic

HOSTS = ("app1", "app2", "app3")
HEALTH = 'app.health("/healthz")'
BUSY = 120
"""Requests a second to each app, where it is their number that proves something."""
ENOUGH = 20_000
"""Requests of planned changes, none of which may be lost."""


def releases(lab: Lab) -> dict[str, set[str]]:
    return hello.releases(lab, HOSTS)


def assert_whole(lab: Lab, expected: dict[str, set[str]]) -> None:
    hello.assert_whole(lab, HOSTS, expected)


def assert_undone(fleet: Fleet, app: str, what: str, *said: str) -> None:
    """A deploy of what the fleet describes fails, says why, and leaves it as it was."""
    before = releases(fleet.lab)
    with traffic(fleet.lab, f"deploy {what}"):
        run = fleet.run("deploy.yml", app=app)
    assert run.returncode != 0
    for words in said:
        assert words in run.stdout
    assert_whole(fleet.lab, before)


def test_deploy_then_roll_back_then_deploy(lab: Lab, fleet: Fleet) -> None:
    """Behaviours 1 and 24: nothing is lost, every host says what happened and who did it."""
    before = releases(lab)
    fleet.version()
    requests = 0
    with traffic(lab, "deploy version 2", rate=BUSY) as reports:
        run = fleet.run("deploy.yml")
    assert run.returncode == 0, run.stdout
    requests += sum(report.requests for report in reports.values())
    after = releases(lab)
    assert after["hello"].isdisjoint(before["hello"])
    assert_whole(lab, after)

    with traffic(lab, "roll back hello") as reports:
        run = fleet.run("rollback.yml", app="hello")
    assert run.returncode == 0, run.stdout
    requests += sum(report.requests for report in reports.values())
    assert_whole(lab, {**after, "hello": before["hello"]})

    again = fleet.run("site.yml")
    assert again.returncode == 0, again.stdout
    assert "changed=0" in again.stdout
    assert_whole(lab, {**after, "hello": before["hello"]})

    with traffic(lab, "deploy version 2 again") as reports:
        run = fleet.run("deploy.yml", app="hello")
    assert run.returncode == 0, run.stdout
    requests += sum(report.requests for report in reports.values())
    assert_whole(lab, after)
    for name in HOSTS:
        log = audit(lab, name, "hello")[-3:]
        assert [entry["action"] for entry in log] == ["deploy", "rollback", "deploy"]
        assert [{entry["release"].partition(".")[0]} for entry in log] == [
            after["hello"], before["hello"], after["hello"],
        ]  # fmt: skip
        assert all("@" in entry["who"] for entry in log)
    while requests < ENOUGH:  # where deploys are quick
        fleet.version()
        with traffic(lab, "deploy yet another version", rate=BUSY) as reports:
            run = fleet.run("deploy.yml")
        assert run.returncode == 0, run.stdout
        requests += sum(report.requests for report in reports.values())
        assert_whole(lab, releases(lab))


def test_a_release_that_does_not_start(fleet: Fleet) -> None:
    """Behaviour 2: the old one serves everywhere, and the app's own words are in the output."""
    fleet.broken("gunicorn", "raise RuntimeError('no database here')")
    assert_undone(fleet, "hello", "what gunicorn cannot start", "no database here")


def test_a_release_that_answers_its_health_check_with_500(fleet: Fleet) -> None:
    """Behaviour 4."""
    sick = 'app.get("/healthz")(lambda request: Response(b"out of order", 500))'
    assert HEALTH in fleet.main
    fleet.write(fleet.main.replace(HEALTH, sick), health={"path": "/healthz", "deadline": 5})
    assert_undone(fleet, "hello-async", "what is not healthy", "out of order")


def test_a_release_that_fails_on_the_second_host(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 3: no mixed fleet."""
    fleet.broken("uvicorn", "sys.exit('not on this host')", host="app2")
    assert_undone(fleet, "hello-async", "what fails on app2", "app2", "not on this host")
    for name, actions in (("app1", ["deploy", "undo"]), ("app2", ["deploy failed", "undo"])):
        assert [entry["action"] for entry in audit(lab, name, "hello-async")[-2:]] == actions


def test_a_slow_migration_comes_first_and_once(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 6: on one host, before any activation, with the new code and the app's settings."""
    for name in HOSTS:
        lab.host(name).run("rm --force /srv/hello/shared/ran")
    fleet.version()
    hooks = {
        "migrate": [
            "one=1; sleep 5; echo $DEPLOY_RELEASE $APP_NAME $(hostname) $one >>../../../shared/ran"
        ],
        "after_activate": ["test -s main.py"],
    }
    fleet.write(fleet.main, hooks=hooks)
    with traffic(lab, "deploy with a slow migration"):
        run = fleet.run("deploy.yml", app="hello")
    assert run.returncode == 0, run.stdout
    after = releases(lab)
    assert_whole(lab, after)
    ran = [lab.host(name).run("cat /srv/hello/shared/ran").stdout for name in HOSTS]
    assert [line.split() for line in ran if line] == [[*after["hello"], "hello", "app1", "1"]]


def test_a_failing_hook_stops_before_any_traffic_moves(fleet: Fleet) -> None:
    fleet.version()
    fleet.write(fleet.main, hooks={"migrate": ["echo table is locked; exit 3"]})
    assert_undone(fleet, "hello", "what cannot migrate", "table is locked", "Nothing was switched")


def test_an_interrupted_run_is_mended_by_the_next(lab: Lab, fleet: Fleet) -> None:
    """The controller dies while app2 is being switched; the next run finishes its work."""
    before = releases(lab)
    fleet.version()
    with traffic(lab, "deploy, killed half-way"):
        fleet.run_until(host="app1", app="hello", other_than=before["hello"])
        mixed = releases(lab)
        assert mixed != before
        run = fleet.run("deploy.yml", app="hello")
        assert run.returncode == 0, run.stdout
    assert "took over from a deploy" in run.stderr, "Ansible warns there"
    after = releases(lab)
    assert after["hello"].isdisjoint(before["hello"])
    assert_whole(lab, after)


def test_what_follows_an_interrupted_run_and_fails_undoes_both(lab: Lab, fleet: Fleet) -> None:
    """The way back leads to what the whole fleet had, not to what the dead run left."""
    before = releases(lab)
    fleet.version()
    with traffic(lab, "deploy, killed half-way, then a release that fails"):
        fleet.run_until(host="app1", app="hello", other_than=before["hello"])
        fleet.broken("gunicorn", "raise RuntimeError('no disk here')")
        run = fleet.run("deploy.yml", app="hello")
        assert run.returncode != 0
    assert_whole(lab, before)


def test_the_last_host_of_a_pool_is_switched_on_its_socket(lab: Lab, fleet: Fleet) -> None:
    """Where nobody else serves there is no drain: requests wait on the socket meanwhile."""
    for name in ("app2", "app3"):
        assert fleet.run("drain.yml", host=name, why="a pool of one").returncode == 0
    before = releases(lab)
    fleet.version()
    with traffic(lab, "deploy to a pool of one") as reports:
        run = fleet.run("deploy.yml", app="hello")
    assert run.returncode == 0, run.stdout
    assert set(reports["hello"].hosts) == {"app1"}
    for name in ("app2", "app3"):
        assert fleet.run("restore.yml", host=name).returncode == 0
    after = releases(lab)
    assert after["hello"].isdisjoint(before["hello"])
    assert_whole(lab, after)


def test_a_second_deploy_is_refused_while_one_runs(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 5: with who has it, since when and for what; taken over explicitly."""
    held = {"run": "somebody-elses", "who": "bob@elsewhere", "purpose": "deploy",
            "release": "abc", "since": "2026-01-01T00:00:00Z"}  # fmt: skip
    path = "/var/lib/fuego-deploy/locks/hello.json"
    lab.host("app2").run(f"echo '{json.dumps(held)}' >{path}")
    before = releases(lab)
    fleet.version()
    run = fleet.run("deploy.yml", app="hello")
    assert run.returncode != 0
    assert "locked by bob@elsewhere since 2026-01-01T00:00:00Z for a deploy" in run.stdout
    assert releases(lab) == before
    assert lab.host("app1").run("ls /var/lib/fuego-deploy/locks").stdout == ""
    run = fleet.run("deploy.yml", lock_steal=True)
    assert run.returncode == 0, run.stdout
    assert_whole(lab, releases(lab))
