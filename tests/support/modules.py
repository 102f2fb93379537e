"""Modules run as Ansible runs them, in the process of the test."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

Result = dict[str, Any]


def call(
    main: Callable[[], None], capsys: pytest.CaptureFixture[str], check: bool = False, **given: Any
) -> Result:
    """The module's result, with --diff."""
    arguments = {**given, "_ansible_check_mode": check, "_ansible_diff": True}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        main()
    result: Result = json.loads(capsys.readouterr().out)
    return result
