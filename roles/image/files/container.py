#!/usr/bin/python3
# Managed by fuego-deploy: edits are lost.
"""The first process of an app's container: nginx in front of the app's server, as roles/app and
roles/nginx laid them.

fuego-container            serve, until SIGTERM; SIGHUP reads nginx's files again
fuego-container COMMAND…   run a command of the release, as the app's user, with its settings

Settings come from the environment (podman run -e), over those of the image. Exits with 2 where one
of them is wrong, with 1 where nginx refuses its files or one of the two ends by itself.

At SIGTERM nginx takes nothing new and ends what is in flight, then the app's server ends: within
STOP_TIMEOUT seconds (8), below the 10 that podman and Docker wait by default.
"""

import ipaddress
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

DESCRIPTION = Path("/etc/fuego-deploy/container.json")
POOLS = Path("/etc/nginx/pools")
SITES = Path("/etc/nginx/sites")
SECRETS = Path("/run/secrets")
"""Where podman and Docker mount a container's secrets."""
HTTP_PORT = 80
NGINX = "/usr/sbin/nginx"
LISTENER = 3
"""The descriptor of an inherited socket, as systemd hands it on: sd_listen_fds(3)."""
BACKLOG = 2048
FOR_THE_APP = 2.0
"""Seconds of STOP_TIMEOUT that are the app's, after nginx's."""
PORT = "GUNICORN_BIND_PORT"
ADDRESS = "GUNICORN_BIND_ADDRESS"
OF_THE_IMAGE = {"APP_CALLABLE", "APP_PROTOCOL", "APP_RELEASE", "HOME", "LOGNAME", "PATH", "SHELL",
                "USER"}  # fmt: skip
WAKES = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class WrongError(Exception):
    """What is wrong with a setting, with the mend."""


def settings(image: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """The environment of the app's server: the image's, and over it what was given."""
    baked: dict[str, str] = image["environment"]
    # Who runs it and what it is come from the image, whoever runs the container.
    over = {name: value for name, value in given.items() if name not in OF_THE_IMAGE}
    found = baked | over
    paths = [baked.get("PYTHONPATH", ""), over.get("PYTHONPATH", "")]
    if any(paths):
        found["PYTHONPATH"] = ":".join(dict.fromkeys(path for path in paths if path))
    if SECRETS.is_dir():
        found.setdefault("CREDENTIALS_DIRECTORY", str(SECRETS))
    folder = Path(found.get("CREDENTIALS_DIRECTORY", SECRETS))
    for name in image["secrets_env"]:
        if name not in found and (folder / name).is_file():
            found[name] = (folder / name).read_text(encoding="utf-8")
    return found


def whole_number(name: str, value: str, minimum: int, maximum: int | None = None) -> int:
    """The value as a number of that range. Raises WrongError."""
    most = f" to {maximum}" if maximum else ""
    if not (value.isascii() and value.isdigit()):
        raise WrongError(f"{name}: {value!r} is not a whole number; give one from {minimum}{most}")
    if int(value) < minimum or (maximum and int(value) > maximum):
        raise WrongError(f"{name}: {value} is out of range; give one from {minimum}{most}")
    return int(value)


def check(image: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    """All that is wrong with the settings, each in a line."""
    found = []
    wanted = [(s["env"], s["minimum"], s.get("maximum")) for s in image["settings"].values()]
    for name, minimum, maximum in [*wanted, ("STOP_TIMEOUT", 1, None)]:
        try:
            if env.get(name, "").strip():
                whole_number(name, env[name].strip(), minimum, maximum)
        except WrongError as problem:
            found.append(str(problem))
    try:
        where(env)
    except WrongError as problem:
        found.append(str(problem))
    folder = Path(env.get("CREDENTIALS_DIRECTORY", SECRETS))
    for name in image["secrets"]:
        in_environment = name in image["secrets_env"] and name in env
        if not in_environment and not (folder / name).is_file():
            also = f", or -e {name}=…" if name in image["secrets_env"] else ""
            found.append(
                f"{name}: this secret of the app is missing; give it: --secret {name}{also}"
            )
    return found


def where(env: Mapping[str, str]) -> tuple[str, int]:
    """The address and port that the app's server listens on. Raises WrongError.

    A --bind in GUNICORN_CMD_ARGS wins over the two variables, as with gunicorn itself.
    """
    address, port = env.get(ADDRESS, "").strip() or "127.0.0.1", env.get(PORT, "").strip() or "8000"
    named = {"address": ADDRESS, "port": PORT}
    try:
        words = iter(shlex.split(env.get("GUNICORN_CMD_ARGS", "")))
    except ValueError as problem:
        raise WrongError(f"GUNICORN_CMD_ARGS: {problem}; close what is quoted") from problem
    for word in words:
        option, _, value = word.partition("=")
        if option in ("-b", "--bind"):
            address, _, port = (value or next(words, "")).rpartition(":")
            named = dict.fromkeys(named, f"GUNICORN_CMD_ARGS: {option}")
    address = address.strip("[]")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise WrongError(
            f"{named['address']}: {address!r} is no IP address; give one, for example 127.0.0.1"
        ) from None
    number = whole_number(named["port"], port, 1, 65535)
    if number == HTTP_PORT:
        raise WrongError(f"{named['port']}: {port} is nginx's own; give another one")
    return address, number


def listen(address: str, port: int) -> None:
    """Open the app's socket at LISTENER: what comes before the app is up waits there.

    It has TCP_NODELAY, which some servers do not set on one that they inherit. Raises WrongError.
    """
    six = ":" in address
    try:
        listener = socket.create_server(
            (address, port),
            family=socket.AF_INET6 if six else socket.AF_INET,
            backlog=BACKLOG,
            dualstack_ipv6=six and socket.has_dualstack_ipv6(),
        )
    except OSError as problem:
        told = f"{ADDRESS}, {PORT}: cannot listen on {address}:{port}: {problem}"
        raise WrongError(told) from problem
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if listener.fileno() != LISTENER:
        os.dup2(listener.fileno(), LISTENER)
        listener.close()
    else:
        listener.detach()
    os.set_inheritable(LISTENER, True)


def point_nginx(app: str, address: str, port: int) -> None:
    """Name the app's server in its pool."""
    if ipaddress.ip_address(address).is_unspecified:
        address = "127.0.0.1"
    member = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    pool = POOLS / f"{app}.conf"
    text = pool.read_text(encoding="utf-8")
    pool.write_text(re.sub(r"^server \S+?(?=[ ;])", f"server {member}", text, flags=re.MULTILINE))


def without_ipv6() -> None:
    """Take nginx's listeners on IPv6 away, where the machine has none."""
    for site in SITES.glob("*.conf"):
        text = site.read_text(encoding="utf-8")
        site.write_text(re.sub(r"^\s*listen \[.*\n", "", text, flags=re.MULTILINE))


def has_ipv6() -> bool:
    """Whether sockets of IPv6 can be made here."""
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError:
        return False
    return True


def nginx_refuses() -> str:
    """What nginx says of its files where it does not take them, else nothing."""
    done = subprocess.run([NGINX, "-t", "-q"], capture_output=True, text=True, check=False)
    if not done.returncode:
        return ""
    mend = "; mend what is in /etc/nginx/conf.d" if "/etc/nginx/conf.d" in done.stderr else ""
    return f"nginx does not take its files{mend}:\n{done.stderr.strip()}"


def as_user(image: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a process the app's: its user, folder and mask."""
    account = pwd.getpwnam(image["user"])
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [],
            "cwd": image["folder"], "umask": 0o077}  # fmt: skip


def allow_signals() -> None:
    """Undo in a child what waiting for signals blocks here."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WAKES)


def start_app(image: Mapping[str, Any], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the app's server with the socket."""
    hand_on = ["/bin/sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', "sh"]
    return subprocess.Popen(
        [*hand_on, *image["command"]],
        env=env,
        pass_fds=(LISTENER,),
        preexec_fn=allow_signals,
        process_group=0,  # or Ctrl-C at a terminal would cut what is in flight
        **as_user(image),
    )


def start_nginx() -> subprocess.Popen[bytes]:
    """Start nginx: its master may open port 80, its workers may not."""
    return subprocess.Popen([NGINX, "-g", "daemon off;"], preexec_fn=allow_signals, process_group=0)


def wait(processes: Mapping[str, subprocess.Popen[bytes]], until: float) -> bool:
    """Whether all of them have ended by then, a time of `time.monotonic()`."""
    while any(process.poll() is None for process in processes.values()):
        left = until - time.monotonic()
        if left <= 0:
            return False
        signal.sigtimedwait(WAKES, min(left, 0.5))
    return True


def stop(nginx: subprocess.Popen[bytes], app: subprocess.Popen[bytes], seconds: float) -> None:
    """End both, what is in flight first."""
    end = time.monotonic() + seconds
    if nginx.poll() is None:
        nginx.send_signal(signal.SIGQUIT)
    idle = wait({"nginx": nginx}, end - min(FOR_THE_APP, seconds / 2))
    if app.poll() is None:
        app.terminate()
    wait({"nginx": nginx, "app": app}, end)
    if not idle and nginx.poll() is None:
        say("requests were still under way when the time was over; STOP_TIMEOUT gives them more")
    for process in (nginx, app):
        if process.poll() is None:
            process.kill()
            process.wait()


def say(text: str) -> None:
    """Tell whoever reads the container's log."""
    print(f"container: {text}", file=sys.stderr, flush=True)


def reload(nginx: subprocess.Popen[bytes]) -> None:
    """Let nginx read its files again, where it takes them."""
    refused = nginx_refuses()
    if refused:
        say(f"it goes on as before: {refused}")
    else:
        nginx.send_signal(signal.SIGHUP)


def serve(image: Mapping[str, Any], env: dict[str, str]) -> int:
    """Run both until told to stop; returns the exit code. Raises WrongError."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WAKES)
    address, port = where(env)
    env.setdefault("FORWARDED_ALLOW_IPS", f"127.0.0.1,::1,::ffff:127.0.0.1,{address}")
    listen(address, port)
    point_nginx(image["app"], address, port)
    if not has_ipv6():
        without_ipv6()
    refused = nginx_refuses()
    if refused:
        say(refused)
        return 1
    app, nginx = start_app(image, env), start_nginx()
    os.close(LISTENER)
    seconds = float(env.get("STOP_TIMEOUT", "").strip() or 8)
    while True:
        told = signal.sigwait(WAKES)
        if told == signal.SIGHUP:
            reload(nginx)
        elif told in (signal.SIGTERM, signal.SIGINT):
            stop(nginx, app, seconds)
            return 0
        for name, process in (("nginx", nginx), (image["command"][0], app)):
            if process.poll() is not None:
                say(f"{name} ended by itself with {process.returncode}")
                stop(nginx, app, seconds)
                return 1
        reap(nginx, app)


def reap(*known: subprocess.Popen[bytes]) -> None:
    """Take the exit codes of processes whose parents have ended, as a first process has to."""
    ours = {process.pid for process in known}
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in ours:
            return
        os.waitpid(ended.si_pid, 0)


def run(image: Mapping[str, Any], env: dict[str, str], words: list[str]) -> NoReturn:
    """Become a command of the release. Raises WrongError where there is none of that name."""
    environment_of_release = str(Path(image["command"][0]).parent)
    path = f"{environment_of_release}:{env.get('PATH') or os.defpath}"
    user = as_user(image)
    os.setgroups([])
    os.setgid(user["group"])
    os.setuid(user["user"])
    os.umask(user["umask"])
    os.chdir(user["cwd"])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    program = shutil.which(words[0], path=path)
    if program is None:
        raise WrongError(f"{words[0]}: there is no such command in the release, and none on {path}")
    os.execve(program, words, {**env, "PATH": path})


def main() -> int:
    """Serve, or run a command."""
    image: dict[str, Any] = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    env = settings(image, os.environ)
    problems = check(image, env)
    for problem in problems:
        say(problem)
    if problems:
        return 2
    try:
        if len(sys.argv) > 1:
            run(image, env, sys.argv[1:])
        return serve(image, env)
    except WrongError as problem:
        say(str(problem))
        return 2


if __name__ == "__main__":
    sys.exit(main())
