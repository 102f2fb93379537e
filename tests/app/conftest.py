"""The modules' shared Python is imported as it lies in the tree, not as Ansible packs it."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "plugins" / "module_utils")]

from fuego_deploy.layout import App, claim  # noqa: E402


@pytest.fixture
def app(tmp_path: Path) -> App:
    """An app claimed below a folder of the test's own."""
    app = App("fuego-test-hello", tmp_path / "host")
    claim(app)
    app.units.mkdir(parents=True)
    return app
