"""What the tests of the status share."""

import pytest
from told import Fleet


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()
