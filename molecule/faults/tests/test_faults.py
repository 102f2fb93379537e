"""What clients see when processes, hosts, networks and disks fail, under traffic to both apps.

Every test leaves the fleet whole.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from conftest import Lab
from hello import (
    SITES,
    Fleet,
    Recording,
    assert_whole,
    out_of_pools,
    recorded,
    releases,
    traffic,
)
from losses import explain
from traffic.report import Failure

HOSTS = ("app1", "app2", "app3")
BALANCERS = ("lb1", "lb2")
UNREACHABLE = 4  # Ansible's exit status where a host could not be reached
KILL_A_WORKER = """
    for app in hello hello-async; do
        main=$(systemctl show --property=MainPID --value $app)
        kill -KILL $(pgrep --parent $main --newest)
    done
"""
KILL_MAIN = ("systemctl", "kill", "--kill-whom=main", "--signal=KILL")
BUSY = 170  # requests a second to each app, so that some are in flight wherever something fails
SETTLED = 3.0  # seconds of traffic after a fault, in which what it does to others would show


@pytest.fixture(scope="module", autouse=True)
def one_app(fleet: Fleet) -> None:
    """Only hello ever changes here."""
    fleet.apps["hello-async"]["source"]["path"] = "apps/hello"
    fleet.write(fleet.main)


def inside(lab: Lab, host: str, *command: str) -> str:
    """Run a command on a host past SSH, and return what it said."""
    return lab.podman("exec", lab.container(host), *command)


def address(lab: Lab, host: str) -> str:
    """Return where the balancers reach a host: as over SSH, but in the lab's own network."""
    return lab.addresses[host].replace("127.", "10.", 1)


def assert_explained(lab: Lab, recording: Recording, fault: str, *hosts: str) -> None:
    """All that was lost had to be, and nobody else waited long. Shows what was lost."""
    names = {address(lab, host): host for host in HOSTS}

    def answerer(failure: Failure) -> str | None:
        balancer = next(b for b in BALANCERS if failure.balancer.startswith(lab.addresses[b]))
        log = lab.host(balancer).run(
            f"grep --no-filename {failure.request_id or 'none'} /var/log/nginx/access.log"
        )
        tried = re.split(r", | : ", json.loads(log.stdout)["upstream_addr"]) if log.stdout else [""]
        return names.get(tried[-1].rpartition(":")[0])

    for app, report in recording.reports.items():
        losses = explain(report, fault, set(hosts), answerer)
        longest = max(t.longest or 0 for client, t in report.clients.items() if client != "slow")
        print(
            f"{fault}, {app}: {len(losses)} of {report.requests:,} lost, "
            f"longest {longest:.2f} s{''.join(f'; {loss}' for loss in losses)}"
        )


def wait_until_serving(lab: Lab, host: str, seconds: float = 30) -> None:
    """Wait until both apps of a host answer through both balancers."""
    deadline = time.monotonic() + seconds
    missing = {(site, balancer) for site in SITES.values() for balancer in BALANCERS}
    while missing and time.monotonic() < deadline:
        for site, balancer in sorted(missing):
            # A balancer that boots refuses for a while.
            with suppress(OSError):
                answer = lab.request(site, "/whoami", balancer=balancer)
                if answer.status == 200 and answer.json()["host"] == host:
                    missing.remove((site, balancer))
        time.sleep(0.02)
    assert not missing, f"{host} does not answer within {seconds:g} s: {missing}"


def test_a_worker_is_killed(lab: Lab) -> None:
    with recorded(lab, "steady", rate=BUSY) as recording:
        time.sleep(1)
        with recording.fault("worker killed"):
            inside(lab, "app1", "sh", "-c", KILL_A_WORKER)
        time.sleep(SETTLED)
    assert_explained(lab, recording, "worker killed", "app1")


def test_a_main_process_is_killed(lab: Lab) -> None:
    """systemd starts the service again; new requests wait on its socket meanwhile."""
    with recorded(lab, "steady", rate=BUSY) as recording:
        time.sleep(1)
        with recording.fault("service killed"):
            inside(lab, "app2", *KILL_MAIN, *SITES)
        time.sleep(SETTLED)
    assert_explained(lab, recording, "service killed", "app2")
    for app in SITES:
        assert lab.host("app2").service(app).is_running


def test_a_host_is_killed_and_comes_back(lab: Lab) -> None:
    """Behaviours 14 and 28: without a hand."""
    with recorded(lab, "steady", rate=BUSY) as recording:
        time.sleep(1)
        with recording.fault("host killed"):
            lab.podman("kill", lab.container("app3"))
        time.sleep(SETTLED)
        recording.mark("host started")
        lab.podman("start", lab.container("app3"))
        wait_until_serving(lab, "app3")
        time.sleep(1)
    assert_explained(lab, recording, "host killed", "app3")


def test_a_host_reboots(lab: Lab) -> None:
    """Behaviour 28."""
    with recorded(lab, "steady", rate=BUSY) as recording:
        time.sleep(1)
        with recording.fault("host reboots"):
            lab.restart("app1")
        wait_until_serving(lab, "app1")
        time.sleep(1)
    assert_explained(lab, recording, "host reboots", "app1")


@contextmanager
def cut_off(lab: Lab, host: str, rule: str) -> Iterator[None]:
    """Hold back what the host gets and sends, as far as the rule goes.

    In the rule {way} is saddr for what it gets and daddr for what it sends.
    """
    chains = " ".join(
        f"chain {hook} {{ type filter hook {hook} priority 0; {rule.format(way=way)}; }};"
        for hook, way in (("input", "saddr"), ("output", "daddr"))
    )
    inside(lab, host, "nft", f"table inet cut {{ {chains} }}")
    try:
        yield
    finally:
        inside(lab, host, "nft", "delete table inet cut")


def test_a_balancer_restarts_beside_the_other(lab: Lab) -> None:
    """nginx first, then its whole host; nothing of it is seen through the other one."""
    with traffic(lab, "lb1 restarts", balancers=("lb2",)):
        assert lab.host("lb1").run("systemctl restart nginx").rc == 0
        assert lab.request(SITES["hello"], "/whoami", balancer="lb1").status == 200
        lab.restart("lb1")
        wait_until_serving(lab, "app1")
        time.sleep(1)


def test_no_host_answers(lab: Lab) -> None:
    """Behaviour 14: an answer at once that says so, and the service again once one is back."""
    units = [f"{app}.{kind}" for app in SITES for kind in ("socket", "service")]
    for host in HOSTS:
        inside(lab, host, "systemctl", "stop", *units)
    try:
        for site in SITES.values():
            for balancer in BALANCERS * 3:
                began = time.monotonic()
                answer = lab.request(site, "/whoami", balancer=balancer)
                took = time.monotonic() - began
                assert answer.status in (502, 503)
                assert b"Not available right now" in answer.body
                assert took < 1, f"{balancer} took {took:.2f} s to say {answer.status}"
    finally:
        for host in HOSTS:
            inside(lab, host, "systemctl", "start", *units)
    for host in HOSTS:
        wait_until_serving(lab, host)


def test_a_host_is_cut_off(lab: Lab) -> None:
    """Without a word: the balancers notice that it acknowledges nothing, and ask others."""
    balancers = ", ".join(address(lab, balancer) for balancer in BALANCERS)
    began = time.time()
    with recorded(lab, "steady", rate=BUSY) as recording:
        time.sleep(1)
        with ExitStack() as stack:
            with recording.fault("host cut off"):
                stack.enter_context(cut_off(lab, "app2", f"ip {{way}} {{{{ {balancers} }}}} drop"))
            time.sleep(10)
        recording.mark("host back")
        wait_until_serving(lab, "app2")
    assert_explained(lab, recording, "host cut off", "app2")
    since = round(time.time() - began) + 1
    for balancer in BALANCERS:
        command = f"journalctl --no-pager --unit=fuego-deploy-watch --since=-{since}s"
        said = lab.host(balancer).run(command).stdout
        assert f"{address(lab, 'app2')} has acknowledged nothing for 1 s; ended " in said


@pytest.fixture
def small_disk(lab: Lab) -> Iterator[str]:
    """Put app2's releases of hello on a file system of their own with a megabyte left."""
    releases, disk, below = "/srv/hello/releases", "/run/small-disk", "/run/root"
    inside(lab, "app2", "sh", "-ec", f"""
        mkdir -p {disk} {below}
        mount --bind / {below}
        mount --make-private {below}
        mount -t tmpfs -o size=$(($(du -sk {releases} | cut -f 1) + 40960))k tmpfs {disk}
        cp -a {releases}/. {disk}
        chmod --reference={releases} {disk}
        chown --reference={releases} {disk}
        mount --bind {disk} {releases}
        room=$(df -k --output=avail {disk} | tail -n 1)
        dd if=/dev/zero of={disk}/ballast bs=1k count=$((room - 1024))
    """)  # fmt: skip
    yield f"{releases}/ballast"
    # What was built meanwhile stays, where the host looks for it.
    inside(lab, "app2", "sh", "-ec", f"""
        rm -f {disk}/ballast
        cp -a {disk}/. {below}{releases}
        # The service works there until it restarts.
        umount --lazy {releases} {disk} {below}
    """)  # fmt: skip


def test_a_disk_is_full(lab: Lab, fleet: Fleet, small_disk: str) -> None:
    """Nothing is switched; with room made, the same command does it."""
    before = releases(lab, HOSTS)
    fleet.version()
    with traffic(lab, "deploy to a full disk, and again"):
        run = fleet.run("deploy.yml", app="hello")
        assert run.returncode != 0
        assert "app2: " in run.stdout
        assert "apps.hello: no space left on the disk while " in run.stdout
        assert "below /srv/hello/releases" in run.stdout
        assert "Nothing was switched" in run.stdout
        assert_whole(lab, HOSTS, before)
        inside(lab, "app2", "rm", small_disk)
        run = fleet.run("deploy.yml", app="hello")
        assert run.returncode == 0, run.stdout
    after = releases(lab, HOSTS)
    assert after["hello"].isdisjoint(before["hello"])
    assert_whole(lab, HOSTS, after)


def test_the_package_index_is_gone(lab: Lab, fleet: Fleet) -> None:
    """Nothing is switched, and the output says which packages could not be had, and from where."""
    before = releases(lab, HOSTS)
    requirements = fleet.source / "requirements.txt"
    known = requirements.read_text()
    requirements.write_text(f"{known}never-seen==1.0 --hash=sha256:{'0' * 64}\n")
    with traffic(lab, "deploy without an index"):
        run = fleet.run("deploy.yml", app="hello", app_index_url="http://127.0.0.1:9/simple/")
    requirements.write_text(known)
    assert run.returncode != 0
    for words in ("apps.hello: the packages cannot be installed", "127.0.0.1:9", "Nothing was"):
        assert words in run.stdout
    assert_whole(lab, HOSTS, before)


def test_a_host_cannot_be_reached(lab: Lab, fleet: Fleet) -> None:
    """Behaviour 11. It serves all the while, but nobody can deploy to it."""
    before = releases(lab, HOSTS)
    fleet.version()
    others = ("app1", "app3")
    with traffic(lab, "deploy without app2"):
        with cut_off(lab, "app2", "tcp dport 22 reject with tcp reset"):
            run = fleet.run("deploy.yml", app="hello")
            assert run.returncode != 0
            assert "app2: cannot be reached; mend it, or go on without it" in run.stdout
            assert "Nothing was switched" in run.stdout
            assert releases(lab, others) == {app: before[app] for app in SITES}

            run = fleet.run("deploy.yml", app="hello", skip_unreachable=True)
            assert run.returncode == UNREACHABLE, run.stdout
            after = releases(lab, others)
            assert after["hello"].isdisjoint(before["hello"])
            for lines in out_of_pools(lab).values():
                assert len(lines) == 1
                assert "app2: drained by " in lines[0]
        # It is back, with the old release, and nobody is sent to it.
        assert releases(lab, ("app2",)) == before
        site = SITES["hello"]
        served = {lab.request(site, "/whoami").json()["release"] for _ in range(12)}
        assert served == after["hello"]
        run = fleet.run("site.yml")
        assert run.returncode == 0, run.stdout
    assert_whole(lab, HOSTS, {**before, "hello": after["hello"]})
