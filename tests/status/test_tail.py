"""Lines from the end of a file, whatever lies on the border of two blocks."""

from pathlib import Path

import pytest
from fuego_deploy import tail

ALL = 1 << 30


@pytest.mark.parametrize("block", [1, 2, 3, 7, 1 << 18])
@pytest.mark.parametrize("end", ["\n", ""])
def test_the_last_line_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, end: str
) -> None:
    monkeypatch.setattr(tail, "BLOCK", block)
    file = tmp_path / "log"
    file.write_text("one\n\ntwo and more\nthree" + end)
    assert list(tail.lines(file, ALL)) == [b"three", b"two and more", b"one"]


def test_no_more_is_read_than_asked_for_and_no_half_line_told(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_text("first line\nsecond line\nthird line\n")
    assert list(tail.lines(file, 20)) == [b"third line"]
    assert list(tail.lines(file, 4)) == []


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.touch()
    assert list(tail.lines(file, ALL)) == []
    with pytest.raises(FileNotFoundError):
        list(tail.lines(tmp_path / "none", ALL))
