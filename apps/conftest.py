"""What the tests of the sample apps share says what failed as their own do."""

import pytest

pytest.register_assert_rewrite("app_contract")
