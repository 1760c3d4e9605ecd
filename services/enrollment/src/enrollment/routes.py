"""What enrollment reads, and which handler takes it."""

from messaging import Routes
from sluice_contracts import contacts, delivery, enrollment, sequences, topics

from enrollment.handlers import activity, adoption, deliveries, entry, removals, versions
from enrollment.handlers import contacts as on_contacts
from enrollment.handlers import sequences as on_sequences


def build() -> Routes:
    """The routing table."""
    routes = Routes("enrollment")
    _commands(routes)
    _sequences(routes)
    _contacts(routes)
    _deliveries(routes)
    _adoptions(routes)
    return routes


def _commands(routes: Routes) -> None:
    routes.on(enrollment.EnrollContact, entry.enroll_contact)
    routes.lock(topics.ENROLLMENT_COMMANDS, entry.lock_entry)

    routes.on(enrollment.EnrollContacts, entry.enroll_contacts)
    routes.weigh(enrollment.EnrollContacts, entry.weight)
    routes.lock(topics.ENROLLMENT_IMPORTS, entry.lock_entry)

    routes.on(enrollment.RemoveContact, removals.remove_contact)
    routes.weigh(enrollment.RemoveContact, lambda _: removals.REMOVAL_WEIGHT)
    routes.lock(topics.ENROLLMENT_REMOVALS, removals.lock_removals)


def _sequences(routes: Routes) -> None:
    for state in (
        sequences.SequenceSaved,
        sequences.SequencePublished,
        sequences.SequencePaused,
        sequences.SequenceStopped,
        sequences.SequenceResumed,
        sequences.SequenceDeleted,
    ):
        routes.on(state, on_sequences.on_sequence)
    routes.on_tombstone(topics.SEQUENCES_EVENTS, on_sequences.on_sequence_gone)
    routes.lock(topics.SEQUENCES_EVENTS, on_sequences.lock_sequences)
    routes.fence(topics.SEQUENCES_EVENTS, on_sequences.on_sequence_fence)
    routes.heartbeat(topics.SEQUENCES_EVENTS)
    routes.without_inbox(topics.SEQUENCES_EVENTS)

    routes.on(sequences.VersionPublished, versions.on_version)
    routes.on_tombstone(topics.SEQUENCES_VERSIONS, versions.on_version_gone)
    routes.lock(topics.SEQUENCES_VERSIONS, versions.lock_versions)
    routes.without_inbox(topics.SEQUENCES_VERSIONS)


def _contacts(routes: Routes) -> None:
    routes.on(contacts.ContactCreated, on_contacts.on_contact)
    routes.on(contacts.ContactUpdated, on_contacts.on_contact)
    routes.on_tombstone(topics.CONTACTS_EVENTS, on_contacts.on_contact_gone)
    routes.lock(topics.CONTACTS_EVENTS, on_contacts.lock_contacts)
    routes.heartbeat(topics.CONTACTS_EVENTS)
    routes.without_inbox(topics.CONTACTS_EVENTS)

    routes.on(contacts.ContactOptedOut, activity.on_opted_out)
    routes.on(contacts.ContactReplied, activity.on_replied)
    routes.lock(topics.CONTACTS_ACTIVITY, activity.lock_activity)


def _deliveries(routes: Routes) -> None:
    routes.on(delivery.StepsFinished, deliveries.on_steps_finished)
    routes.on(delivery.MessageFailed, deliveries.on_message_failed)
    routes.on(delivery.MessageResolved, deliveries.on_message_resolved)
    routes.on(delivery.StopConditionMet, deliveries.on_stop_condition_met)
    routes.ignore(
        topics.DELIVERY_EVENTS,
        delivery.MessageSent,
        delivery.MessageExpired,
        delivery.MessageUnknown,
        delivery.MessageReported,
    )
    routes.lock(topics.DELIVERY_EVENTS, deliveries.lock_reported)
    # An enrollment ends once, whatever is reported twice.
    routes.without_inbox(topics.DELIVERY_EVENTS)


def _adoptions(routes: Routes) -> None:
    adopter = adoption.Adopter()
    routes.adopt(topics.ENROLLMENT_CONTROL, adopter.closings, enrollment.EntryClosed)
    routes.adopt(
        topics.ENROLLMENT_EVENTS,
        adopter.entries,
        enrollment.ContactEnrolled,
        enrollment.EnrollmentRefused,
        enrollment.EnrollmentCompleted,
        enrollment.EnrollmentFailed,
    )
    routes.adopt(topics.ENROLLMENT_CONTROL, adoption.leaving, enrollment.ContactRemoved, enrollment.EnrollmentStopped)
    routes.adopt(topics.ERASURE_RECEIPTS)
    routes.adopt(topics.ENROLLMENT_ANSWERS)
    routes.after_adoption(adoption.finish)
    routes.undone(topics.ENROLLMENT_COMMANDS, adoption.enrolls_undone)
    routes.undone(topics.ENROLLMENT_IMPORTS, adoption.enrolls_undone)
    routes.undone(topics.ENROLLMENT_REMOVALS, adoption.removals_undone)
    routes.acts(topics.CONTACTS_EVENTS)  # contacts enter by themselves
