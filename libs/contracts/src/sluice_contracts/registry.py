"""Every message version there is, by type and by topic."""

from functools import cache
from types import MappingProxyType
from typing import Final

from sluice_contracts import contacts, delivery, enrollment, erasure, sequences
from sluice_contracts.answers import CommandAccepted, CommandRejected
from sluice_contracts.base import Message
from sluice_contracts.topics import ANSWER_TOPICS

ALL: Final[tuple[type[Message], ...]] = (
    sequences.SaveSequence,
    sequences.PublishSequence,
    sequences.PauseSequence,
    sequences.ResumeSequence,
    sequences.DeleteSequence,
    sequences.SequenceSaved,
    sequences.SequencePublished,
    sequences.SequencePaused,
    sequences.SequenceStopped,
    sequences.SequenceResumed,
    sequences.SequenceDeleted,
    sequences.VersionPublished,
    sequences.SequenceErasureCompleted,
    contacts.ContactCreated,
    contacts.ContactUpdated,
    contacts.ContactReplied,
    contacts.ContactOptedOut,
    enrollment.EnrollContact,
    enrollment.EnrollContacts,
    enrollment.RemoveContact,
    enrollment.ContactEnrolled,
    enrollment.EnrollmentRefused,
    enrollment.EnrollmentCompleted,
    enrollment.EnrollmentFailed,
    enrollment.EnrollmentStopped,
    enrollment.ContactRemoved,
    enrollment.EntryClosed,
    delivery.SuspendDelivery,
    delivery.RestoreDelivery,
    delivery.ResolveMessage,
    delivery.MessageSent,
    delivery.MessageFailed,
    delivery.MessageExpired,
    delivery.MessageUnknown,
    delivery.MessageReported,
    delivery.MessageResolved,
    delivery.StopConditionMet,
    delivery.StepsFinished,
    delivery.MessagesCounted,
    delivery.SequenceHalted,
    delivery.ContactHalted,
    delivery.DeliverySuspended,
    delivery.DeliveryRestored,
    erasure.SequenceErased,
    erasure.ContactErased,
    CommandAccepted,
    CommandRejected,
)
BY_TYPE: Final = MappingProxyType({message.TYPE: message for message in ALL})


@cache
def on_topic(topic: str) -> MappingProxyType[str, type[Message]]:
    """The messages that a topic carries, by type; empty for a topic that is not ours, and for quarantines."""
    if topic in ANSWER_TOPICS:
        return MappingProxyType({message.TYPE: message for message in (CommandAccepted, CommandRejected)})
    return MappingProxyType({message.TYPE: message for message in ALL if topic and topic == message.TOPIC})
