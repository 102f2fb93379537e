"""What can be wrong with how somebody wants to end a canary."""

from fleet.reading import suggest

ENDS = ("promote", "abort")


def check_ending(state: str | None) -> list[str]:
    """An error of the variable state; none where the run ends no canary (None)."""
    if state is None or state in ENDS:
        return []
    return [
        f"state: '{state}' is neither promote nor abort{suggest(state, ENDS)}; say "
        "-e state=promote or -e state=abort"
    ]
