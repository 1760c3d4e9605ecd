"""What this service reads, and which function handles it."""

from collections.abc import Sequence as Rows
from functools import partial
from typing import Any

from messaging import Message, Routes, Tombstone, Tx
from sluice_contracts import delivery, enrollment, topics
from sluice_contracts.erasure import ContactErased, SequenceErased
from sluice_contracts.sequences import (
    DeleteSequence,
    PauseSequence,
    PublishSequence,
    ResumeSequence,
    SaveSequence,
    SequenceDeleted,
    SequencePaused,
    SequencePublished,
    SequenceResumed,
    SequenceSaved,
    SequenceStopped,
    VersionPublished,
)

from sequences.handlers import adoption, commands, echoes, receipts
from sequences.settings import SCHEMA, SequencesSettings
from sequences.store import sequences

DEFINITION_WEIGHT = 20
"""At most 50 sequences, with two definitions of up to 256 KiB each, are in memory at once."""
INSPECTION_WEIGHT = 200
"""At most five definitions are compiled in one transaction: a large one takes a second."""

_LOADING = (
    SaveSequence,
    PauseSequence,
    ResumeSequence,
    DeleteSequence,
    enrollment.EntryClosed,
    delivery.SequenceHalted,
)
_OWN_EVENTS = (SequenceSaved, SequencePublished, SequencePaused, SequenceStopped, SequenceResumed, SequenceDeleted)


def build(settings: SequencesSettings) -> Routes:
    """The routing table."""
    routes = Routes(SCHEMA)
    for model in (*_LOADING, *_OWN_EVENTS):
        routes.weigh(model, lambda _: DEFINITION_WEIGHT)
    _commands(routes, settings)
    routes.on(enrollment.EntryClosed, receipts.on_entry_closed)
    routes.ignore(topics.ENROLLMENT_CONTROL, enrollment.ContactRemoved, enrollment.EnrollmentStopped)
    routes.on(delivery.SequenceHalted, receipts.on_sequence_halted)
    routes.ignore(
        topics.DELIVERY_CONTROL, delivery.ContactHalted, delivery.DeliverySuspended, delivery.DeliveryRestored
    )
    routes.on(SequenceErased, partial(receipts.on_sequence_erased, services=settings.services))
    routes.ignore(topics.ERASURE_RECEIPTS, ContactErased)
    _echoes(routes)
    _adoptions(routes)
    for topic in routes.topics:
        if topic != topics.SEQUENCES_VERSIONS:
            routes.lock(topic, lock_sequences)
    return routes


async def lock_sequences(records: Rows[Message[Any] | Tombstone], tx: Tx) -> None:
    """Take the rows of all sequences that a transaction is about, sorted."""
    await sequences.lock(tx.conn, [record.key for record in records])


def _commands(routes: Routes, settings: SequencesSettings) -> None:
    routes.on(SaveSequence, partial(commands.save_sequence, limits=settings.limits))
    routes.on(PublishSequence, partial(commands.publish_sequence, limits=settings.limits))
    routes.on(PauseSequence, commands.pause_sequence)
    routes.on(ResumeSequence, commands.resume_sequence)
    routes.on(DeleteSequence, commands.delete_sequence)
    routes.weigh(PublishSequence, lambda _: INSPECTION_WEIGHT)


def _echoes(routes: Routes) -> None:
    for event in _OWN_EVENTS:
        routes.on(event, echoes.on_own_event)
    routes.on_tombstone(topics.SEQUENCES_EVENTS, echoes.on_own_tombstone)
    routes.fence(topics.SEQUENCES_EVENTS, echoes.on_unreadable)
    routes.without_inbox(topics.SEQUENCES_EVENTS)
    routes.on(VersionPublished, echoes.on_version_published)
    routes.without_inbox(topics.SEQUENCES_VERSIONS)


def _adoptions(routes: Routes) -> None:
    routes.adopt(topics.SEQUENCES_EVENTS, adoption.adopt_states, *_OWN_EVENTS)
    routes.adopt(topics.SEQUENCES_VERSIONS, adoption.adopt_versions, VersionPublished)
    for topic in (topics.SEQUENCES_CONTROL, topics.ERASURE_RECEIPTS, topics.SEQUENCES_ANSWERS):
        routes.adopt(topic)
    routes.undone(topics.SEQUENCES_COMMANDS, adoption.undone)
