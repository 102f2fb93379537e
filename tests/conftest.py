"""Let tests import Ansible plugins by their file's name, as Ansible loads them."""

from __future__ import annotations

import sys
from pathlib import Path

PLUGINS = Path(__file__).resolve().parent.parent / "plugins"

for folder in ("action", "filter", "modules"):
    sys.path.insert(0, str(PLUGINS / folder))
