"""What can be wrong with the maintenance that somebody asks for."""

from fuego_deploy.maintenance import LONGEST

from fleet.catalogue import Plain
from fleet.reading import suggest


def check_maintenance(given: Plain | None) -> list[str]:
    """The errors of the variables state, message and retry_after; none where nothing is given."""
    if given is None:
        return []
    errors = []
    state = {True: "on", False: "off"}.get(given["state"], given["state"])
    if state not in ("on", "off"):
        errors.append(
            f"state: '{state}' is neither on nor off{suggest(state, ('on', 'off'))}; say "
            "-e state=on or -e state=off"
        )
    if len(str(given["message"])) > LONGEST:
        errors.append(
            f"message: has {len(str(given['message']))} characters, and the page has room for "
            f"{LONGEST}; make it shorter"
        )
    seconds = str(given["retry_after"])
    if not (seconds.isascii() and seconds.isdigit() and 1 <= int(seconds) <= 86400 * 7):
        errors.append(
            f"retry_after: '{seconds}' is not a number of seconds; use 1 to 604800, which is a week"
        )
    return errors
