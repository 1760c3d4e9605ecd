"""What is heard of sequences: entry opens and closes, and what is deleted is erased."""

import re
from collections.abc import Mapping
from collections.abc import Sequence as Many

from campaign.rules import read_rules
from campaign.versions import followed_version
from messaging import Batch, Cause, Decided, Decision, Fence, Message, Tombstone, Tx
from sluice_contracts.base import ID_PATTERN, INTEGER_MAX
from sluice_contracts.sequences import SequenceState

from enrollment.domain.sequence import Sequence, Status, fence, hear, pause_over, status_of, vanish
from enrollment.store import clock, erasures, pauses, sequences, versions
from enrollment.store.erasures import Erasure
from enrollment.store.pauses import EndedPause
from enrollment.store.versions import Version


async def lock_sequences(records: Many[Message[SequenceState] | Tombstone], tx: Tx) -> None:
    """Wait for everybody who is entering: the clock read after this is when entry closed."""
    await sequences.exclude(tx.conn, list({record.key for record in records if is_id(record.key)}))


async def on_sequence(news: Batch[SequenceState], tx: Tx) -> None:
    """Take over newer states."""
    known = await sequences.load(tx.conn, news.keys())
    decided = news.decide(lambda one: hear(known.get(one.key), sequence_of(one.data), now=tx.now))
    await sequences.save(tx.conn, decided.states())
    await versions.save(tx.conn, [version_of(one.data) for one, _ in taken(decided) if one.data.published is not None])
    await pauses.add(tx.conn, [ended for one, state in taken(decided) if (ended := ended_pause(known, one, state))])
    await erasures.start(tx.conn, erasures_of([(state, one.cause) for one, state in taken(decided)]))
    tx.emit(decided)


async def on_sequence_fence(fences: Many[Fence], tx: Tx) -> None:
    """Close entry where a record could not be understood as a whole. A key that is no id is no sequence's."""
    fences = [one for one in fences if is_id(one.key)]
    keys = [one.key for one in fences]
    await sequences.exclude(tx.conn, keys)
    now = await clock.now(tx.conn)
    for one in fences:
        known = (await sequences.load(tx.conn, [one.key])).get(one.key)
        version, epoch = counted(one.state_version), counted(one.epoch)
        decision = fence(known, one.key, state_version=version, status=one.status, epoch=epoch, now=now)
        if decision.state is not None:
            await sequences.save(tx.conn, [decision.state])
            over = pause_over(known, decision.state, admit=False)
            await pauses.add(tx.conn, [EndedPause(over, one.cause)] if over is not None else [])
            await erasures.start(tx.conn, erasures_of([(decision.state, one.cause)]))
        for message in decision.messages:
            tx.say(message, one.cause)


async def on_sequence_gone(gone: Many[Tombstone], tx: Tx) -> None:
    """Erase what is gone; where its deletion was heard, that is under way or done."""
    gone = [one for one in gone if is_id(one.key)]
    keys = [one.key for one in gone]
    known = await sequences.load(tx.conn, keys)
    states = [(vanish(known.get(one.key)).state, cause_of(one)) for one in gone]
    vanished = [(state, cause) for state, cause in states if state is not None]
    await sequences.save(tx.conn, [state for state, _ in vanished])
    await erasures.start(tx.conn, erasures_of(vanished))


def is_id(key: str) -> bool:
    """Whether a key can be a sequence's."""
    return re.fullmatch(ID_PATTERN, key) is not None


def counted(number: int | None) -> int | None:
    """A number of a record that could not be understood; None where it cannot be what it should be."""
    return number if number is not None and 0 <= number <= INTEGER_MAX else None


def sequence_of(state: SequenceState) -> Sequence:
    """What entry asks of a sequence's state. One that names no version to follow is followed to its newest."""
    published = state.published or {}
    campaign = published.get("campaign")
    return Sequence(
        sequence_id=state.sequence_id,
        state_version=state.state_version,
        status=status_of(state.status),
        epoch=state.epoch,
        version=state.version,
        campaign=campaign if isinstance(campaign, str) else None,
        follow_version=followed_version(state.version, state.follow_version),
        rules=read_rules(published),
    )


def version_of(state: SequenceState) -> Version:
    """The version that is published in a state."""
    return Version(state.sequence_id, state.version or 0, state.published or {})


def taken(decided: Decided[Sequence]) -> list[tuple[Message[SequenceState], Sequence]]:
    """The states that were newer, each with what they made of the sequence."""
    return [
        (message, decision.state)
        for message, decision in decided.pairs
        if isinstance(decision, Decision) and decision.state is not None
    ]


def ended_pause(known: Mapping[str, Sequence], news: Message[SequenceState], state: Sequence) -> EndedPause | None:
    """The pause that is over with this state."""
    over = pause_over(known.get(news.key), state, admit=news.data.admit == "qualifying")
    return EndedPause(over, news.cause) if over is not None else None


def erasures_of(states: Many[tuple[Sequence, Cause]]) -> list[Erasure]:
    """The erasures of those that are deleted."""
    return [
        Erasure(state.sequence_id, state.epoch, cause, {}) for state, cause in states if state.status is Status.DELETED
    ]


def cause_of(gone: Tombstone) -> Cause:
    """A tombstone is known by topic, partition and offset."""
    return Cause(source=gone.topic, id=f"{gone.partition}:{gone.offset}", type="tombstone")
