"""Files of lines that grow at their end, read from there: what is new stands last."""

import os
from collections.abc import Iterator
from pathlib import Path

BLOCK = 256 * 1024


def lines(path: Path, most: int) -> Iterator[bytes]:
    """The lines of the file, the last one first, empty ones left out; of the last `most` bytes, so
    that the first line of a longer file's end is missing. Raises OSError."""
    with path.open("rb") as file:
        position = file.seek(0, os.SEEK_END)
        stop = max(0, position - most)
        later: list[bytes] = []  # of a line whose beginning was not met yet, the end first
        while position > stop:
            size = min(BLOCK, position - stop)
            position = file.seek(position - size)
            beginning, *others = file.read(size).split(b"\n")
            if others:
                later.append(others.pop())
                yield from filter(None, [b"".join(reversed(later)), *reversed(others)])
                later = []
            later.append(beginning)
        if stop == 0 and any(later):
            yield b"".join(reversed(later))
