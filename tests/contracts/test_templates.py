"""Templates are short, say who manages the file, and roles know nothing of groups."""

import re
from pathlib import Path

import pytest
from tree import ROOT, files

TEMPLATES = files("roles/*/templates/**/*")
HEADER = re.compile(r"Managed by fuego-deploy|\{\{ \w*_managed\w* ")
# `groups` as Ansible's variable, not as a parameter of a module such as user.
GROUPS = re.compile(r"(?<![\w.'\"-])groups\s*[\[|.]|\bin\s+groups\b|\{\{-?\s*groups\b")


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [p for p in TEMPLATES if not p.name.startswith("_")], ids=place)
def test_header_says_who_manages_the_file(path: Path) -> None:
    """Parts that other templates include begin with _ and need none."""
    top = path.read_text(encoding="utf-8").splitlines()[:3]
    assert HEADER.search("\n".join(top))


@pytest.mark.parametrize("path", TEMPLATES, ids=place)
def test_template_fits_on_a_screen(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.parametrize("path", TEMPLATES, ids=place)
def test_template_has_no_whitespace_noise(path: Path) -> None:
    assert "-%}" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", files("roles/*/[tdhvm]*/**/*"), ids=place)
def test_role_knows_nothing_of_groups(path: Path) -> None:
    found = [line for line in path.read_text("utf-8").splitlines() if GROUPS.search(line)]
    assert found == []
