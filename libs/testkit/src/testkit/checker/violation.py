"""A promise that was broken."""

from dataclasses import dataclass
from datetime import datetime

from sluice_contracts.base import format_timestamp


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """`sentence` names the cause: ids, times, topics."""

    at: datetime
    invariant: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant} at {format_timestamp(self.at)}: {self.sentence}"


def text(moment: datetime) -> str:
    """A time as sentences name it."""
    return format_timestamp(moment)[11:]
