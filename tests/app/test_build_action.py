"""Which host builds for the others."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "plugins" / "action")]

from app_build import first_of  # noqa: E402


def said(platform: str, release: str = "r", unbuilt: bool = True) -> dict[str, object]:
    return {"name": "shop", "release": release, "platform": platform, "unbuilt": unbuilt}


def test_the_first_of_a_platform_builds() -> None:
    """Not one that has the release, nor one that was asked for another before, nor one that fell
    out of the play before it was asked."""
    of = {"a": said("x", unbuilt=False), "b": said("x", release="former"), "c": said("y"),
          "d": {}, "e": said("x"), "f": said("x")}  # fmt: skip
    assert first_of(of["f"], of) == "e"
    assert first_of(of["c"], of) == "c"
