"""The status as a person reads it in a terminal."""

from fleet.status import Row, Status

COLUMNS = (
    "app", "host", "server", "release", "pool", "health", "since", "requests", "5xx", "slowest",
    "restarts",
)  # fmt: skip
RIGHT = {"requests", "5xx", "slowest", "restarts"}
NONE = "-"


def text(status: Status) -> str:
    """The table, and what it has no room for below it. No line ends with a space."""
    lines = [
        f"The fleet at {status.when}; requests are those of the last {span(status.seconds)}, from "
        "the balancers' logs",
        *(f"  {line}" for line in status.summary),
        "",
        *table([COLUMNS, *(cells(row) for row in status.rows)]),
        *(["  * kept by a rollback"] if status.holds else []),
    ]
    balancers = [
        f"{one.name}: {one.state.text}{f' since {one.since}' if one.since else ''}"
        for one in status.balancers
    ]
    changes = [
        f"{one.when}  {one.app}: {one.what}, by {one.who or 'somebody'}" for one in status.changes
    ]
    for title, found in (
        ("To look at", status.notes),
        ("Out of the pools", status.out),
        ("Kept by a rollback", status.holds),
        ("Locks", status.locks),
        ("Load balancers", balancers),
        ("Last changes", changes or ["none in the logs"]),
    ):
        if found:
            lines += ["", title, *(f"  {line}" for line in found)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def cells(row: Row) -> tuple[str, ...]:
    """What the table says of one app on one host, by COLUMNS."""
    requests = row.requests
    return tuple(
        cell or NONE
        for cell in (
            row.app,
            row.host,
            row.server,
            row.release + ("*" if row.held else ""),
            row.pool.text,
            row.health.text,
            row.since,
            str(requests.count) if requests else "",
            str(requests.errors) if requests else "",
            f"{requests.slowest:.3f} s" if requests and requests.count else "",
            str(row.restarts) if row.restarts is not None else "",
        )
    )


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their widest cell, numbers to the right."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(COLUMNS))]
    return [
        "  ".join(
            cell.rjust(width) if name in RIGHT else cell.ljust(width)
            for name, cell, width in zip(COLUMNS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def span(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{seconds:.0f} s"
