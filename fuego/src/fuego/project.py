"""What `fuego new NAME` writes."""

import re
from pathlib import Path
from string import Template

from . import __version__

# Where this runs from its own source, the project is deployed with that, not from an index.
CHECKOUT = Path(__file__).resolve().parents[2]

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")

# Its files, each with `.template` behind its name.
TEMPLATES = Path(__file__).with_name("new_project")


def create(name: str, parent: Path) -> Path:
    """Raises ValueError where the name will not do or is taken."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} will not do: a-z first, then a-z, 0-9 and dashes, 31 at most")
    folder = parent / name
    if folder.exists():
        raise ValueError(f"{folder} is there already")
    folder.mkdir()
    source = f"path: {folder}"
    if (CHECKOUT / "pyproject.toml").is_file():
        source += f", packages: [{CHECKOUT}]"
    for template in TEMPLATES.glob("*.template"):
        text = Template(template.read_text())
        filled = text.substitute(name=name, source=source, version=__version__)
        (folder / template.stem).write_text(filled)
    print(f"{folder}: main.py, test_main.py, requirements.txt, apps.yml")
    print(f"next: cd {name} && fuego run main:app")
    return folder
