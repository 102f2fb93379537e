"""Django over WSGI and ASGI: in this process, and behind servers under a deployment's traffic."""

import asyncio
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import django
import httpx
import pytest
from app_contract import HTML, Contract, InProcess, LiveContract
from app_server import asked_under_traffic

HERE = Path(__file__).parent
PRODUCTION = {"SECRET_KEY": "x" * 50, "ALLOWED_HOSTS": "localhost,127.0.0.1"}

# WhiteNoise reads its files with plain iterators, which Django gathers in a thread over ASGI.
gathers = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As production has it, with its database migrated and its static files collected."""
    folder = tmp_path_factory.mktemp("django")
    found = PRODUCTION | {
        "DATABASE_PATH": str(folder / "db.sqlite3"),
        "STATIC_ROOT": str(folder / "static"),
    }
    for command in (["migrate"], ["collectstatic", "--noinput"]):
        manage(*command, **found)
    return found


@pytest.fixture(scope="module")
def project(environment: dict[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("DJANGO_SETTINGS_MODULE", "guestbook.settings")
        django.setup()
        live = importlib.import_module("guestbook.live")
        vars(live).update(TICK=0.0, WORK=0.0)
        yield


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if name != "DEBUG"}
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        cwd=HERE, env=known | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip


class Forms(Contract):
    """Django's forms want a token, which programs fetch as well."""

    stylesheet = HERE / "guestbook/static/style.css"

    def allowed(self, send: InProcess) -> dict[str, str]:
        token = send("GET", "/form").cookies["csrftoken"]
        return {"X-CSRFToken": token, "Cookie": f"csrftoken={token}"}

    def test_form_wants_its_token(self, send: InProcess) -> None:
        assert send("POST", "/form", data={"text": "x"}).status_code == 403
        cookie = self.allowed(send)["Cookie"]
        page = send("GET", "/", headers={"Cookie": cookie}).text
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[0]
        sent = {"text": "with the page's token", "csrfmiddlewaretoken": token}
        answer = send("POST", "/form", data=sent, headers={"Cookie": cookie})
        assert answer.json()["text"] == "with the page's token"

    def test_form_is_taken_over_https(self, send: InProcess) -> None:
        """The origin that a browser names is the site's where the balancer tells the scheme."""
        headers = self.allowed(send) | {"Origin": "https://localhost", "X-Forwarded-Proto": "https"}
        assert send("POST", "/form", data={"text": "x"}, headers=headers).status_code == 200
        del headers["X-Forwarded-Proto"]
        assert send("POST", "/form", data={"text": "x"}, headers=headers).status_code == 403

    def test_scheme_is_the_balancers(self, send: InProcess) -> None:
        told = {"X-Forwarded-Proto": "https"}
        assert send("GET", "/whoami", headers=told).json()["scheme"] == "https"

    def test_entries_stay(self, send: InProcess) -> None:
        text = f"<entry> over {self.protocol}"
        send("POST", "/form", data={"text": text}, headers=self.allowed(send))
        assert send("GET", "/entries").json()["entries"][0]["text"] == text
        assert f"&lt;entry&gt; over {self.protocol}" in send("GET", "/", headers=HTML).text

    def test_other_names_are_refused(self, send: InProcess) -> None:
        assert send("GET", "/", headers={"Host": "evil.example"}).status_code == 400

    def test_stylesheet_may_be_kept(self, send: InProcess) -> None:
        path = re.findall(r'"(/static/[^"]+)"', send("GET", "/").text)[0]
        assert "immutable" in send("GET", path).headers["Cache-Control"]


class TestDjangoOverWSGI(Forms):
    protocol = "wsgi"

    @pytest.fixture
    def send(self, project: None) -> InProcess:
        return InProcess(importlib.import_module("guestbook.wsgi").application, self.protocol)

    @pytest.mark.parametrize("path", ["/events", "/later"])
    def test_what_wants_asgi_says_so(self, send: InProcess, path: str) -> None:
        assert send("GET", path).status_code == 501


@gathers
class TestDjangoOverASGI(Forms, LiveContract):
    protocol = "asgi"

    @pytest.fixture
    def send(self, project: None) -> InProcess:
        return InProcess(importlib.import_module("guestbook.asgi").application, self.protocol)

    def test_work_goes_on_after_the_answer(self, send: InProcess) -> None:
        async def ask() -> tuple[int, list[int]]:
            transport = httpx.ASGITransport(send.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as to:
                answer = await to.post("/later")
                await asyncio.sleep(0.1)
                later = await to.get("/later")
            return answer.status_code, [one.json()["done"] for one in (answer, later)]

        status, (before, after) = asyncio.run(ask())
        assert (status, after) == (202, before + 1)


def test_no_secret_is_no_start() -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        manage("check", SECRET_KEY="")
    assert "SECRET_KEY is not set" in refused.value.stderr
    manage("check", SECRET_KEY="", DEBUG="1")


def test_migrations_are_complete(environment: dict[str, str]) -> None:
    manage("makemigrations", "--check", **environment)


@pytest.mark.parametrize(
    ("balancers", "client"), [("127.0.0.1", "203.0.113.9"), ("192.0.2.1", "127.0.0.1")]
)
@pytest.mark.parametrize(("server", "protocol"), [("gunicorn", "wsgi"), ("uvicorn", "asgi")])
def test_servers(
    environment: dict[str, str], server: str, protocol: str, balancers: str, client: str
) -> None:
    """Only a balancer's word about the client counts, and of that the last one."""
    target = f"guestbook.{protocol}:application"
    seen = asked_under_traffic(HERE, server, target, environment, balancers)
    assert (seen["protocol"], seen["client"]) == (protocol, client)
