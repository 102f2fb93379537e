"""What the inventory's server_config says is read after the role's own, and wins."""

import runpy
import shutil
from pathlib import Path

import pytest
from tree import ROOT


@pytest.mark.parametrize(("server", "setting"), [("gunicorn", "keepalive"),
                                                 ("hypercorn", "keep_alive_timeout")])  # fmt: skip
def test_own_settings_win(tmp_path: Path, server: str, setting: str) -> None:
    file = tmp_path / f"{server}.conf.py"
    shutil.copy(ROOT / "roles/app/servers" / file.name, file)
    assert runpy.run_path(str(file))[setting] == 75
    (tmp_path / "own.conf.py").write_text(f"{setting} = workers * 100\nbacklog = 7\n")
    found = runpy.run_path(str(file))
    assert (found[setting], found["backlog"]) == (200, 7)
