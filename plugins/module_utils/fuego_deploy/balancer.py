"""A change of what a balancer knows: state, files and the running nginx as one step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from . import nginx, pool
from .layout import MARK

Change = Callable[[pool.State], pool.State]


def commit(
    module: AnsibleModule,
    server: nginx.Nginx,
    path: str,
    change: Change,
    result: dict[str, Any],
    others: Mapping[str, str] | None = None,
    owned: Sequence[str] = (),
) -> tuple[pool.State, pool.State]:
    """Make the change to the state kept at `path`; the state before and after it.

    `others` are files that are no pool's, path below nginx's folder → content, which are laid after
    the pools that they include; of the folders `owned`, files of ours that are not wanted any more
    are removed. Notes in `result` whether anything `changed`, whether nginx was `reloaded`, and the
    `diff`.
    """
    with server.lock():
        before = pool.read(path)
        after = change(before)
        files = nginx.wanted({**pool.render(after), **(others or {})}, MARK, nginx.has_ipv6())
        laid = server.compare(files, list(owned))
        due = bool(laid) or server.unfinished
        result["changed"] |= due or after != before
        result["reloaded"] |= due and server.master is not None
        if module._diff:
            result["diff"] = nginx.differences(server.folder, laid)
            if after != before:
                result["diff"].append(pool.difference(path, before, after))
        # With all files at hand, the folder is proved as it stands too, and what operators added.
        if due or others:
            for warning in server.prove(laid):
                module.warn(warning)
        if module.check_mode:
            return before, after
        if after != before:
            pool.write(path, after)
        try:
            if due:
                server.install(laid)
        except BaseException:
            if after != before:
                pool.write(path, before)
            raise
    return before, after
