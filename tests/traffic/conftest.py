"""What the tests of the traffic tool share."""

from __future__ import annotations

import pytest
from traffic import clients


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what the clients wait for between two exchanges."""
    for name in ("ECHO", "PAUSE", "SLOW"):
        monkeypatch.setattr(clients, name, 0.01)
