#!/usr/bin/python
"""Replace files of nginx's configuration as one step: proved before, loaded after, or undone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_config
short_description: Lay a configuration of nginx that is proved before it lands, and load it
description:
  - Compares the files with those on the host. Where they differ, a copy of the whole folder with
    the new files is put to C(nginx -t). What it refuses never reaches the folder, so a later
    restart of nginx is as safe as a reload. Where nothing differs, the folder as it stands is put
    to the same test, and with it what operators have added.
  - Files are then replaced by atomic renames, and a running nginx is told to reload. A reload can
    fail in silence, when a port is taken for example, and the old configuration keeps running. So
    the module waits until new worker processes have taken over; where they do not come, the former
    files are put back and the task fails with nginx's own lines.
  - A run that was killed between the two is finished by the next.
  - Lines that listen on an IPv6 address are left out on a host without IPv6.
options:
  files:
    description:
      - Path below O(path) → content, in the order in which they are replaced. Each content has the
        mark in its first lines.
    type: dict
    required: true
  owned:
    description:
      - Folders below O(path), of which files that carry the mark and are not in O(files) are
        removed, in this order. Other files there belong to somebody else.
    type: list
    elements: str
    default: []
  path:
    description: The folder of nginx's configuration.
    type: path
    default: /etc/nginx
  mark:
    description:
      - What the first lines of a file of ours say. A file without it is not replaced but refused
        by name. The one exception is a file of the distribution's package that nobody has edited;
        a copy of it is kept beside it, as C(.distribution).
    type: str
    default: Managed by fuego-deploy
  executable:
    description: The program.
    type: str
    default: nginx
  pid_file:
    description: Where the running nginx has its process id.
    type: path
    default: /run/nginx.pid
  error_log:
    description: Where the running nginx says why it did not take a configuration.
    type: path
    default: /var/log/nginx/error.log
  reload_timeout:
    description: Seconds within which a reload has to take.
    type: float
    default: 10
attributes:
  check_mode:
    support: full
    details:
      - Proves the new files too. Where nginx is not installed yet, it only tells what would change.
  diff_mode:
    support: full
author: fuego-deploy
"""

EXAMPLES = r"""
- name: Lay the pools
  nginx_config:
    files:
      upstreams/hello.conf: "{{ lookup('ansible.builtin.template', 'upstream.conf.j2') }}"
    owned: [upstreams]
"""

RETURN = r"""
files:
  description: Paths below O(path) that were written or removed.
  type: list
  elements: str
  returned: always
tested:
  description: Whether nginx itself has proved the files.
  type: bool
  returned: always
reloaded:
  description: Whether the running nginx has taken the configuration anew.
  type: bool
  returned: always
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

Contents = dict[str, bytes | None]
"""Path below the folder → content; None for a file that is not there."""

IPV6_LISTENER = re.compile(rb"^[ \t]*listen[ \t]+\[.*\n?", re.MULTILINE)
# Left in the folder from the first replacement to the proof that nginx has loaded all of it.
PENDING = ".fuego-deploy-pending"
TRIAL = ".nginx-trial-"


class RefusedError(Exception):
    """What the operator is told: the path, the reason and the mend."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a run changes, as contents before and after, in the order of its steps."""

    before: Contents = field(default_factory=dict)
    after: Contents = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.after)


def has_ipv6() -> bool:
    """Whether this host can open an IPv6 socket at all."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:
        return False
    return True


def read(path: Path) -> bytes | None:
    """The content of a file, or None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def is_marked(content: bytes, mark: str) -> bool:
    return mark.encode() in b"\n".join(content.splitlines()[:3])


def is_as_shipped(path: Path) -> bool:
    """Whether a Debian package brought this file and nobody has edited it since."""
    try:
        listed = subprocess.run(
            ["dpkg-query", "--show", "--showformat=${Conffiles}\n", "nginx*"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    except FileNotFoundError:
        return False
    # MD5 is what dpkg keeps; nothing here depends on its strength.
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return f"{path} {digest}" in listed


def wanted(files: dict[str, str], mark: str, ipv6: bool) -> dict[str, bytes]:
    """The files as this host gets them. Raises RefusedError for what is not ours."""
    contents = {}
    for path, text in files.items():
        content = text.encode()
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise RefusedError(f"files: {path!r} does not stay below the folder")
        if not is_marked(content, mark):
            raise RefusedError(f"files: {path!r} lacks {mark!r} in its first lines")
        contents[path] = content if ipv6 else IPV6_LISTENER.sub(b"", content)
    return contents


def compare(folder: Path, files: dict[str, bytes], owned: list[str], mark: str) -> Change:
    """What has to change below `folder`. Raises RefusedError for a file that somebody else made."""
    change = Change()
    for path, content in files.items():
        live = folder / path
        present = read(live)
        if present == content:
            continue
        if present is not None and not is_marked(present, mark):
            check_takeover(folder, live)
            backup = f"{path}.distribution"
            if not (folder / backup).exists():
                change.before[backup] = None
                change.after[backup] = present
        change.before[path] = present
        change.after[path] = content
    for name in owned:
        for live in sorted((folder / name).glob("*")):
            path = str(live.relative_to(folder))
            if path not in files and live.is_file() and is_marked(live.read_bytes(), mark):
                change.before[path] = live.read_bytes()
                change.after[path] = None
    return change


def check_takeover(folder: Path, live: Path) -> None:
    """Raise RefusedError unless `live` is the distribution's, with nothing that would be lost."""
    if not is_as_shipped(live):
        raise RefusedError(
            f"{live} is not ours and not as the distribution ships it; move it away "
            f"(mv {live} {live}.before) and run again"
        )
    others = [p for p in sorted((folder / "sites-enabled").glob("*")) if p.name != "default"]
    if live.name == "nginx.conf" and others:
        raise RefusedError(
            f"{live} serves sites that would be lost: {', '.join(map(str, others))}; move what "
            f"you want to keep to {folder}/conf.d/*.conf, the rest away, and run again"
        )


@contextlib.contextmanager
def trial(folder: Path, after: Contents) -> Iterator[Path]:
    """A copy of `folder` with `after` in it, beside it so that relative links still lead."""
    for stale in folder.parent.glob(f"{TRIAL}*"):
        shutil.rmtree(stale)
    copy = Path(tempfile.mkdtemp(prefix=TRIAL, dir=folder.parent))
    try:
        shutil.copytree(
            folder, copy, symlinks=True, copy_function=link, ignore=special, dirs_exist_ok=True
        )
        # copytree gives the copy the folder's mode; some of its files may be private.
        copy.chmod(0o700)
        for path, content in after.items():
            (copy / path).unlink(missing_ok=True)
            if content is not None:
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                (copy / path).write_bytes(content)
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def link(source: str, target: str, *, follow_symlinks: bool = True) -> str:
    """Stand in for copying where a second name will do: keys stay where they are."""
    try:
        os.link(source, target, follow_symlinks=follow_symlinks)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=follow_symlinks)
    return target


def special(folder: str, names: list[str]) -> set[str]:
    """Sockets and the like, which cannot be copied."""
    paths = {name: Path(folder, name) for name in names}
    return {n for n, p in paths.items() if not (p.is_symlink() or p.is_file() or p.is_dir())}


def plain(line: str) -> str:
    """A line of nginx's log without its time and process."""
    return re.sub(r"^\S+ \S+ (\[\w+\]) \d+#\d+:", r"\1", line.strip().removeprefix("nginx: "))


def test(executable: str, tree: Path, folder: Path) -> list[str]:
    """Put `tree` to nginx's own test, paths told as below `folder`.

    Returns its warnings. Raises RefusedError with its lines.
    """
    result = subprocess.run(
        [executable, "-t", "-c", str(tree / "nginx.conf")],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines = [
        plain(line).replace(str(tree), str(folder))
        for line in result.stderr.splitlines()
        if not re.search(r"configuration file \S+ (syntax is ok|test (failed|is successful))", line)
    ]
    if result.returncode:
        raise RefusedError("\n".join(["nginx refuses the configuration:", *lines]))
    return [line for line in lines if "[warn]" in line]


def replace(folder: Path, contents: Contents) -> None:
    """Put each content in its place by an atomic rename; what it replaces is never half there."""
    touched = set()
    for path, content in contents.items():
        live = folder / path
        if content is None:
            live.unlink(missing_ok=True)
            touched.add(live.parent)
            continue
        live.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{live.name}.", dir=live.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(descriptor, 0o644)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, live)
        except BaseException:
            os.unlink(temporary)
            raise
        touched |= {live.parent, live.parent.parent}
    for directory in touched:
        sync(directory)


def sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def running(pid_file: Path) -> int | None:
    """The process id of the running nginx's master, or None."""
    try:
        pid = int(pid_file.read_text())
        title = Path(f"/proc/{pid}/cmdline").read_text()
    except (OSError, ValueError):
        return None
    return pid if title.startswith("nginx: master process") else None


def workers(master: int) -> set[int]:
    """The workers that take requests, those that only finish theirs left out."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            title = (entry / "cmdline").read_bytes()
            if not title.startswith(b"nginx: worker process") or b"shutting down" in title:
                continue
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue  # it has just ended
        if int(parent) == master:
            found.add(int(entry.name))
    return found


def reload(master: int, error_log: Path, timeout: float) -> None:
    """Have nginx load its configuration and wait until it has, or raise RefusedError."""
    before = workers(master)
    with contextlib.ExitStack() as stack:
        log = None
        with contextlib.suppress(OSError):
            log = stack.enter_context(error_log.open(errors="replace"))
            log.seek(0, os.SEEK_END)
        os.kill(master, signal.SIGHUP)
        said: list[str] = []
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            time.sleep(0.02)
            now = workers(master)
            if now and not now & before:
                return
            if log:
                said += [line for line in log if "[emerg]" in line]
            # It tries a port that is taken for 2.5 seconds before it gives up.
            if any("[emerg] " in line and " bind() to " not in line for line in said):
                break
    lines = dict.fromkeys(map(plain, said))
    raise RefusedError(
        "\n".join(lines) or f"no new worker process within {timeout:g} s, and no word in its log"
    )


def install(folder: Path, change: Change, master: int | None, log: Path, timeout: float) -> None:
    """Replace the files and have nginx load them, or leave all as it was and raise."""
    pending = folder / PENDING
    unfinished = pending.exists()
    pending.touch()
    sync(folder)
    try:
        replace(folder, change.after)
        if master is not None:
            reload(master, log, timeout)
    except BaseException as error:
        replace(folder, dict(reversed(change.before.items())))
        if not unfinished:
            pending.unlink()
        if master is not None:
            # Should it have read the new files after all, it reads the former ones last.
            os.kill(master, signal.SIGHUP)
        if isinstance(error, RefusedError):
            fate = ", the former files are back in their place" if change else ""
            raise RefusedError(
                f"nginx did not take the configuration; it serves on as before{fate}:\n{error}"
            ) from error
        raise
    pending.unlink()


def differences(folder: Path, change: Change) -> list[dict[str, str]]:
    """The change as Ansible shows it with --diff."""
    found = []
    for path, content in change.after.items():
        before = change.before[path]
        found.append(
            {
                "before_header": str(folder / path) if before is not None else "/dev/null",
                "after_header": str(folder / path) if content is not None else "/dev/null",
                "before": (before or b"").decode(errors="replace"),
                "after": (content or b"").decode(errors="replace"),
            }
        )
    return found


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep other runs of this module away from the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def run(module: AnsibleModule) -> dict[str, object]:
    """Do what the task asks; the result as Ansible takes it. Raises RefusedError."""
    p = module.params
    folder = Path(p["path"])
    executable = module.get_bin_path(p["executable"], opt_dirs=["/usr/sbin", "/usr/local/sbin"])
    if executable is None and not module.check_mode:
        raise RefusedError(f"{p['executable']} is not installed on this host")
    files = wanted(p["files"], p["mark"], has_ipv6())
    with lock(folder) if folder.is_dir() else contextlib.nullcontext():
        change = compare(folder, files, p["owned"], p["mark"])
        unfinished = (folder / PENDING).exists()
        master = running(Path(p["pid_file"]))
        result: dict[str, object] = {
            "changed": bool(change) or unfinished,
            "files": list(change.after),
            "tested": executable is not None,
            "reloaded": (bool(change) or unfinished) and master is not None,
        }
        if module._diff:
            result["diff"] = differences(folder, change)
        if executable is None:
            return result
        if change:
            with trial(folder, change.after) as tree:
                warnings = test(executable, tree, folder)
        else:
            warnings = test(executable, folder, folder)
        for warning in warnings:
            module.warn(warning)
        if result["changed"] and not module.check_mode:
            install(folder, change, master, Path(p["error_log"]), p["reload_timeout"])
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "dict", "required": True},
            "owned": {"type": "list", "elements": "str", "default": []},
            "path": {"type": "path", "default": "/etc/nginx"},
            "mark": {"type": "str", "default": "Managed by fuego-deploy"},
            "executable": {"type": "str", "default": "nginx"},
            "pid_file": {"type": "path", "default": "/run/nginx.pid"},
            "error_log": {"type": "path", "default": "/var/log/nginx/error.log"},
            "reload_timeout": {"type": "float", "default": 10.0},
        },
        supports_check_mode=True,
    )
    try:
        result = run(module)
    except (RefusedError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
