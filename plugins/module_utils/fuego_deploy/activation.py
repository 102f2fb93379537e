"""Activations on a host: a release and its settings, laid out, switched to, and proved.

activations/<n>/release          symlink to the release
activations/<n>/env              what the service's environment is made of
activations/<n>/secrets/         what the service gets as credentials; root's alone
activations/<n>/units/           the unit files, as they are in /etc/systemd/system
activations/<n>/.activation.json written last; without it the folder is unfinished; root's alone,
                                 since the digest in it is one of the secrets as well
activations/<n>/.gate.json       the health gate it passed, to be asked again on the way back
serving.json                     what is in force, proved and committed (layout.serving)
"""

import contextlib
import hashlib
import inspect
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import checker, credentials, environment, listening, units
from .layout import (
    MARK,
    SERVING,
    App,
    DeployError,
    ensure_folder,
    group_of,
    held,
    is_ours,
    now_in_words,
    point,
    pointed_to,
    read_json,
    remove_tree,
    serving,
    set_access,
    telling_of_a_full_disk,
    write_file,
    write_json,
)
from .sandbox import run_as_app

MARKER = ".activation.json"
LOCAL = """\
# Settings of {app} on this host, as NAME=value; they win over those of the inventory.
# This file is yours: it is never overwritten. A restart is all it takes:
#   systemctl restart {app}.service
"""
CHECK_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an activation is to hold. `release` is the name of a folder in releases/."""

    release: str
    env: Mapping[str, str]
    units: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    secrets_env: Sequence[str] = ()
    """The secrets that the service's environment has, too."""

    def content(self, app: App) -> dict[str, str]:
        """Path below the activation → text."""
        return {
            "env": environment.render(app.name, self.env),
            **{f"units/{name}": text for name, text in self.units.items()},
            **dict(self.files),
        }

    def closed(self, app: App) -> dict[str, bytes]:
        """Path below the activation → what nobody but root may read, and no diff may show."""
        return credentials.files(app, self.secrets, self.secrets_env)

    def digest(self, app: App) -> str:
        """What two equal activations share."""
        closed = {n: hashlib.sha256(data).hexdigest() for n, data in self.closed(app).items()}
        parts = [self.release, self.content(app), *([closed] if closed else [])]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Found:
    """A complete activation on the host."""

    number: int
    digest: str
    release: str
    """The folder in releases/: the id, and a suffix where another Python built it."""

    @property
    def id(self) -> str:
        return self.release.partition(".")[0]


def read(app: App, name: str | None) -> Found | None:
    """The activation of that name, where it is complete."""
    if name is None or not name.isdigit():
        return None
    marker = read_json(app.activations / name / MARKER)
    release = pointed_to(app.activations / name / "release")
    if marker is None or release is None:
        return None
    return Found(int(name), str(marker.get("digest")), release)


def current(app: App) -> Found | None:
    return read(app, pointed_to(app.current))


def previous(app: App) -> Found | None:
    """What the fleet had before, where it is still there."""
    return read(app, pointed_to(app.previous))


def last_committed(app: App) -> Found | None:
    """What the whole fleet has taken last."""
    number = committed(app)
    return None if number is None else read(app, str(number))


def is_uncommitted(app: App) -> bool:
    """Whether a change was begun here that never came to its end on the whole fleet."""
    now = current(app)
    return now is not None and committed(app) != now.number


def numbers(app: App) -> list[int]:
    if not app.activations.is_dir():
        return []
    return sorted(int(path.name) for path in app.activations.iterdir() if path.name.isdigit())


def find(app: App, digest: str) -> Found | None:
    """The activation that already holds this: the current one, or one staged after it."""
    now = current(app)
    if now and now.digest == digest:
        return now
    after = now.number if now else 0
    for number in reversed(numbers(app)):
        found = read(app, str(number))
        if number > after and found and found.digest == digest:
            return found
    return None


def choose(app: App, release: str, prefer: str = "current") -> Found | None:
    """The complete activation with that release which is `prefer`red: "current", "committed" (what
    the fleet had before a change that never ended), "previous" or "newest". Where that one has
    another release, the current one counts first, then the newest."""
    first = {"committed": last_committed, "previous": previous}.get(prefer, current)(app)
    candidates = [found for found in (first, current(app)) if found and prefer != "newest"]
    candidates += [f for n in reversed(numbers(app)) if (f := read(app, str(n)))]
    return next((f for f in candidates if f.id == release), None)


def kept_releases(app: App) -> list[str]:
    """The ids of the releases that some complete activation has, the newest first."""
    found = [f.id for n in numbers(app) if (f := read(app, str(n)))]
    return list(dict.fromkeys(reversed(found)))


def lay(app: App, wanted: Wanted) -> Found:
    """Make a new activation. It has no effect until it is switched to."""
    number = max([0, *numbers(app)]) + 1
    folder = app.activations / str(number)
    try:
        with telling_of_a_full_disk(app, "laying out the settings", app.activations):
            ensure_folder(folder, 0o755)
            ensure_folder(folder / "units", 0o755)
            (folder / "release").symlink_to(f"../../releases/{wanted.release}")
            for name, text in wanted.content(app).items():
                secret = name == "env"  # systemd reads it as root, before it becomes the app
                write_file(folder / name, text, 0o600 if secret else 0o644)
            closed = wanted.closed(app)
            if closed:
                ensure_folder(folder / credentials.FOLDER, 0o700)
            for name, data in closed.items():
                write_file(folder / name, data, 0o600)
            digest = wanted.digest(app)
            marker = {"digest": digest, "release": wanted.release, "made": now_in_words()}
            write_json(folder / MARKER, marker, 0o600)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_tree(folder)
        raise
    return Found(number, digest, wanted.release)


def remove_unfinished(app: App) -> list[str]:
    """Take away what interrupted runs left: activations without their marker."""
    holding = held(app)
    gone = [
        app.activations / str(number)
        for number in numbers(app)
        if str(number) not in holding and read(app, str(number)) is None
    ]
    for folder in gone:
        remove_tree(folder)
    return [str(folder) for folder in gone]


def remove(app: App, number: int) -> None:
    """Remove an activation that nothing is to go back to."""
    if str(number) not in held(app):
        remove_tree(app.activations / str(number))


def ensure_local(app: App, check_mode: bool) -> bool:
    """Make the operator's file once, and let nobody else read it. Says whether it changed."""
    path = app.settings / "env.local"
    missing = not path.exists()
    if check_mode:
        return missing
    if missing:
        write_file(path, LOCAL.format(app=app.name), 0o640, group_of(app))
    return set_access(path, 0o640, 0, group_of(app)) or missing


# What is pending ------------------------------------------------------------------------------


def reasons(app: App, wanted: Wanted, found: Found | None) -> list[str]:
    """Why the app has to be switched or restarted, in words; nothing where all is as wanted."""
    return reasons_for(app, wanted.release, wanted.units, found)


def reasons_to_return(app: App, found: Found) -> list[str]:
    """Why an activation that is laid out already, such as a former one, is not in force."""
    folder = app.activations / str(found.number) / "units"
    texts = {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir())}
    return reasons_for(app, found.release, texts, found)


def reasons_for(app: App, release: str, texts: Mapping[str, str], found: Found | None) -> list[str]:
    now = current(app)
    if now is None:
        return ["it was never activated here"]
    why = []
    if found is None or found.number != now.number:
        why.append(f"release {release} or its settings differ from activation {now.number}")
    elif not is_proved(app, now.number):
        why.append(f"activation {now.number} has not passed its health check")
    for name, text in texts.items():
        installed = app.units / name
        if not installed.is_file():
            why.append(f"{installed} is missing")
        elif installed.read_text(encoding="utf-8", errors="replace") != text:
            why.append(f"{installed} was changed")
    states = units.states(tuple(texts))
    for job in units.jobs(texts):
        del states[job]  # its timer is what has to be up
    why += [
        f"{name} is active and takes no connection"
        for name, text in texts.items()
        if name.endswith(".socket") and states[name].active == "active" and not _accepts(text)
    ]
    why += [
        f"{name} is {state.active or 'unknown'} and {state.enabled or 'not installed'}"
        for name, state in states.items()
        if not state.up
    ]
    return why


def is_proved(app: App, number: int) -> bool:
    """Whether this activation passed its health gate after it was last switched to."""
    return serving(app).get("proved") == number


# The check of the callable ----------------------------------------------------------------------


def check_callable(app: App, number: int, target: str, protocol: str) -> None:
    """Import the callable as the service would: its user, settings, sandbox, Python and folder."""
    folder = app.activations / str(number)
    unit = (folder / "units" / f"{app.name}.service").read_text(encoding="utf-8")
    release = folder.joinpath("release").resolve()
    check_program(app, unit, release)
    code = inspect.getsource(checker)  # works from the zip that Ansible runs modules from
    python = str(release / ".venv" / "bin" / "python")
    names = sorted(credentials.read(folder))
    done = run_as_app(app, number, [python, "-c", code, target, *names], CHECK_SECONDS)
    judge(app, target, protocol, done.stdout, done.stderr, done.returncode)


def check_program(app: App, unit: str, release: Path) -> None:
    """Refuse a release without the program that its unit starts, as a marker may leave one out."""
    match = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE)
    below = f"{app.home}/current/release/"
    if match and match[1].startswith(below) and not (release / match[1][len(below) :]).exists():
        raise DeployError(
            f"apps.{app.name}.server: the release has no {Path(match[1]).name}; look for a line in "
            f"the app's requirements.txt that names it and does not apply to this host's Python"
        )


def judge(app: App, target: str, protocol: str, out: str, err: str, status: int) -> None:
    """Read the checker's verdict; refuse with the reason and the last lines of the traceback."""
    where = f"apps.{app.name}.callable: '{target}'"
    try:
        verdict = json.loads(out)
    except ValueError:
        said = "\n".join(err.strip().splitlines()[-15:]) or "it said nothing"
        said = credentials.hide(app, said)
        raise DeployError(
            f"{where} cannot be imported: the process ended with status {status} "
            f"(or took more than {CHECK_SECONDS} s)\n{said}"
        ) from None
    if verdict.get("lacking"):
        raise DeployError(
            f"app_secrets.{app.name}: {', '.join(verdict['lacking'])} did not reach the app, since "
            "systemd mounted no credentials for it; where this host is a container, share its "
            "mounts at boot: mount --make-rshared /"
        )
    if "trace" in verdict:
        trace = "\n".join(str(verdict["trace"]).strip().splitlines()[-12:])
        trace = credentials.hide(app, trace)
        raise DeployError(f"{where} cannot be imported, {verdict['error']}:\n{trace}")
    if "error" in verdict:
        there = ", ".join(verdict["callables"]) or "none"
        raise DeployError(f"{where}: {verdict['error']}; the callables in it are: {there}")
    kind = verdict["kind"]
    parameters = credentials.hide(app, verdict["parameters"])
    what = f"a {verdict['type']} called with {parameters or 'unknown parameters'}"
    if kind == "none":
        raise DeployError(f"{where} is a {verdict['type']}, which nothing can call")
    if kind == "factory":
        raise DeployError(
            f"{where} is {what}: it makes an app and is none; write it with its brackets, "
            f"{target}()"
        )
    if kind == "other":
        raise DeployError(f"{where} is {what}, which is no {protocol.upper()} app")
    if kind in ("wsgi", "asgi") and kind != protocol:
        raise DeployError(
            f"{where} is {kind.upper()} ({what}), and the server expects {protocol.upper()}; "
            f"name the {protocol.upper()} callable, or take a server that speaks {kind.upper()}"
        )


# Switching --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Switch:
    """What a switch changed, or would change."""

    changed: bool
    reload: bool
    """systemd has to read the unit files again."""
    socket: bool
    """The socket unit is not the one in force: stop the service, restart the socket."""


def switch(app: App, number: int, check_mode: bool = False) -> Switch:
    """Point `current` at the activation and install its units. Restarts nothing."""
    found = read(app, str(number))
    if found is None:
        raise DeployError(f"apps.{app.name}: there is no complete activation {number} here")
    folder = app.activations / str(number)
    texts = {path.name: path.read_text("utf-8") for path in sorted((folder / "units").iterdir())}
    for name in texts:
        installed = app.units / name
        if os.path.lexists(installed) and not is_ours(installed):
            raise DeployError(
                f"apps.{app.name}: the unit {installed} does not say '{MARK}', so it is not "
                "replaced: move it away, or rename the app"
            )
    record = serving(app)
    loaded: dict[str, str] = record.get("units", {})
    now = current(app)
    moved = now is None or now.number != number
    differing = [name for name, text in texts.items() if not _holds(app.units / name, text)]
    wanted = {name: _sha(text) for name, text in texts.items()}
    state = units.states(tuple(texts))
    result = Switch(
        changed=bool(moved or differing),
        reload=bool(differing or wanted != loaded or any(s.stale for s in state.values())),
        socket=any(
            name.endswith(".socket")
            and (
                name in differing
                or loaded.get(name) != digest
                or (state[name].active == "active" and not _accepts(texts[name]))
            )
            for name, digest in wanted.items()
        ),
    )
    if check_mode:
        return result
    with telling_of_a_full_disk(app, "switching", app.home):
        # From here on, and until the health gate says so, this host is not proved.
        # A unit that changes is in force again once the gate says so, even if this run ends before.
        kept = {n: d for n, d in loaded.items() if n not in differing and wanted.get(n) == d}
        write_json(app.home / SERVING, {**record, "proved": None, "units": kept,
                                        "committed": committed(app)})  # fmt: skip
        # The units first: where the disk is full, the old release stays what a reboot would start.
        for name in differing:
            write_file(app.units / name, texts[name])
        if moved:
            point(app.current, f"activations/{number}")
    units.reset_failed([name for name, unit in state.items() if unit.active != "inactive"])
    return result


def committed(app: App) -> int | None:
    """The activation to go back to while a change is under way; None before the first one."""
    record = serving(app)
    return record.get("committed", record.get("proved"))


def confirm(app: App, number: int) -> bool:
    """Note that the activation passed its health gate, with the units it did so under."""
    now = current(app)
    if now is None or now.number != number:
        raise DeployError(
            f"apps.{app.name}: another run switched to activation {now.number if now else 'none'} "
            f"while this one waited for {number} to be healthy; see who else deploys, and run again"
        )
    folder = app.activations / str(number) / "units"
    wanted = {path.name: _sha(path.read_text("utf-8")) for path in folder.iterdir()}
    record = serving(app)
    if record.get("proved") == number and record.get("units") == wanted:
        return False
    write_json(app.home / SERVING, {**record, "proved": number, "since": now_in_words(),
                                    "committed": committed(app),
                                    "release": now.release, "units": wanted})  # fmt: skip
    return True


def hold(app: App, purpose: str, who: str) -> None:
    """Keep what is in force, a rollback, until the next deploy; whose purpose ends it."""
    record, now = serving(app), current(app)
    kept = {name: value for name, value in record.items() if name != "hold"}
    if purpose in ("rollback", "abort") and now:
        kept["hold"] = {"release": now.id, "by": who, "since": now_in_words()}
    if purpose in ("rollback", "abort", "deploy", "promote") and kept != record:
        write_json(app.home / SERVING, kept)


def commit(app: App) -> bool:
    """The whole fleet has taken what is in force here: it is what an undo goes back to now."""
    record, now, former = serving(app), current(app), committed(app)
    if now is None or record.get("proved") != now.number or record.get("committed") == now.number:
        return False
    if former is not None and former != now.number:
        point(app.previous, f"activations/{former}")
    write_json(app.home / SERVING, {**record, "committed": now.number})
    return True


def _accepts(unit: str) -> bool:
    stream = listening.read_stream(unit)
    return stream is None or units.accepts(*stream)


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
