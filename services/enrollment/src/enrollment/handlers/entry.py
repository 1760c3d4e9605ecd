"""Enrolls, by command and by import; what cannot be decided yet is parked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from messaging import Batch, Decision, Message, Refused, Tx, derive
from messaging.inbox import identity
from sluice_contracts.answers import Fault
from sluice_contracts.enrollment import EnrollContact, EnrollContacts

from enrollment.domain import answer
from enrollment.domain.entry import Ask, Missing, Verdict, admit_all
from enrollment.domain.parking import Request, Waiting
from enrollment.handlers import entering
from enrollment.handlers.entering import VIA
from enrollment.store import adoption, contacts, parked, sequences

IMPORT_CONTACTS_MAX: Final = 1_000

Judged = list[tuple[Request, list[Verdict]]]


def fits(data: EnrollContacts) -> bool:
    """Whether an import is small enough for one transaction."""
    return len(data.contact_ids) <= IMPORT_CONTACTS_MAX


def weight(data: EnrollContacts) -> int:
    """How much of a transaction's bound an import takes; one that is refused as too large takes little."""
    return len(data.contact_ids) if fits(data) else 1


def contacts_of(data: EnrollContact | EnrollContacts) -> list[str]:
    """Who is to enter, each once."""
    return [data.contact_id] if isinstance(data, EnrollContact) else list(dict.fromkeys(data.contact_ids))


def request(message: Message[EnrollContact] | Message[EnrollContacts]) -> Request:
    """Who asks for entry into what, each contact once."""
    cause, sequence_id = message.cause, message.data.sequence_id
    source, id_, key = cause.source, cause.id, message.key
    asks = tuple(
        Ask(sequence_id, contact_id, derive(source, id_, sequence_id, contact_id), key, position)
        for position, contact_id in enumerate(contacts_of(message.data))
    )
    return Request(identity(cause), message.topic, cause, asks)


async def lock_entry(messages: Sequence[Message[EnrollContact] | Message[EnrollContacts]], tx: Tx) -> None:
    """Lock the contacts, sorted, then share the sequences' entry, sorted."""
    fitting = [message.data for message in messages if isinstance(message.data, EnrollContact) or fits(message.data)]
    contact_ids = {contact_id for data in fitting for contact_id in contacts_of(data)}
    await contacts.lock_known_or_not(tx.conn, contact_ids)
    await sequences.share(tx.conn, list({message.data.sequence_id for message in messages}))


async def enroll_contact(commands: Batch[EnrollContact], tx: Tx) -> None:
    """Let contacts enter; each command is answered, at once or when what it waits for is there."""
    judged = await judge(tx, [request(command) for command in commands])
    verdicts = {asked.command: (asked.asks[0], verdict) for asked, (verdict,) in judged}

    def decide(command: Message[EnrollContact]) -> Decision[None]:
        ask, verdict = verdicts[identity(command.cause)]
        return answer.of_enroll(verdict, enrollment_id=ask.enrollment_id)

    say(tx, judged)
    tx.emit(commands.decide(decide))


async def enroll_contacts(commands: Batch[EnrollContacts], tx: Tx) -> None:
    """Let the contacts of imports enter; an import is answered when its last contact is decided."""
    requests = [request(command) for command in commands if fits(command.data)]
    judged = await judge(tx, await _not_done(tx, requests))
    tallies = {asked.command: answer.tally(verdicts) for asked, verdicts in judged}

    def decide(command: Message[EnrollContacts]) -> Decision[None]:
        counted = tallies.get(identity(command.cause))
        if counted is None:
            rule = f"at most {IMPORT_CONTACTS_MAX} contacts"
            raise Refused("limit", "the import is too large", [Fault(place="contact_ids", rule=rule)])
        return answer.of_import(counted)

    say(tx, judged)
    tx.emit(commands.decide(decide))


async def _not_done(tx: Tx, requests: Sequence[Request]) -> list[Request]:
    """An import that is done again, after a put-back, is about those alone whose entries were lost."""
    again = [ask for asked in requests if asked.command in tx.given for ask in asked.asks]
    if not again:
        return list(requests)
    here = await adoption.known(tx.conn, [(ask.sequence_id, ask.contact_id, ask.enrollment_id) for ask in again])
    return [replace(one, asks=tuple(ask for ask in one.asks if ask.enrollment_id not in here)) for one in requests]


async def judge(tx: Tx, requests: Sequence[Request]) -> Judged:
    """Decide on every contact of these commands, in their order, and keep what is decided."""
    asks = [ask for asked in requests for ask in asked.asks]
    known = await sequences.load(tx.conn, list({ask.sequence_id for ask in asks}))
    people = await contacts.load(tx.conn, {ask.contact_id for ask in asks})
    against = await entering.against(tx, asks, known, keys={ask.key for ask in asks})
    facts = await entering.facts_for(tx, asks, known)
    verdicts = iter(admit_all(asks, known, people, against, facts=facts))
    judged = [(asked, [next(verdicts) for _ in asked.asks]) for asked in requests]
    decided = [
        (ask, verdict, VIA[asked.topic])
        for asked, found in judged
        for ask, verdict in zip(asked.asks, found, strict=True)
    ]
    await entering.keep(tx, decided, known)
    await park(tx, judged)
    return judged


async def park(tx: Tx, judged: Judged) -> None:
    """Keep who waits, and the commands whose answer waits with them."""
    waiting = [
        (asked.command, ask, verdict)
        for asked, verdicts in judged
        for ask, verdict in zip(asked.asks, verdicts, strict=True)
        if isinstance(verdict, Missing)
    ]
    if waiting:
        counted = [Waiting(asked.command, asked.topic, asked.cause, answer.tally(found)) for asked, found in judged]
        await parked.add_commands(tx.conn, [one for one in counted if one.tally.waiting])
        await parked.add(tx.conn, waiting, now=tx.now)


def say(tx: Tx, judged: Judged) -> None:
    """Tell everyone about every contact that is decided, once."""
    for asked, verdicts in judged:
        via = VIA[asked.topic]
        for ask, verdict in zip(asked.asks, verdicts, strict=True):
            entering.say(tx, ask, verdict, asked.cause, via=via, number=ask.position)
