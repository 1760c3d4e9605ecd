"""Conditions end enrollments: when a contact changes, and when delivery saw one hold right before a send."""

from collections.abc import Collection, Sequence
from typing import Final

from campaign.conditions import Facts
from campaign.versions import effective_version
from messaging import Batch, Decision, Message, Tx
from sluice_contracts.contacts import ContactState
from sluice_contracts.enrollment import StopReason

from enrollment.domain.condition import Met, Weighed, weigh
from enrollment.domain.ending import End, Live, stop
from enrollment.domain.entry import NO_FACTS
from enrollment.store import clock, conditions, contacts, enrollments, opt_outs, sequences, versions

Changed = Sequence[tuple[Message[ContactState], Facts]]
"""Records that are newer than what was known, each with what conditions ask of it."""

BATCH_CONTACTS_MAX: Final = 500


async def stop_changed(tx: Tx, changed: Changed) -> None:
    """End what these newer records end: all of who has opted out, else what is under a condition that holds now."""
    opted_out = {message.key for message, facts in changed if facts.opted_out}
    live = await enrollments.live_of_contacts(tx.conn, opted_out) if opted_out else {}
    met: dict[str, list[tuple[StopReason, Live]]] = {}
    for contact_id, found in live.items():
        met[contact_id] = [("opted_out", one) for one in found]
    others = {message.key: facts for message, facts in changed if not facts.opted_out}
    if others and await versions.any_conditional(tx.conn):
        for rules, one in await enrollments.conditional_of_contacts(tx.conn, others):
            reason = rules.stop_when.met(others[one.contact_id])
            if reason is not None:
                met.setdefault(one.contact_id, []).append((reason, one))
    if met:
        tx.now = await clock.now(tx.conn)  # the rows were locked by `hear`: what it waited for may have entered since
        decided = Batch([one for one, _ in changed if one.key in met]).decide(
            lambda one: _ended([stop([enrollment], reason=reason, now=tx.now) for reason, enrollment in met[one.key]])
        )
        await enrollments.end(tx.conn, [end for ends in decided.states() for end in ends])
        tx.emit(decided)


async def decide_met(tx: Tx, contact_ids: Collection[str]) -> None:
    """Decide on what delivery saw of these contacts, whose rows are locked, as far as it can be decided now."""
    reports = await conditions.of_contacts(tx.conn, contact_ids)
    if not reports:
        return
    live = await enrollments.live(tx.conn, [(one.sequence_id, one.contact_id, one.enrollment_id) for one in reports])
    ended = [one.enrollment_id for one in reports if one.enrollment_id not in live]
    weighed = await _weigh(tx, [one for one in reports if one.enrollment_id in live], live)
    await conditions.delete(tx.conn, [*ended, *(one.enrollment_id for one, found in weighed if found != Weighed.WAIT)])
    ends: list[End] = []
    for met, found in weighed:
        if not isinstance(found, Weighed):
            decision = stop([live[met.enrollment_id]], reason=found, now=tx.now)
            ends += decision.state or ()
            for message in decision.messages:
                tx.say(message, met.cause)
    await enrollments.end(tx.conn, ends)


async def decide_some(tx: Tx) -> bool:
    """Decide on what can be decided by now; whether there was any."""
    contact_ids = set(await conditions.ripe(tx.conn, limit=BATCH_CONTACTS_MAX))
    if not contact_ids:
        return False
    await contacts.lock(tx.conn, contact_ids)
    tx.now = await clock.now(tx.conn)
    await decide_met(tx, contact_ids)
    return True


async def _weigh(tx: Tx, reports: Sequence[Met], live: dict[str, Live]) -> list[tuple[Met, StopReason | Weighed]]:
    if not reports:
        return []
    contact_ids = {one.contact_id for one in reports}
    known = await sequences.load(tx.conn, list({one.sequence_id for one in reports}))
    people = await contacts.load(tx.conn, contact_ids)
    facts = await contacts.facts(tx.conn, contact_ids)
    of_channel = await opt_outs.of_contacts(tx.conn, contact_ids)
    under = {
        one.enrollment_id: (
            one.sequence_id,
            effective_version(live[one.enrollment_id].version, known[one.sequence_id].follow_version),
        )
        for one in reports
        if one.sequence_id in known
    }
    rules = await versions.load(tx.conn, set(under.values()))
    return [
        (
            one,
            weigh(
                one,
                people[one.contact_id],
                known.get(one.sequence_id),
                rules.get(under.get(one.enrollment_id, ("", 0))),
                facts.get(one.contact_id, NO_FACTS),
                channels=one.contact_id in of_channel,
            ),
        )
        for one in reports
    ]


def _ended(decisions: Sequence[Decision[tuple[End, ...]]]) -> Decision[tuple[End, ...]]:
    """Several ends of one contact as one decision."""
    ends = tuple(end for one in decisions for end in one.state or ())
    return Decision(ends, tuple(message for one in decisions for message in one.messages))
