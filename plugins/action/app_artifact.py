"""Identify an app's release on the controller, and pack it into one file in a cache.

Takes the app's `name` for messages, `source`, the folder of its source, or the folder in the
repository `git`, of which `version` is a tag, branch or commit, `packages`, folders of local
packages that are built into wheels, `requirements` (PEP 508) and `distributions`, files of wheels
and sdists, beside the source or in place of it, `index_url`, the package index by which what is not
pinned is resolved, `wheels`, a folder of wheels that hosts install from, `lock`, the server's
requirements with hashes, and `cache`, where artifacts are kept (fuego-deploy in the user's cache
folder). Returns `id`, 12 hexadecimal digits, and `archive`, the file; with --check, where it would
be.

With `platforms`, dictionaries of machine, python and libc as app_platform tells them, it gathers
the wheels that these need into that folder, or wheels/<name>, instead. Returns `folder` and
`wheels`, the names of those that are new.

The id follows from the paths, executable bits, symlinks and bytes of the source's and the packages'
files, from the requirements, the bytes of the distributions and of the folder `wheels`, and the
lock. Modification times and owners do not count, nor do the bytes of wheels built here.
"""

import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[2]
# Ansible loads an action plugin by its path, so that its neighbours are no package to it.
sys.path[:0] = [str(ROOT / "plugins" / "module_utils")]

from fuego_deploy import artifact, repository, tool, wheelhouse  # noqa: E402
from fuego_deploy.layout import DeployError, redact  # noqa: E402


class ActionModule(ActionBase):  # type: ignore[misc]
    """`app_artifact`: the source → a release's id and archive."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(
            {
                "name": {"type": "str", "required": True},
                "source": {"type": "str", "default": ""},
                "git": {"type": "str", "default": ""},
                "version": {"type": "str", "default": ""},
                "working_dir": {"type": "str", "default": "."},
                "packages": {"type": "list", "elements": "path", "default": []},
                "requirements": {"type": "list", "elements": "str", "default": []},
                "distributions": {"type": "list", "elements": "path", "default": []},
                "index_url": {"type": "str", "default": ""},
                "wheels": {"type": "str", "default": ""},
                "platforms": {"type": "list", "elements": "dict", "default": []},
                "lock": {"type": "path", "required": True},
                "cache": {"type": "path"},
            }
        )
        cache = Path(given["cache"]) if given["cache"] else artifact.default_cache()
        try:
            source = artifact.Source(
                str(given["name"]),
                folder_of(given, cache),
                Path(given["lock"]),
                tuple(Path(folder) for folder in given["packages"]),
                tuple(given["requirements"]),
                tuple(Path(file) for file in given["distributions"]),
                str(given["index_url"]),
                Path(given["wheels"]) if given["wheels"] else None,
                whole=bool(given["git"]),
            )
            if given["platforms"]:
                return result | gather(source, given["platforms"], cache, self._task.check_mode)
            if self._task.check_mode:
                made = artifact.identify(source)
            else:
                made = artifact.make(source, cache, tool.find())
        except DeployError as problem:
            return result | {"failed": True, "msg": str(problem)}
        archive = made.archive or artifact.place(cache, made.id)
        return result | {
            "changed": not archive.exists() if self._task.check_mode else made.made,
            "id": made.id,
            "archive": str(archive),
            "warnings": list(made.warnings),
        }


def gather(
    source: artifact.Source, platforms: list[dict[str, str]], cache: Path, check_mode: bool
) -> dict[str, Any]:
    """Gather wheels for these platforms; with --check, find out which are missing."""
    folder = source.wheels or ROOT / "wheels" / source.app
    wanted = [wheelhouse.Platform(**each) for each in platforms]
    new = wheelhouse.gather(source, wanted, folder, cache, tool.find(), keep=not check_mode)
    return {"changed": bool(new), "folder": str(folder), "wheels": new}


def folder_of(given: dict[str, Any], cache: Path) -> Path:
    """The source as a folder, an empty one where it has none. Raises DeployError."""
    if not given["git"] and not given["source"]:
        empty = cache / "empty"
        empty.mkdir(parents=True, exist_ok=True)
        return empty
    if not given["git"]:
        return Path(given["source"])
    key = f"apps.{given['name']}.source"
    found = repository.Repository(given["git"], given["version"], key)
    tree, commit = repository.lay_out(found, cache)
    folder: Path = tree / given["source"]
    if not folder.is_dir() or not folder.resolve().is_relative_to(tree.resolve()):
        raise DeployError(
            f"{key}.path: there is no folder '{given['source']}' in commit {commit[:12]} of "
            f"{redact(given['git'])}; name one that is"
        )
    inside = folder / given["working_dir"]
    if not inside.is_dir() or not inside.resolve().is_relative_to(folder.resolve()):
        raise DeployError(
            f"apps.{given['name']}.working_dir: there is no folder '{given['working_dir']}' in "
            f"commit {commit[:12]} of {redact(given['git'])}; name one that is"
        )
    return folder
