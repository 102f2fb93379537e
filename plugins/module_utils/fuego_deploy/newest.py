"""What several balancers know of the same things, made one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

Record = TypeVar("Record")


def newest(
    found: Iterable[Mapping[str, Record]], age: Callable[[Record], Any]
) -> dict[str, Record]:
    """Of each name the record with the greatest age; of equal ones the first that was found."""
    merged: dict[str, Record] = {}
    for records in found:
        for name, record in records.items():
            if name not in merged or age(record) > age(merged[name]):
                merged[name] = record
    return merged
