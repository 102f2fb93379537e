"""What an app's environment file says is what systemd gives to the process."""

import pytest
from fuego_deploy import environment
from fuego_deploy.layout import DeployError
from hypothesis import given
from hypothesis import strategies as st

NEED_ESCAPE = '"\\`$'


def read_like_systemd(text: str) -> dict[str, str]:
    """What systemd's parser (env-file.c) makes of a file whose values are all double quoted."""
    result = {}
    rest = text
    while rest:
        if rest.startswith("#"):
            rest = rest.partition("\n")[2]
            continue
        name, _, rest = rest.partition('="')
        value = ""
        while not rest.startswith('"'):
            if rest.startswith("\\"):
                after = rest[1]
                value += after if after in NEED_ESCAPE else "" if after == "\n" else "\\" + after
                rest = rest[2:]
            else:
                value += rest[0]
                rest = rest[1:]
        assert rest.startswith('"\n')
        rest = rest[2:]
        result[name] = value
    return result


AWKWARD = [
    "", " ", "  both ends  ", "\ttab\t", "a'b", 'a"b', "a\\b", "a\\", "\\\\", "\\n", "a\nb",
    "a\\\nb", "\n", "\r", "\x1b[31m", "\x7f",
    "$HOME", "${HOME}", "$$", "%n %% %i", "#not a comment", "; not one either", "`id`", "a=b", "=",
    "ünïcödé ☃ 😀", "'\"\\$`", "line one\nLINE_TWO=injected\n", "\u00a0", "\u0085",
]  # fmt: skip


@pytest.mark.parametrize("value", AWKWARD)
def test_awkward_values_survive(value: str) -> None:
    file = environment.render("hello", {"BEFORE": "x", "VALUE": value, "AFTER": "y"})
    assert read_like_systemd(file) == {"BEFORE": "x", "VALUE": value, "AFTER": "y"}


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\"\\`$'\n\t#;= ")))
def test_every_value_survives(value: str) -> None:
    if environment.UNFIT.search(value):
        return
    assert read_like_systemd(environment.render("hello", {"VALUE": value})) == {"VALUE": value}


@pytest.mark.parametrize("value", ["a\0b", "\ud800", "\ufdd0", "\uffff", "\U0010fffe"])
def test_what_systemd_would_drop_is_refused(value: str) -> None:
    with pytest.raises(DeployError, match=r"apps\.hello\.env\.VALUE: contains U\+"):
        environment.render("hello", {"VALUE": value})


def test_what_the_kernel_would_refuse_is_refused() -> None:
    longest = "x" * (environment.LONGEST - len("VALUE="))
    environment.render("hello", {"VALUE": longest})
    with pytest.raises(DeployError, match="longer than"):
        environment.render("hello", {"VALUE": longest + "x"})


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "A\n", "Ä"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(DeployError, match="not a name"):
        environment.render("hello", {name: "x"})
