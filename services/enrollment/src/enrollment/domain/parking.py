"""Enrolls that wait, and the commands that wait with them for their answer."""

from dataclasses import dataclass

from messaging import Cause

from enrollment.domain.answer import Tally
from enrollment.domain.entry import Ask


@dataclass(frozen=True, slots=True)
class Request:
    """A command that asks for entry, for one contact or for many."""

    command: str
    """A hash of its source and id."""
    topic: str
    cause: Cause
    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Parked:
    """One contact of a command that waits."""

    place: int
    command: str
    waits_for: str | None
    ask: Ask


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command whose answer waits, and what became of its contacts so far."""

    command: str
    topic: str
    cause: Cause
    tally: Tally
