"""The note of a run on the controller: which runs are over."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from fleet import run


def test_a_run_is_over_once_its_process_is(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    first = run.begin(tmp_path, "deploy", process.pid)
    assert first["over"] == []
    assert "@" in first["who"]
    assert run.begin(tmp_path, "site", os.getpid())["over"] == [], "it lives"
    process.communicate(b"\n")
    assert run.begin(tmp_path, "site", os.getpid())["over"] == [first["id"]]


def test_another_process_of_that_id_is_another_run(tmp_path: Path) -> None:
    first = run.begin(tmp_path, "deploy", os.getpid())
    note = tmp_path / f"{first['id']}.json"
    note.write_text(json.dumps({"process": os.getpid(), "started": "1"}))
    assert run.begin(tmp_path, "site", os.getpid())["over"] == [first["id"]]


def test_what_is_long_past_is_forgotten(tmp_path: Path) -> None:
    first = run.begin(tmp_path, "deploy", os.getpid())
    note = tmp_path / f"{first['id']}.json"
    long_ago = time.time() - run.KEPT - 1
    os.utime(note, (long_ago, long_ago))
    assert run.begin(tmp_path, "site", os.getpid())["over"] == []
    assert not note.exists()


def test_a_note_cut_short_is_one_of_a_run_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "run-x.json").write_text("{")
    assert run.begin(tmp_path, "site", os.getpid())["over"] == ["run-x"]
