"""What can be wrong with how somebody wants to end a canary."""

from fleet.reading import suggest

ENDS = ("promote", "abort")


def check_ending(state: str | None, app: str) -> list[str]:
    """The errors of the variables app and state; none where the run ends no canary (None)."""
    if state is None:
        return []
    errors = [] if app else ["app: is missing; name the app of the canary: -e app=hello"]
    if state not in ENDS:
        errors.append(
            f"state: '{state}' is neither promote nor abort{suggest(state, ENDS)}; say "
            "-e state=promote or -e state=abort"
        )
    return errors
