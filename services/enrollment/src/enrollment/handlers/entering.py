"""Entries: decided with all that is known, kept, and told. Commands, imports, triggers and resumes all go this way."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from campaign.conditions import Facts
from messaging import Cause, Tx
from sluice_contracts import topics
from sluice_contracts.enrollment import Via

from enrollment.domain import sequence
from enrollment.domain.entry import NOTHING_ASKED, PAUSED, Against, Ask, Entered, Verdict, announce, scopes_of
from enrollment.store import contacts, enrollments, turned_away
from enrollment.store.turned_away import TurnedAway

VIA: Final[dict[str, Via]] = {
    topics.ENROLLMENT_COMMANDS: "command",
    topics.ENROLLMENT_IMPORTS: "import",
    topics.CONTACTS_EVENTS: "trigger",
}
"""How whoever asks on a topic enters."""


async def against(
    tx: Tx, asks: Sequence[Ask], known: Mapping[str, sequence.Sequence], *, keys: Iterable[str] = ()
) -> Against:
    """What speaks against these entries; `keys` whose earlier enrolls may wait."""
    named = {ask.sequence_id for ask in asks}
    scopes = {scope for sequence_id in named for scope in scopes_of(sequence_id, known.get(sequence_id))}
    return await enrollments.against(tx.conn, asks, scopes=scopes, keys=set(keys))


async def facts_for(tx: Tx, asks: Sequence[Ask], known: Mapping[str, sequence.Sequence]) -> Mapping[str, Facts]:
    """What conditions ask of the contacts that want to enter where there are any; read only then."""
    asking = {sequence_id for sequence_id, one in known.items() if one.rules.conditional}
    contact_ids = {ask.contact_id for ask in asks if ask.sequence_id in asking}
    return await contacts.facts(tx.conn, contact_ids) if contact_ids else NOTHING_ASKED


async def keep(tx: Tx, decided: Sequence[tuple[Ask, Verdict, Via]], known: Mapping[str, sequence.Sequence]) -> None:
    """Keep who entered, and who is turned away because the sequence is paused."""
    entered = [(ask, verdict) for ask, verdict, _ in decided if isinstance(verdict, Entered)]
    await enrollments.enter(tx.conn, entered, now=tx.now)
    refused = [
        TurnedAway(ask.sequence_id, ask.contact_id, known[ask.sequence_id].epoch, via)
        for ask, verdict, via in decided
        if verdict == PAUSED
    ]
    await turned_away.add(tx.conn, refused)


def say(tx: Tx, ask: Ask, verdict: Verdict, cause: Cause, *, via: Via, number: int) -> None:
    """Tell everyone about one contact, once it is decided; `number` is its own among what follows from the cause."""
    for event in announce(ask, verdict, via=via, now=tx.now):
        tx.say(event, cause, number=number)
