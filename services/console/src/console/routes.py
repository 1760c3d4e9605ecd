"""What the console hears: every topic of events and of control, and nothing else."""

from messaging import Routes
from sluice_contracts import contacts, delivery, enrollment, erasure, sequences, topics

from console.handlers import contacts as on_contacts
from console.handlers import facts
from console.handlers import sequences as on_sequences


def build() -> Routes:
    """The routing table. No topic needs an inbox: each record is a state with a version, or a row by its own id."""
    routes = Routes("console")
    _facts(routes)
    _states(routes)
    for topic in routes.topics:
        routes.without_inbox(topic)
        routes.heartbeat(topic)
    return routes


def _facts(routes: Routes) -> None:
    about = {
        topics.ENROLLMENT_EVENTS: (
            enrollment.ContactEnrolled,
            enrollment.EnrollmentRefused,
            enrollment.EnrollmentCompleted,
            enrollment.EnrollmentFailed,
        ),
        topics.ENROLLMENT_CONTROL: (enrollment.ContactRemoved, enrollment.EnrollmentStopped, enrollment.EntryClosed),
        topics.DELIVERY_EVENTS: (
            delivery.MessageSent,
            delivery.MessageFailed,
            delivery.MessageExpired,
            delivery.MessageUnknown,
            delivery.MessageReported,
            delivery.MessageResolved,
            delivery.StopConditionMet,
            delivery.StepsFinished,
        ),
        topics.DELIVERY_CONTROL: (
            delivery.ContactHalted,
            delivery.SequenceHalted,
            delivery.DeliverySuspended,
            delivery.DeliveryRestored,
        ),
        topics.CONTACTS_ACTIVITY: (contacts.ContactReplied, contacts.ContactOptedOut),
    }
    for topic, models in about.items():
        routes.on_all(topic, facts.on_facts, *models)
        routes.lock(topic, facts.lock_hearing)


def _states(routes: Routes) -> None:
    for state in (
        sequences.SequenceSaved,
        sequences.SequencePublished,
        sequences.SequencePaused,
        sequences.SequenceStopped,
        sequences.SequenceResumed,
    ):
        routes.on(state, on_sequences.on_sequence)
    routes.on(sequences.SequenceDeleted, on_sequences.on_sequence_deleted)
    routes.on_tombstone(topics.SEQUENCES_EVENTS, on_sequences.on_sequence_gone)
    routes.lock(topics.SEQUENCES_EVENTS, on_sequences.lock_states)

    routes.on(sequences.VersionPublished, on_sequences.on_version)
    routes.on_tombstone(topics.SEQUENCES_VERSIONS, on_sequences.on_version_gone)
    routes.lock(topics.SEQUENCES_VERSIONS, facts.lock_hearing)

    routes.on(delivery.MessagesCounted, on_sequences.on_books)
    routes.on_tombstone(topics.DELIVERY_BOOKS, on_sequences.on_books_gone)
    routes.lock(topics.DELIVERY_BOOKS, facts.lock_hearing)

    routes.on(sequences.SequenceErasureCompleted, on_sequences.on_erasure_completed)
    routes.lock(topics.SEQUENCES_CONTROL, on_sequences.lock_gone)

    routes.on(erasure.SequenceErased, on_sequences.on_erased)
    routes.ignore(topics.ERASURE_RECEIPTS, erasure.ContactErased)
    routes.lock(topics.ERASURE_RECEIPTS, on_sequences.lock_gone)

    routes.on(contacts.ContactCreated, on_contacts.on_contact)
    routes.on(contacts.ContactUpdated, on_contacts.on_contact)
    routes.on_tombstone(topics.CONTACTS_EVENTS, on_contacts.on_contact_gone)
    routes.lock(topics.CONTACTS_EVENTS, on_contacts.lock_contacts)
