"""Providers' reports: what a message came to after it was sent, and what contacts say back."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from messaging import Cause, Tx
from sluice_contracts.contacts import ContactOptedOut, ContactReplied
from sluice_contracts.delivery import MessageReported

from delivery.domain.report import COMPLAINED, OptOut, Post, Reply, Report, Sender, moment
from delivery.domain.resolution import BY_REPORT, by_report
from delivery.handlers import arrivals, resolutions
from delivery.store import history, locks, reports, unknown
from delivery.store.history import Sent

CONTACTS_PER_NUMBER_MAX: Final = 100
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def on_post(post: Post, tx: Tx, *, provider: str) -> int:
    """Announce what one post says; how much of it is about messages and contacts that are known.

    The same said again is the same event again. A report of a message that has not ended yet is kept: it may be quicker
    than the booking of its send.
    """
    await locks.share_gates(tx.conn)
    said = [one for one in post.reports if _UUID.fullmatch(one.message_id)]
    known = await announce(tx, said, provider=provider)
    await reports.keep(tx.conn, [one for one in said if one.message_id not in known], provider=provider)
    senders = await _senders(tx, [*(one.sender for one in post.replies), *(one.sender for one in post.opt_outs)])
    replied = [(one, *who) for one in post.replies for who in senders[one.sender]]
    opted_out = [(one, contact_id) for one in post.opt_outs for contact_id, _ in senders[one.sender]]
    for reply, contact_id, quoted in replied:
        _say_replied(tx, reply, contact_id, quoted, provider=provider)
    for opt_out, contact_id in opted_out:
        say_opted_out(tx, opt_out, contact_id, provider=provider)
    return sum(one.message_id in known for one in said) + len(replied) + len(opted_out)


async def on_kept(tx: Tx, *, limit: int) -> int:
    """Look again at reports that were kept: those whose messages have ended meanwhile are announced; how many were.

    The caller shares the gates.
    """
    kept = await reports.take(tx.conn, limit=limit)
    done: list[Report] = []
    for provider in sorted({one.provider for one in kept}):
        said = [one.report for one in kept if one.provider == provider]
        known = await announce(tx, said, provider=provider)
        done += [one for one in said if one.message_id in known]
    await reports.drop(tx.conn, done)
    await reports.postpone(tx.conn, [one.report for one in kept if one.report not in done])
    return len(done)


async def announce(tx: Tx, said: Sequence[Report], *, provider: str) -> dict[str, Sent]:
    """Tell reports of messages that have ended, and decide with them what is unknown; those messages.

    One that was to be sent again and has arrived has ended: it is not. What becomes unknown while this looks is not
    locked here, and so not known yet: it is looked at again.
    """
    if not said:
        return {}
    named = [one.message_id for one in said]
    held = await unknown.hold(tx.conn, named)
    await arrivals.book(tx, [one for one in said if one.message_id not in held and BY_REPORT[one.kind] == "sent"])
    found = await history.of_messages(tx.conn, named)
    known = {name: one for name, one in found.items() if one.outcome != "unknown" or name in held}
    for report in said:
        if report.message_id in known:
            _say_reported(tx, report, known[report.message_id], provider=provider)
    first = {one.message_id: one for one in reversed(said)}
    decided = [by_report(doubt, first[message_id].kind) for message_id, doubt in held.items()]
    await resolutions.settle(tx, decided)
    resolutions.tell(tx, decided)
    return known


def say_opted_out(tx: Tx, opt_out: OptOut, contact_id: str, *, provider: str) -> None:
    """Tell that a contact wants nothing more."""
    event = ContactOptedOut(
        contact_id=contact_id,
        channel=opt_out.channel,
        reason=opt_out.reason,
        occurred_at=moment(opt_out.at, now=tx.now),
    )
    tx.say(event, Cause(source=provider, id=f"{opt_out.opt_out_id}:{contact_id}"))


async def _senders(tx: Tx, senders: Sequence[Sender]) -> Mapping[Sender, list[tuple[str, str | None]]]:
    """Who wrote: contacts, each with the message that was quoted."""
    quoted = await reports.quoted(tx.conn, [one.quoted for one in senders if one.quoted is not None])
    numbers = [one.number for one in senders if one.number is not None and one.quoted not in quoted]
    contacts = await reports.of_numbers(tx.conn, numbers, limit=CONTACTS_PER_NUMBER_MAX)
    found: dict[Sender, list[tuple[str, str | None]]] = {}
    for one in senders:
        if one.contact_id is not None:
            found[one] = [(one.contact_id, None)]
        elif one.quoted is not None and one.quoted in quoted:
            message = quoted[one.quoted]
            found[one] = [(message.contact_id, message.message_id)]
        else:
            found[one] = [(contact_id, None) for contact_id in contacts.get(one.number or "", [])]
    return found


def _say_replied(tx: Tx, reply: Reply, contact_id: str, quoted: str | None, *, provider: str) -> None:
    event = ContactReplied(
        contact_id=contact_id,
        channel=reply.channel,
        message_id=reply.message_id or quoted,
        occurred_at=moment(reply.at, now=tx.now),
    )
    tx.say(event, Cause(source=provider, id=f"{reply.reply_id}:{contact_id}"))


def _say_reported(tx: Tx, report: Report, message: Sent, *, provider: str) -> None:
    """A complaint is an opt-out too: who calls a message spam gets no more of them, on any channel."""
    event = MessageReported(
        enrollment_id=message.enrollment_id,
        contact_id=message.contact_id,
        sequence_id=message.sequence_id,
        version=message.version,
        occurred_at=tx.now,
        message_id=report.message_id,
        step_id=message.step_id,
        channel=message.channel,
        attempt=message.attempt,
        report=report.kind,
        provider_message_id=report.provider_message_id,
    )
    tx.say(event, Cause(source=provider, id=f"{report.message_id}:{report.kind}"))
    if report.kind == COMPLAINED:
        complaint = OptOut(f"{report.message_id}:{COMPLAINED}", Sender(), channel=None, reason=COMPLAINED)
        say_opted_out(tx, complaint, message.contact_id, provider=provider)
