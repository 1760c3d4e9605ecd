"""What delivery hears, and who handles it."""

from typing import Final

from messaging import Routes
from sluice_contracts import topics
from sluice_contracts.contacts import ContactCreated, ContactOptedOut, ContactReplied, ContactUpdated
from sluice_contracts.delivery import (
    DeliveryRestored,
    DeliverySuspended,
    MessagesCounted,
    ResolveMessage,
    RestoreDelivery,
    SuspendDelivery,
)
from sluice_contracts.enrollment import (
    ContactEnrolled,
    ContactRemoved,
    EnrollmentCompleted,
    EnrollmentFailed,
    EnrollmentRefused,
    EnrollmentStopped,
    EntryClosed,
)
from sluice_contracts.sequences import (
    SequenceDeleted,
    SequencePaused,
    SequencePublished,
    SequenceResumed,
    SequenceSaved,
    SequenceStopped,
    VersionPublished,
)

from delivery.domain.adoption import TOLD
from delivery.handlers import adoption, commands, contacts, ends, entries, resolutions, sequences, versions
from delivery.store.control import CONTROL_TOPICS

SEQUENCE_STATES: Final = (
    SequenceSaved,
    SequencePublished,
    SequencePaused,
    SequenceStopped,
    SequenceResumed,
    SequenceDeleted,
)


def routes() -> Routes:
    """The routing table."""
    table = Routes("delivery")
    for state in SEQUENCE_STATES:
        table.on(state, sequences.on_sequence_state)
    table.on_tombstone(topics.SEQUENCES_EVENTS, sequences.on_sequence_gone)
    table.lock(topics.SEQUENCES_EVENTS, sequences.hold_gates)
    table.fence(topics.SEQUENCES_EVENTS, sequences.fence_sequences)
    table.without_inbox(topics.SEQUENCES_EVENTS)

    table.on(VersionPublished, versions.on_version_published)
    table.on_tombstone(topics.SEQUENCES_VERSIONS, versions.on_version_gone)
    table.lock(topics.SEQUENCES_VERSIONS, versions.share_gates)
    table.without_inbox(topics.SEQUENCES_VERSIONS)

    table.on(ContactRemoved, ends.on_contact_removed)
    table.on(EnrollmentStopped, ends.on_enrollment_stopped)
    table.ignore(topics.ENROLLMENT_CONTROL, EntryClosed)
    table.lock(topics.ENROLLMENT_CONTROL, ends.hold_entry)
    table.fence(topics.ENROLLMENT_CONTROL, ends.fence_ends)

    table.on(ContactEnrolled, entries.on_contact_enrolled)
    table.ignore(topics.ENROLLMENT_EVENTS, EnrollmentRefused, EnrollmentCompleted, EnrollmentFailed)
    table.lock(topics.ENROLLMENT_EVENTS, entries.share_gates_and_entry)

    for contact in (ContactCreated, ContactUpdated):
        table.on(contact, contacts.on_contact_state)
    table.on_tombstone(topics.CONTACTS_EVENTS, contacts.on_contact_gone)
    table.without_inbox(topics.CONTACTS_EVENTS)

    table.on(ContactOptedOut, contacts.on_contact_opted_out)
    table.ignore(topics.CONTACTS_ACTIVITY, ContactReplied)
    table.without_inbox(topics.CONTACTS_ACTIVITY)

    table.on(SuspendDelivery, commands.suspend_delivery)
    table.on(RestoreDelivery, commands.restore_delivery)
    table.on(ResolveMessage, resolutions.resolve_message)
    table.lock(topics.DELIVERY_COMMANDS, commands.hold_gates)
    table.fence(topics.DELIVERY_COMMANDS, commands.fence_scopes)
    for topic in CONTROL_TOPICS:
        table.heartbeat(topic)

    table.adopt(topics.DELIVERY_EVENTS, adoption.messages, *TOLD)
    table.adopt(topics.DELIVERY_CONTROL, adoption.suspensions, DeliverySuspended, DeliveryRestored)
    table.adopt(topics.DELIVERY_BOOKS, adoption.counted, MessagesCounted)
    for topic in (topics.ERASURE_RECEIPTS, topics.CONTACTS_ACTIVITY, topics.DELIVERY_ANSWERS):
        table.adopt(topic)
    table.after_adoption(adoption.finish)
    table.undone(topics.DELIVERY_COMMANDS, adoption.undone)
    return table
