"""What `fuego new NAME` writes."""

import re
from pathlib import Path
from string import Template

from . import __version__

# Where this runs from its own source, the project is deployed with that, not from an index.
CHECKOUT = Path(__file__).resolve().parents[2]

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")

MAIN = """\
from fuego import Fuego, Request

app = Fuego()
wsgi_app = app.wsgi
asgi_app = app.asgi

app.health("/healthz")


@app.get("/")
def home(request: Request):
    return "<h1>$name</h1>"


@app.get("/items/{id:int}")
def item(request: Request, id: int):
    return {"id": id}


if __name__ == "__main__":
    app.run(port=8000, reload=True)
"""

TEST = """\
import pytest
from fuego.testing import TestClient

from main import app


@pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
def test_item(protocol):
    client = TestClient(app, protocol)
    assert client.get("/items/7").json() == {"id": 7}
    assert client.get("/healthz").status == 200
"""

REQUIREMENTS = "fuego-web==$version\n"

INVENTORY = """\
# Copy the entry into the apps of your inventory, then: ansible-playbook site.yml
apps:
  $name:
    source: {$source}
    callable: main:wsgi_app
    server: gunicorn
    port: 8000
    domains: [$name.example.com]
    health: {path: /healthz}
    hosts: app_servers
"""

FILES = {
    "main.py": MAIN,
    "test_main.py": TEST,
    "requirements.txt": REQUIREMENTS,
    "apps.yml": INVENTORY,
}


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
    for file, text in FILES.items():
        filled = Template(text).substitute(name=name, source=source, version=__version__)
        (folder / file).write_text(filled)
    print(f"{folder}: main.py, test_main.py, requirements.txt, apps.yml")
    print(f"next: cd {name} && fuego run main:app")
    return folder
