"""FastAPI in this process, and behind uvicorn under the traffic of a deployment."""

import importlib.util
from pathlib import Path
from types import ModuleType

import live
import pytest
from app_contract import InProcess, LiveContract
from app_server import asked_under_traffic

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def main() -> ModuleType:
    """By its path: every app here has a module named main."""
    spec = importlib.util.spec_from_file_location("fastapi_main", HERE / "main.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(live).update(TICK=0.0, WORK=0.0)
    return module


class TestFastAPI(LiveContract):
    protocol = "asgi"
    stylesheet = HERE / "static/style.css"

    @pytest.fixture
    def send(self, main: ModuleType) -> InProcess:
        return InProcess(main.app, self.protocol)

    def test_work_goes_on_after_the_answer(self, send: InProcess) -> None:
        before = send("GET", "/later").json()["done"]
        answer = send("POST", "/later")
        assert (answer.status_code, answer.json()["done"]) == (202, before)
        assert send("GET", "/later").json()["done"] == before + 1


@pytest.mark.parametrize(
    ("balancers", "client", "scheme"),
    [("127.0.0.1", "203.0.113.9", "https"), ("192.0.2.1", "127.0.0.1", "http")],
)
def test_uvicorn(balancers: str, client: str, scheme: str) -> None:
    """Only a balancer's word about the client counts, and of that the last one."""
    seen = asked_under_traffic(HERE, "uvicorn", "main:app", {}, balancers)
    assert (seen["client"], seen["scheme"]) == (client, scheme)
