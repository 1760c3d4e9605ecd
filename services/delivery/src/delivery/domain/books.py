"""The closed books: planned = pending + claimed + sent + failed + dropped + expired + unknown, at any time."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Books:
    """The counters of one sequence, or a change of them."""

    planned: int = 0
    pending: int = 0
    claimed: int = 0
    sent: int = 0
    failed: int = 0
    dropped: int = 0
    expired: int = 0
    unknown: int = 0

    def __add__(self, other: Self) -> "Books":
        return Books(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: int) -> "Books":
        return Books(*(count * times for count in astuple(self)))

    @property
    def closed(self) -> bool:
        """Whether every planned message is in exactly one place."""
        planned, *places = astuple(self)
        return bool(planned == sum(places))

    def reported(self, *, stopped: bool) -> "Books":
        """As they are told: what waits in a stopped sequence counts as dropped."""
        return replace(self, pending=0, dropped=self.dropped + self.pending) if stopped else self


COUNTERS = tuple(field.name for field in fields(Books))

NOTHING = Books()
PLANNED = Books(planned=1, pending=1)
UNPLANNED = Books(planned=-1, pending=-1)
"""An edit took the last steps away: the message that was to come is none."""
DROPPED = Books(pending=-1, dropped=1)
DOUBTED = Books(pending=-1, unknown=1)
ARRIVED = Books(pending=-1, sent=1) + PLANNED
"""It was to be sent again, and has arrived; the next step is planned."""
EXPIRED = Books(pending=-1, expired=1)
RELEASED = Books(claimed=-1, pending=1)
UNKNOWN = Books(claimed=-1, unknown=1)
RESOLVED = {
    "sent": Books(unknown=-1, sent=1),
    "failed": Books(unknown=-1, failed=1),
    "retry": Books(unknown=-1, pending=1),
}
"""What an unknown message becomes, by how it was decided."""
RESUMED = Books(planned=1, dropped=1)
"""For each one pending at a resume: the pause had dropped it, and it is planned again."""


def by_sequence(changes: Iterable[tuple[str, Books]]) -> dict[str, Books]:
    """Add up changes, so that a transaction writes one row per sequence."""
    total: dict[str, Books] = defaultdict(Books)
    for sequence_id, change in changes:
        total[sequence_id] += change
    return dict(total)
