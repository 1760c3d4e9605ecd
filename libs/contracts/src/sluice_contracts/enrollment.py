"""The messages of enrollment: who enters, who leaves, and why."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from sluice_contracts import topics
from sluice_contracts.base import Command, Count, Event, Flag, Id, Name, RejectionCode, Text, Timestamp

Via = Literal["command", "import", "trigger", "admit"]
StopReason = Literal["success", "failure", "replied", "opted_out"]


class EnrollContact(Command):
    """Let one contact enter one sequence."""

    TYPE: ClassVar[str] = "EnrollContact.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_COMMANDS
    KEY: ClassVar[str] = "contact_id"
    RESULT: ClassVar[tuple[str, ...]] = ("enrollment_id",)

    sequence_id: Id
    contact_id: Id


class EnrollContacts(Command):
    """Let many contacts enter one sequence: one chunk of an import, keyed `sequence_id:chunk`."""

    TYPE: ClassVar[str] = "EnrollContacts.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_IMPORTS
    RESULT: ClassVar[tuple[str, ...]] = ("enrolled", "refused")

    sequence_id: Id
    contact_ids: Annotated[list[Id], Field(min_length=1)]

    def key(self) -> str:
        """The chunk is not in the data: whoever sends an import names it (see `key_of`)."""
        raise NotImplementedError("the key of an import names its chunk: use key_of(chunk)")

    def key_of(self, chunk: str | int) -> str:
        """The record's key for that chunk of an import."""
        return f"{self.sequence_id}:{chunk}"

    def key_matches(self, key: str) -> bool:
        """Whether the key is this sequence's id and some chunk."""
        return len(key) > len(self.sequence_id) + 1 and key.startswith(self.sequence_id + ":")


class RemoveContact(Command):
    """Halt everything for a contact: in one sequence, in one campaign, or (with neither) everywhere."""

    TYPE: ClassVar[str] = "RemoveContact.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_REMOVALS
    KEY: ClassVar[str] = "contact_id"
    RESULT: ClassVar[tuple[str, ...]] = ("removal_id", "removed")

    contact_id: Id
    sequence_id: Id | None = None
    campaign: Name | None = None
    allow_reentry: Flag = False

    @model_validator(mode="after")
    def _one_scope(self) -> Self:
        if self.sequence_id is not None and self.campaign is not None:
            raise PydanticCustomError("rule", "takes sequence_id or campaign, not both")
        return self


class EnrollmentEvent(Event):
    """Something happened to one enrollment."""

    KEY: ClassVar[str] = "contact_id"

    enrollment_id: Id
    contact_id: Id
    sequence_id: Id
    version: Count
    occurred_at: Timestamp


class ContactEnrolled(EnrollmentEvent):
    """A contact entered; `contact_offset` is that of the contact record on which it was decided."""

    TYPE: ClassVar[str] = "ContactEnrolled.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_EVENTS

    via: Via
    contact_offset: Count


class EnrollmentRefused(Event):
    """A contact did not enter."""

    TYPE: ClassVar[str] = "EnrollmentRefused.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_EVENTS
    KEY: ClassVar[str] = "contact_id"

    contact_id: Id
    sequence_id: Id
    via: Via
    code: RejectionCode
    occurred_at: Timestamp


class EnrollmentCompleted(EnrollmentEvent):
    """Every step is done."""

    TYPE: ClassVar[str] = "EnrollmentCompleted.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_EVENTS


class EnrollmentFailed(EnrollmentEvent):
    """A message could not be delivered, for good."""

    TYPE: ClassVar[str] = "EnrollmentFailed.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_EVENTS

    step_id: Id
    code: Text
    detail: Text


class EnrollmentStopped(EnrollmentEvent):
    """A condition ended it."""

    TYPE: ClassVar[str] = "EnrollmentStopped.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_CONTROL

    reason: StopReason


class ContactRemoved(Event):
    """A removal took place, once per command, also where nothing lived: it blocks all the same."""

    TYPE: ClassVar[str] = "ContactRemoved.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_CONTROL
    KEY: ClassVar[str] = "contact_id"

    removal_id: Id
    contact_id: Id
    sequence_id: Id | None = None
    campaign: Name | None = None
    enrollment_ids: list[Id]
    allow_reentry: Flag
    occurred_at: Timestamp


class EntryClosed(Event):
    """The receipt of enrollment: nobody enters that sequence after `closed_at`, until a higher epoch."""

    TYPE: ClassVar[str] = "EntryClosed.v1"
    TOPIC: ClassVar[str] = topics.ENROLLMENT_CONTROL
    KEY: ClassVar[str] = "sequence_id"

    sequence_id: Id
    epoch: Count
    closed_at: Timestamp
