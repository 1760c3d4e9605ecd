"""What enrollment has said, and its database has lost: taken over from its own topics."""

from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from chassis.pool import Conn
from messaging import Message, Tx, derive, inbox
from sluice_contracts.enrollment import (
    ContactEnrolled,
    ContactRemoved,
    EnrollContact,
    EnrollContacts,
    EnrollmentCompleted,
    EnrollmentFailed,
    EnrollmentRefused,
    EnrollmentStopped,
    EntryClosed,
)

from enrollment.domain.adoption import Closings, blocks_of, entries_of
from enrollment.domain.ending import Ended
from enrollment.domain.entry import Entered, Missing, Refusal, Verdict
from enrollment.domain.parking import Parked
from enrollment.domain.sequence import Status
from enrollment.handlers.entry import contacts_of
from enrollment.handlers.parking import answer_decided
from enrollment.store import adoption, blocks, contacts, parked, sequences, turned_away
from enrollment.store.adoption import AdoptedEnd
from enrollment.store.turned_away import TurnedAway

ENDS: Final = (EnrollmentStopped, EnrollmentCompleted, EnrollmentFailed)
_ENDED: Final = {
    EnrollmentStopped.TYPE: Ended.STOPPED,
    EnrollmentCompleted.TYPE: Ended.COMPLETED,
    EnrollmentFailed.TYPE: Ended.FAILED,
}


class Adopter:
    """Closings first, then who entered or was refused, then what ended: so each finds what it is about."""

    def __init__(self) -> None:
        self._closings = Closings()

    async def closings(self, said: Sequence[Message[EntryClosed]], tx: Tx) -> None:
        """Nobody enters after `closed_at`, also before the pause itself is heard again."""
        for one in said:
            self._closings.note(one.data)
        closed = {one.key: one.data.epoch for one in said}
        await sequences.exclude(tx.conn, list(closed))
        await adoption.close(tx.conn, list(closed.items()))

    async def entries(self, said: Sequence[Message[Any]], tx: Tx) -> None:
        """Take over entries, refusals, and the ends that are told with them."""
        people = {one.key for one in said}
        await contacts.lock_known_or_not(tx.conn, people)
        await self._enter([one.data for one in said if isinstance(one.data, ContactEnrolled)], tx)
        await self._turn_away([one.data for one in said if isinstance(one.data, EnrollmentRefused)], tx)
        await ends(said, tx)
        await _settle_parked(said, tx)

    async def _enter(self, said: Sequence[ContactEnrolled], tx: Tx) -> None:
        here = await adoption.known(tx.conn, [(one.sequence_id, one.contact_id, one.enrollment_id) for one in said])
        new = [one for one in said if one.enrollment_id not in here]
        if new:
            known = await sequences.load(tx.conn, list({one.sequence_id for one in new}))
            people = await contacts.load(tx.conn, {one.contact_id for one in new})
            entries = entries_of(new, sequences=known, contacts=people)
            if entries:
                await adoption.enter(tx.conn, entries)

    async def _turn_away(self, refused: Sequence[EnrollmentRefused], tx: Tx) -> None:
        known = await sequences.load(tx.conn, list({one.sequence_id for one in refused}))
        turned = [
            TurnedAway(one.sequence_id, one.contact_id, epoch, one.via)
            for one in refused
            if (epoch := self._closings.epoch_of(one, known.get(one.sequence_id))) is not None
        ]
        await turned_away.add(tx.conn, turned)


async def ends(said: Sequence[Message[Any]], tx: Tx) -> None:
    """Take over ends by conditions, by the last step, by failures."""
    ended = [one for one in said if isinstance(one.data, ENDS)]
    await adoption.end(
        tx.conn,
        [
            AdoptedEnd(
                one.data.sequence_id,
                one.data.contact_id,
                one.data.enrollment_id,
                _ENDED[one.data.TYPE],
                one.data.reason if isinstance(one.data, EnrollmentStopped) else None,
                one.data.occurred_at,
            )
            for one in ended
        ],
    )


async def leaving(said: Sequence[Message[Any]], tx: Tx) -> None:
    """Take over removals, with their blocks, and what conditions ended."""
    await contacts.lock_known_or_not(tx.conn, {one.key for one in said})
    for one in said:
        if isinstance(one.data, ContactRemoved):
            await _remove(one.data, tx)
        else:
            await ends([one], tx)


async def _remove(removed: ContactRemoved, tx: Tx) -> None:
    ended_in = await adoption.remove(
        tx.conn,
        removed.contact_id,
        removed.enrollment_ids,
        at=removed.occurred_at,
        allow_reentry=removed.allow_reentry,
    )
    named = {*ended_in, *([removed.sequence_id] if removed.sequence_id is not None else ())}
    known = await sequences.load(tx.conn, list(named))
    deleted = [sequence_id for sequence_id, one in known.items() if one.status is Status.DELETED]
    await blocks.add(tx.conn, blocks_of(removed, ended_in, deleted=deleted), now=removed.occurred_at)
    await inbox.remember(tx.conn, [removed.removal_id])  # its command is not done again: see `removals_undone`


async def finish(tx: Tx) -> None:
    """Forget what waits for commands whose answers were adopted."""
    await adoption.forget_answered(tx.conn)


async def _settle_parked(said: Sequence[Message[Any]], tx: Tx) -> None:
    """What waited here was decided: known by the id that its event has."""
    rows = await parked.of_contacts(tx.conn, {one.key for one in said})
    if not rows:
        return
    waiting = await parked.lock_commands(tx.conn, list({row.command for row in rows}))
    causes = {one.command: one.cause for one in waiting}
    told = {one.cause.id: one.data for one in said}
    decided: list[tuple[Parked, Verdict]] = []
    for row in rows:
        cause, number = causes[row.command], str(row.ask.position)
        enrolled = told.get(derive(tx.source, cause.source, cause.id, ContactEnrolled.TYPE, number))
        refused = told.get(derive(tx.source, cause.source, cause.id, EnrollmentRefused.TYPE, number))
        if isinstance(enrolled, ContactEnrolled):
            decided.append((row, Entered(enrolled.version, enrolled.contact_offset)))
        elif isinstance(refused, EnrollmentRefused):
            decided.append((row, Refusal(refused.code)))
    named = {row.command for row, _ in decided}
    await parked.delete(tx.conn, [row for row, _ in decided])
    await answer_decided(tx, [one for one in waiting if one.command in named], decided)
    await parked.wake(tx.conn, list({row.ask.contact_id for row, _ in decided}), waits_for=Missing.BEHIND)


Asked = Mapping[str, tuple[Message[Any], Mapping[str, Any]]]


async def enrolls_undone(conn: Conn, asked: Asked) -> Set[str]:
    """Enrolls and imports that were answered, and of whose entries some were not told before they were lost."""
    keys = {identity: _entries(message) for identity, (message, _) in asked.items()}
    here = await adoption.known(conn, [key for found in keys.values() for key in found])
    known = await sequences.load(conn, list({message.data.sequence_id for message, _ in asked.values()}))
    return {
        identity
        for identity, (message, result) in asked.items()
        if not ((one := known.get(message.data.sequence_id)) is not None and one.status is Status.DELETED)
        and sum(key[2] in here for key in keys[identity]) < int(result.get("enrolled", 1))
    }


def _entries(message: Message[EnrollContact] | Message[EnrollContacts]) -> list[tuple[str, str, str]]:
    cause, sequence_id = message.cause, message.data.sequence_id
    return [
        (sequence_id, contact_id, derive(cause.source, cause.id, sequence_id, contact_id))
        for contact_id in contacts_of(message.data)
    ]


async def removals_undone(conn: Conn, asked: Asked) -> Set[str]:
    """Removals that were answered, and not told before they were lost."""
    removal_ids = {identity: str(result.get("removal_id")) for identity, (_, result) in asked.items()}
    told = await inbox.seen(conn, list(removal_ids.values()))
    return {identity for identity, removal_id in removal_ids.items() if removal_id not in told}
