"""What the end of enrollments does to their rows: one that waits is dropped, one that is claimed is halted."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from delivery.domain.books import DOUBTED, DROPPED, NOTHING, Books, by_sequence
from delivery.domain.message import UNKNOWN_LANE, Ended, message_id_of


@dataclass(frozen=True, slots=True)
class Held:
    """A row of the queue, locked."""

    enrollment_id: str
    sequence_id: str
    contact_id: str
    campaign: str | None
    token: int | None
    halted: bool
    in_doubt: bool = False
    """An earlier attempt of its step may have arrived."""
    step_id: str | None = None
    version: int | None = None
    lane: str | None = None
    attempt: int = 0
    due_at: datetime | None = None

    @property
    def is_unknown(self) -> bool:
        """Its message is in the books as `unknown` already, and told to be."""
        return self.lane == UNKNOWN_LANE

    @property
    def ends_as(self) -> Books:
        """What its going does to the books, where nobody holds it."""
        if self.is_unknown:
            return NOTHING
        return DOUBTED if self.in_doubt else DROPPED

    def ended(
        self, outcome: str, *, now: datetime, code: str | None = None, provider_message_id: str | None = None
    ) -> Ended | None:
        """Its message, ended now; None where none is planned."""
        if self.step_id is None or self.version is None or self.lane is None:
            return None
        return Ended(
            message_id=message_id_of(self.enrollment_id, self.step_id),
            enrollment_id=self.enrollment_id,
            sequence_id=self.sequence_id,
            contact_id=self.contact_id,
            step_id=self.step_id,
            version=self.version,
            channel=self.lane.partition(":")[0],
            outcome=outcome,
            code=code,
            attempt=self.attempt,
            due_at=self.due_at or now,
            ended_at=now,
            provider_message_id=provider_message_id,
        )


@dataclass(frozen=True, slots=True)
class Removal:
    """Who was removed from where; neither sequence nor campaign = everywhere."""

    removal_id: str
    contact_id: str
    enrollment_ids: Collection[str]
    sequence_id: str | None = None
    campaign: str | None = None

    def covers(self, row: Held) -> bool:
        """Whether it ended that enrollment, or waits for the claim of one that something else had ended before.

        An enrollment that lives and is not named is a later one: it is none of this removal's business.
        """
        if row.enrollment_id in self.enrollment_ids:
            return True
        return row.halted and row.contact_id == self.contact_id and self._in_scope(row)

    def _in_scope(self, row: Held) -> bool:
        if self.sequence_id is not None:
            return row.sequence_id == self.sequence_id
        return self.campaign is None or row.campaign == self.campaign


@dataclass(frozen=True, slots=True)
class Owed:
    """A removal's receipt, and the claims that it waits for."""

    removal_id: str
    contact_id: str
    enrollment_ids: Sequence[str]
    waits_for: Mapping[str, int]
    """By enrollment: the token of the claim that holds it."""
    dropped: int

    @property
    def in_flight(self) -> int:
        """How many of its messages were claimed when the removal came."""
        return len(self.waits_for)


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of the rows of enrollments that ended."""

    waiting: tuple[str, ...]
    """Rows that go."""
    halted: tuple[str, ...]
    unknown: tuple[Held, ...]
    """Of those that go, the ones whose message may have arrived: it is not dropped, it is unknown."""
    books: Mapping[str, Books]


def end(enrollment_ids: Collection[str], rows: Sequence[Held]) -> Ending:
    """Drop what waits and halt what is claimed, of these enrollments."""
    ended = [row for row in rows if row.enrollment_id in enrollment_ids]
    waiting = [row for row in ended if row.token is None]
    return Ending(
        waiting=tuple(row.enrollment_id for row in waiting),
        halted=tuple(row.enrollment_id for row in ended if row.token is not None),
        unknown=tuple(row for row in waiting if row.in_doubt and not row.is_unknown),
        books=by_sequence((row.sequence_id, row.ends_as) for row in waiting),
    )


def owe(removal: Removal, rows: Sequence[Held]) -> Owed:
    """The receipt of a removal, from the rows as they were when it came."""
    covered = [row for row in rows if removal.covers(row)]
    named = set(removal.enrollment_ids) | {row.enrollment_id for row in covered}
    return Owed(
        removal_id=removal.removal_id,
        contact_id=removal.contact_id,
        enrollment_ids=sorted(named),
        waits_for={row.enrollment_id: row.token for row in covered if row.token is not None},
        dropped=sum(row.token is None and not row.in_doubt and not row.is_unknown for row in covered),
    )
