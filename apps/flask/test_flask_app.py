"""Flask in this process, and behind gunicorn under the traffic of a deployment."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from app_contract import Contract, InProcess
from app_server import asked_under_traffic

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def main() -> ModuleType:
    """By its path, since every app here has a module named main; Flask looks for its templates
    beside a module that is known."""
    spec = importlib.util.spec_from_file_location("flask_main", HERE / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class TestFlask(Contract):
    protocol = "wsgi"
    stylesheet = HERE / "static/style.css"

    @pytest.fixture
    def send(self, main: ModuleType) -> InProcess:
        return InProcess(main.app, self.protocol)

    def test_form_has_a_limit(self, main: ModuleType, send: InProcess) -> None:
        files = {"file": ("x", bytes(main.MAX_FORM))}
        assert send("POST", "/form", files=files).status_code == 413


@pytest.mark.parametrize(
    ("balancers", "client", "scheme"),
    [("127.0.0.1", "203.0.113.9", "https"), ("192.0.2.1", "127.0.0.1", "http")],
)
def test_gunicorn(balancers: str, client: str, scheme: str) -> None:
    """Only a balancer's word about the client counts, and of that the last one."""
    seen = asked_under_traffic(HERE, "gunicorn", "main:app", {}, balancers)
    assert (seen["client"], seen["scheme"]) == (client, scheme)
