"""What becomes of enrolls that had to wait."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from messaging import Decision, Refused, Tx
from sluice_contracts import topics

from enrollment.domain import answer, sequence
from enrollment.domain.entry import NOBODY_GIVES_UP, REMOVED, Missing, Refusal, Verdict, admit_all
from enrollment.domain.parking import Parked, Waiting
from enrollment.handlers import entering
from enrollment.handlers.entering import VIA
from enrollment.store import clock, contacts, parked, sequences

ROWS_MAX: Final = 1_000
"""A contact may wait for any number of sequences: the contacts of a transaction are as many as have so many rows."""

Settled = Sequence[tuple[Parked, Verdict]]


async def reconsider(
    tx: Tx, contact_ids: Sequence[str], *, horizons: Mapping[Missing, datetime] = NOBODY_GIVES_UP
) -> Settled:
    """Decide what is parked of the first of these contacts as far as it can be decided now; what was found of each."""
    contact_ids = await parked.first_contacts(tx.conn, contact_ids, rows_max=ROWS_MAX)
    await contacts.lock(tx.conn, contact_ids)
    rows = await parked.of_contacts(tx.conn, contact_ids)
    named = list({row.ask.sequence_id for row in rows})
    await sequences.share(tx.conn, named)
    tx.now = await clock.now(tx.conn)
    known = await sequences.load(tx.conn, named)
    people = await contacts.load(tx.conn, contact_ids)
    asks = [row.ask for row in rows]
    against = await entering.against(tx, asks, known)
    facts = await entering.facts_for(tx, asks, known)
    verdicts = admit_all(asks, known, people, against, facts=facts, horizons=horizons)
    settled = list(zip(rows, verdicts, strict=True))
    await settle(tx, settled, known)
    return settled


async def refuse_removed(tx: Tx, rows: Sequence[Parked]) -> None:
    """Refuse parked enrolls because their contact was removed; those behind them are looked at again."""
    if rows:
        await settle(tx, [(row, REMOVED) for row in rows], {})
        await parked.wake(tx.conn, list({row.ask.contact_id for row in rows}), waits_for=Missing.BEHIND)


async def settle(tx: Tx, settled: Settled, known: Mapping[str, sequence.Sequence]) -> None:
    """Keep, announce and answer what is decided; note what the rest waits for now."""
    changed = [(row, found) for row, found in settled if isinstance(found, Missing) and found != row.waits_for]
    await parked.wait(tx.conn, changed)
    decided = [(row, found) for row, found in settled if not isinstance(found, Missing)]
    if not decided:
        return
    waiting = await parked.lock_commands(tx.conn, list({row.command for row, _ in decided}))
    via = {one.command: VIA[one.topic] for one in waiting}
    await entering.keep(tx, [(row.ask, found, via[row.command]) for row, found in decided], known)
    await parked.delete(tx.conn, [row for row, _ in decided])
    _say(tx, waiting, decided)
    await answer_decided(tx, waiting, decided)


def _say(tx: Tx, waiting: Sequence[Waiting], decided: Settled) -> None:
    commands = {one.command: one for one in waiting}
    for row, found in decided:
        command = commands[row.command]
        entering.say(tx, row.ask, found, command.cause, via=VIA[command.topic], number=row.ask.position)


async def answer_decided(tx: Tx, waiting: Sequence[Waiting], decided: Settled) -> None:
    """Count what is decided, and answer the commands of which nothing waits any more."""
    by_command: dict[str, list[tuple[Parked, Verdict]]] = {}
    for row, found in decided:
        by_command.setdefault(row.command, []).append((row, found))
    counted = [
        replace(one, tally=answer.add(one.tally, (found for _, found in by_command[one.command]))) for one in waiting
    ]
    open_still = [one for one in counted if one.tally.waiting]
    done = [one for one in counted if not one.tally.waiting]
    await parked.save_commands(tx.conn, open_still)
    await parked.delete_commands(tx.conn, [one.command for one in done])
    for one in done:
        await tx.answer(one.cause, _answer_of(one, by_command[one.command]), topic=one.topic)


def _answer_of(one: Waiting, decided: Settled) -> Decision[None] | Refused:
    if one.topic == topics.ENROLLMENT_IMPORTS:
        return answer.of_import(one.tally)
    row, found = decided[0]
    if isinstance(found, Refusal):
        return answer.refused(found.code)
    return answer.of_enroll(found, enrollment_id=row.ask.enrollment_id)
