"""The messages of delivery: what was sent, what was not, and the receipts of what it stopped."""

from typing import ClassVar, Literal

from sluice_contracts import topics
from sluice_contracts.base import Command, Count, Event, Id, Name, Scope, Text, Timestamp
from sluice_contracts.enrollment import EnrollmentEvent, StopReason


class ScopeCommand(Command):
    """A command about everything, one channel, or one sender."""

    TOPIC: ClassVar[str] = topics.DELIVERY_COMMANDS
    KEY: ClassVar[str] = "scope"
    RESULT: ClassVar[tuple[str, ...]] = ("epoch",)

    scope: Scope
    reason: Text | None = None


class SuspendDelivery(ScopeCommand):
    """Send nothing in that scope until it is restored."""

    TYPE: ClassVar[str] = "SuspendDelivery.v1"


class RestoreDelivery(ScopeCommand):
    """Send in that scope again."""

    TYPE: ClassVar[str] = "RestoreDelivery.v1"


class ResolveMessage(Command):
    """Decide a message that is `unknown`: it counts as sent, or it is sent again under the same id."""

    TYPE: ClassVar[str] = "ResolveMessage.v1"
    TOPIC: ClassVar[str] = topics.DELIVERY_COMMANDS
    KEY: ClassVar[str] = "message_id"
    RESULT: ClassVar[tuple[str, ...]] = ("outcome",)

    message_id: Id
    outcome: Literal["sent", "retry"]


class MessageEvent(EnrollmentEvent):
    """Something happened to one message."""

    TOPIC: ClassVar[str] = topics.DELIVERY_EVENTS

    message_id: Id
    step_id: Id
    channel: Name
    attempt: Count


class MessageSent(MessageEvent):
    """The provider has it."""

    TYPE: ClassVar[str] = "MessageSent.v1"

    due_at: Timestamp
    sent_at: Timestamp
    provider_message_id: Text | None = None


class MessageFailed(MessageEvent):
    """It was refused for good."""

    TYPE: ClassVar[str] = "MessageFailed.v1"

    code: Text
    detail: Text


class MessageExpired(MessageEvent):
    """It is not sent any more: a resume skipped it, or it is too late."""

    TYPE: ClassVar[str] = "MessageExpired.v1"

    reason: Literal["skip", "max_lateness"]


class MessageUnknown(MessageEvent):
    """The provider may or may not have it."""

    TYPE: ClassVar[str] = "MessageUnknown.v1"

    reason: Text


class MessageReported(MessageEvent):
    """The provider said later what became of it."""

    TYPE: ClassVar[str] = "MessageReported.v1"

    report: Literal["delivered", "read", "bounced", "complained"]
    provider_message_id: Text | None = None


class MessageResolved(MessageEvent):
    """What was unknown is decided."""

    TYPE: ClassVar[str] = "MessageResolved.v1"

    outcome: Literal["sent", "failed", "retry"]
    by: Text


class StopConditionMet(EnrollmentEvent):
    """A condition held right before a send, by these versions; enrollment decides what follows."""

    TYPE: ClassVar[str] = "StopConditionMet.v1"
    TOPIC: ClassVar[str] = topics.DELIVERY_EVENTS

    condition: StopReason
    contact_version: Count
    sequence_version: Count


class StepsFinished(EnrollmentEvent):
    """The last step is done; enrollment decides what follows."""

    TYPE: ClassVar[str] = "StepsFinished.v1"
    TOPIC: ClassVar[str] = topics.DELIVERY_EVENTS


class MessagesCounted(Event):
    """The closed books of one sequence: planned = pending + claimed + sent + failed + dropped + expired + unknown."""

    TYPE: ClassVar[str] = "MessagesCounted.v1"
    TOPIC: ClassVar[str] = topics.DELIVERY_BOOKS
    KEY: ClassVar[str] = "sequence_id"

    sequence_id: Id
    books_version: Count
    planned: Count
    pending: Count
    claimed: Count
    sent: Count
    failed: Count
    dropped: Count
    expired: Count
    unknown: Count
    as_of: Timestamp


class SequenceHalted(Event):
    """The receipt of delivery: no message of that sequence leaves after `halted_at`, until a higher epoch."""

    TYPE: ClassVar[str] = "SequenceHalted.v1"
    TOPIC: ClassVar[str] = topics.DELIVERY_CONTROL
    KEY: ClassVar[str] = "sequence_id"

    sequence_id: Id
    epoch: Count
    dropped: Count
    in_flight: Count
    halted_at: Timestamp


class ContactHalted(Event):
    """The receipt of a removal: nothing leaves for these enrollments after `halted_at`."""

    TYPE: ClassVar[str] = "ContactHalted.v1"
    TOPIC: ClassVar[str] = topics.DELIVERY_CONTROL
    KEY: ClassVar[str] = "contact_id"

    removal_id: Id
    contact_id: Id
    enrollment_ids: list[Id]
    dropped: Count
    in_flight: Count
    halted_at: Timestamp


class DeliverySuspended(Event):
    """The receipt of a suspension: nothing leaves in that scope after `halted_at`, until a higher epoch."""

    TYPE: ClassVar[str] = "DeliverySuspended.v1"
    TOPIC: ClassVar[str] = topics.DELIVERY_CONTROL
    KEY: ClassVar[str] = "scope"

    scope: Scope
    epoch: Count
    reason: Text | None = None
    in_flight: Count
    halted_at: Timestamp


class DeliveryRestored(Event):
    """That scope sends again."""

    TYPE: ClassVar[str] = "DeliveryRestored.v1"
    TOPIC: ClassVar[str] = topics.DELIVERY_CONTROL
    KEY: ClassVar[str] = "scope"

    scope: Scope
    epoch: Count
    reason: Text | None = None
    restored_at: Timestamp
