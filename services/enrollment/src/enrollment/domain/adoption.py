"""What enrollment makes of what it has said itself, where its database has lost it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sluice_contracts.enrollment import ContactEnrolled, ContactRemoved, EnrollmentRefused, EntryClosed

from enrollment.domain.block import Block, campaign_scope, sequence_scope
from enrollment.domain.contact import Contact
from enrollment.domain.entry import PAUSED
from enrollment.domain.sequence import Sequence as Known
from enrollment.domain.sequence import Status


class AdoptedEntry(NamedTuple):
    """An entry as it was said; the fields stand in the order of the statement's parameters."""

    sequence_id: str
    contact_id: str
    enrollment_id: str
    version: int
    contact_offset: int
    enrolled_at: datetime
    left_at: datetime | None
    """When the same contact entered the same sequence again: by then this entry had ended."""


def entries_of(
    said: Sequence[ContactEnrolled], *, sequences: Mapping[str, Known], contacts: Mapping[str, Contact]
) -> list[AdoptedEntry]:
    """Entries into what is not deleted, of contacts that are not gone since, in their order."""
    again: dict[tuple[str, str], datetime] = {}
    entries: list[AdoptedEntry] = []
    for one in reversed(said):
        sequence, contact = sequences.get(one.sequence_id), contacts.get(one.contact_id)
        if sequence is not None and sequence.status is Status.DELETED:
            continue
        if contact is not None and contact.gone_offset is not None and one.contact_offset < contact.gone_offset:
            continue
        pair = (one.sequence_id, one.contact_id)
        left_at = again.get(pair)
        entries.append(
            AdoptedEntry(*pair, one.enrollment_id, one.version, one.contact_offset, one.occurred_at, left_at)
        )
        again[pair] = one.occurred_at
    return entries[::-1]


def blocks_of(removed: ContactRemoved, ended_in: Iterable[str], *, deleted: Iterable[str]) -> list[Block]:
    """What a removal blocks: as when it was decided."""
    if removed.allow_reentry:
        return []
    if removed.campaign is not None:
        return [Block(removed.contact_id, campaign_scope(removed.campaign))]
    named = {removed.sequence_id} if removed.sequence_id is not None else set(ended_in)
    return [Block(removed.contact_id, sequence_scope(one)) for one in sorted(named - set(deleted))]


@dataclass(slots=True)
class Closings:
    """The pauses that were said, in their order; who was refused in one is known by when it was."""

    by_sequence: dict[str, list[tuple[datetime, int]]] = field(default_factory=lambda: defaultdict(list))

    def note(self, closed: EntryClosed) -> None:
        """Entry was closed."""
        closings = self.by_sequence[closed.sequence_id]
        if not closings or closings[-1][1] < closed.epoch:
            closings.append((closed.closed_at, closed.epoch))

    def epoch_of(self, refused: EnrollmentRefused, known: Known | None) -> int | None:
        """The pause in which a contact was turned away, until it is heard again that this is over; None for others."""
        if refused.code != PAUSED.code:
            return None
        before = [epoch for at, epoch in self.by_sequence.get(refused.sequence_id, ()) if at <= refused.occurred_at]
        if before:
            return before[-1]
        return None if known is None else known.paused_epoch
