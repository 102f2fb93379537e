"""A change of what a balancer knows: state, files and the running nginx as one step."""

from collections.abc import Callable
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
) -> tuple[pool.State, pool.State]:
    """Make the change to the state kept at `path`; the state before and after it.

    Notes in `result` whether anything `changed`, whether nginx was `reloaded`, and the `diff`.
    """
    with server.lock():
        before = pool.read(path)
        after = change(before)
        files = nginx.wanted(pool.render(after), MARK, ipv6=True)
        laid = server.compare(files, [])
        due = bool(laid) or server.unfinished
        result["changed"] |= due or after != before
        result["reloaded"] |= due and server.master is not None
        if module._diff:
            result["diff"] = nginx.differences(server.folder, laid)
            if after != before:
                result["diff"].append(pool.difference(path, before, after))
        if due:
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
