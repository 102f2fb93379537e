"""Secrets: whole from the controller to the host, and in nothing that is told."""

import json

import pytest
from ansible.errors import AnsibleFilterError
from credentials import pack_secrets
from fuego_deploy import activation, credentials
from fuego_deploy.activation import Wanted
from fuego_deploy.layout import App, DeployError
from hypothesis import given
from hypothesis import strategies as st

NAMES = st.from_regex(credentials.NAME.pattern.removesuffix(r"\Z"), fullmatch=True)
TEXT = st.text(st.characters(codec="utf-8"))


def lay(app: App, **secrets: bytes) -> None:
    activation.lay(app, Wanted("0123456789ab", {}, {}, secrets=secrets))


@given(st.dictionaries(NAMES, st.binary() | TEXT))
def test_every_value_arrives(secrets: dict[str, bytes | str]) -> None:
    wanted = {n: v.encode() if isinstance(v, str) else v for n, v in secrets.items()}
    assert credentials.unpack(App("shop"), pack_secrets(secrets)) == wanted


def test_nothing_is_packed_as_nothing() -> None:
    """Ansible masks the whole text in all results, and `{}` would be in many."""
    assert pack_secrets({}) == ""


@pytest.mark.parametrize("value", [5, None, ["hush"], {"a": "hush"}, "hush\ud800"])
def test_what_is_no_text_is_refused_by_name(value: object) -> None:
    with pytest.raises(AnsibleFilterError, match="secret API_KEY") as refusal:
        pack_secrets({"API_KEY": value})
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize("name", ["", "../env", "A.env", "A-B", "1A", "A\n", "A" * 201])
def test_a_name_that_could_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(DeployError, match=r"(?s)app_secrets\.shop\..*not a name"):
        credentials.unpack(App("shop"), credentials.pack({name: b""}))


def test_in_the_environment_as_well() -> None:
    secrets = {"A": b'a"$b', "B": b"\xff"}
    assert credentials.files(App("shop"), secrets, ["A"]) == {
        "secrets/A": b'a"$b', "secrets/A.env": b'A="a\\"\\$b"\n', "secrets/B": b"\xff",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"hush\xff", "app_secrets.shop.A: is no UTF-8 text"),
        (b"hush\0", "app_secrets.shop.A: contains U+0000"),
        (b"hush" * 40_000, "app_secrets.shop.A: longer than the 131071 bytes"),
    ],
)
def test_what_no_environment_can_carry_is_refused(value: bytes, said: str) -> None:
    with pytest.raises(DeployError) as refusal:
        credentials.files(App("shop"), {"A": value}, ["A"])
    assert str(refusal.value).startswith(said)
    assert "hush" not in str(refusal.value)


def test_one_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeployError, match=r"apps\.shop\.secrets_env: app_secrets\.shop has no 'A'"):
        credentials.files(App("shop"), {}, ["A"])


def test_a_diff_says_which_ones() -> None:
    before = {"GONE": b"hush", "SAME": b"hush", "OTHER": b"hush"}
    after = {"SAME": b"hush", "OTHER": b"hush!", "NEW": b"hush"}
    assert credentials.difference(before, after) == (
        "GONE: the former value\nOTHER: the former value\nSAME: unchanged\n",
        "NEW: a new value\nOTHER: a new value\nSAME: unchanged\n",
    )


KEY = b"-----BEGIN KEY-----\nMIIEvQIBADAN'\"\\\n-----END KEY-----\n"


@pytest.mark.parametrize(
    "said",
    [
        "hush/ü'\"",
        repr("hush/ü'\""),
        repr("hush/ü'\"".encode()),
        json.dumps({"token": "hush/ü'\""}),
        "postgres://shop:hush%2F%C3%BC%27%22@db",
        KEY.decode(),
        repr(KEY),
        repr(KEY.decode()),
        "it was former/value before",
    ],
)
def test_what_the_app_says_is_told_without_them(app: App, said: str) -> None:
    """Also without those of another activation, whose process may have had the last word."""
    lay(app, TOKEN=b"former/value")
    lay(app, TOKEN="hush/ü'\"\n".encode(), KEY=KEY)
    told = credentials.hide(app, f"before {said} after")
    assert told.startswith("before ")
    assert told.endswith(" after")
    assert credentials.HIDDEN in told
    assert not any(word in told for word in ("hush", "former", "MII", "BEGIN"))


def test_a_short_one_is_no_part_of_a_word(app: App) -> None:
    lay(app, PIN=b"12", EMPTY=b"", BLANK=b" \n\n")
    assert credentials.hide(app, "line 12 of 312 :12:\n") == "line *** of 312 :***:\n"
