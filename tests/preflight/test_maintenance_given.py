"""The variables of maintenance.yml: each mistake with the mend."""

from typing import Any

import pytest
from fleet.maintenance import check_maintenance

GOOD = {"state": "on", "message": "Back at 14:00", "retry_after": 300}


@pytest.mark.parametrize(
    "given", [None, GOOD, {**GOOD, "state": "off", "message": "", "retry_after": "86400"}]
)
def test_good(given: dict[str, Any] | None) -> None:
    assert check_maintenance(given) == []


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"state": "onn"}, "state: 'onn' is neither on nor off (did you mean 'on'?); say -e st"),
        ({"state": ""}, "state: '' is neither on nor off; say -e state=on or -e state=off"),
        ({"message": "x" * 301}, "message: has 301 characters, and the page has room for 300; ma"),
        ({"retry_after": "soon"}, "retry_after: 'soon' is not a number of seconds; use 1 to 6048"),
        ({"retry_after": 0}, "retry_after: '0' is not a number of seconds"),
    ],
)
def test_refused_with_the_mend(wrong: dict[str, Any], error: str) -> None:
    (found,) = check_maintenance({**GOOD, **wrong})
    assert found.startswith(error)
