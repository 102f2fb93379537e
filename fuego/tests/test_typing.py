"""What a type checker says of right and wrong uses."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_right_uses_pass_and_wrong_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = pytest.importorskip("mypy.api")
    sample = HERE / "typing_cases" / "sample.py"
    lines = sample.read_text().splitlines()
    expected = {
        (number, marked[1])
        for number, line in enumerate(lines, 1)
        if (marked := re.search(r"# error: ([a-z-]+)$", line))
    }
    monkeypatch.setenv("MYPYPATH", str(HERE.parent / "src"))
    options = ["--strict", f"--cache-dir={tmp_path}", "--config-file=", "--no-pretty"]
    output, errors, _ = api.run([*options, str(sample)])
    found = {
        (int(match[1]), match[2])
        for match in re.finditer(r"sample\.py:(\d+): error: .*\[([a-z-]+)\]$", output, re.MULTILINE)
    }
    assert errors == ""
    assert found == expected, output
