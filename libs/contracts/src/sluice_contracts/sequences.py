"""The messages of sequences: its commands, and the state that every one of its events carries."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from sluice_contracts import topics
from sluice_contracts.base import Command, Count, Duration, Event, Id, JsonObject, Part, Text, Timestamp, to_json_slowly

Status = Literal["draft", "active", "paused", "deleted"]
InFlight = Literal["follow", "pin"]
Overdue = Literal["shift", "send_now", "skip"]
Admit = Literal["none", "qualifying"]


class SequenceCommand(Command):
    """A command about one sequence."""

    TOPIC: ClassVar[str] = topics.SEQUENCES_COMMANDS
    KEY: ClassVar[str] = "sequence_id"

    sequence_id: Id


class SaveSequence(SequenceCommand):
    """Keep this as the draft. Nothing that runs changes; the definition is validated when it is published."""

    TYPE: ClassVar[str] = "SaveSequence.v1"
    RESULT: ClassVar[tuple[str, ...]] = ("revision", "status")

    definition: JsonObject
    expected_revision: Count | None = None


class PublishSequence(SequenceCommand):
    """Make the draft the next version. Who is inside follows it from the next step on, or keeps the old one (`pin`)."""

    TYPE: ClassVar[str] = "PublishSequence.v1"
    RESULT: ClassVar[tuple[str, ...]] = ("version",)

    expected_revision: Count | None = None
    in_flight: InFlight | None = None


class PauseSequence(SequenceCommand):
    """Stop it: nobody enters and nothing is sent, from the receipts on."""

    TYPE: ClassVar[str] = "PauseSequence.v1"
    RESULT: ClassVar[tuple[str, ...]] = ("epoch",)

    reason: Text | None = None
    resume_at: Timestamp | None = None


class ResumeSequence(SequenceCommand):
    """Let it run again; what became due meanwhile is shifted (default), sent now or skipped."""

    TYPE: ClassVar[str] = "ResumeSequence.v1"
    RESULT: ClassVar[tuple[str, ...]] = ("epoch",)

    overdue: Overdue | None = None
    max_lateness: Duration | None = None
    admit: Admit | None = None


class DeleteSequence(SequenceCommand):
    """Fence it, then erase it everywhere. There is no way back."""

    TYPE: ClassVar[str] = "DeleteSequence.v1"
    RESULT: ClassVar[tuple[str, ...]] = ("epoch",)


class Receipts(Part):
    """The proof that a stop holds: nobody entered after the one time, nothing left after the other."""

    entry_closed_at: Timestamp
    halted_at: Timestamp
    dropped: Count
    in_flight: Count


class SequenceState(Event):
    """The whole state of one sequence. Of two records of a key the one with the higher `state_version` is true."""

    TOPIC: ClassVar[str] = topics.SEQUENCES_EVENTS
    KEY: ClassVar[str] = "sequence_id"

    sequence_id: Id
    state_version: Count = Field(description="Only grows; a reader ignores a record that is older than what it knows.")
    status: Status
    epoch: Count = Field(description="Rises with each pause, resume and delete; a receipt is true until a higher one.")
    revision: Count = Field(description="Counts the saves of the draft.")
    draft: JsonObject | None = Field(
        default=None, description="The definition at `revision`; null where it is what is published."
    )
    version: Count | None = Field(default=None, description="The newest version; null before the first.")
    published: JsonObject | None = Field(
        default=None, description="The definition of `version`; null before the first."
    )
    in_flight: InFlight = Field(
        description="What those inside do at a publish: follow the newest version, or keep theirs."
    )
    follow_version: Count | None = Field(
        default=None,
        description="The newest version that those inside follow; who entered a later one keeps that (`pin`).",
    )
    reason: Text | None = Field(default=None, description="Why it was paused.")
    paused_at: Timestamp | None = Field(default=None, description="When it was paused last.")
    resumed_at: Timestamp | None = Field(default=None, description="When it was resumed last.")
    clock_offset_seconds: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="The total of the pauses that were shifted: so far is the active clock behind.",
    )
    receipts: Receipts | None = Field(default=None, description="There once all receipts of the stop are in.")
    resume_at: Timestamp | None = Field(default=None, description="When it resumes by itself.")
    overdue: Overdue | None = Field(default=None, description="How the last resume treated what became due meanwhile.")
    max_lateness: Duration | None = Field(default=None, description="The bound of `send_now`.")
    admit: Admit | None = Field(default=None, description="Whether the last resume let in who was refused meanwhile.")
    updated_at: Timestamp

    def to_json(self) -> bytes:
        """As any message, but `version`, `draft` and `published` are always there, null where there is none."""
        state: dict[str, Any] = self.model_dump(exclude_none=True)
        for name in ("version", "draft", "published"):
            state.setdefault(name, None)
        return to_json_slowly(state)


class SequenceSaved(SequenceState):
    """The draft was saved."""

    TYPE: ClassVar[str] = "SequenceSaved.v1"


class SequencePublished(SequenceState):
    """There is a new version."""

    TYPE: ClassVar[str] = "SequencePublished.v1"


class SequencePaused(SequenceState):
    """It is being stopped; who must know that it has stopped waits for SequenceStopped."""

    TYPE: ClassVar[str] = "SequencePaused.v1"


class SequenceStopped(SequenceState):
    """All receipts are in: the stop holds everywhere until an event with a higher epoch."""

    TYPE: ClassVar[str] = "SequenceStopped.v1"

    receipts: Receipts


class SequenceResumed(SequenceState):
    """It runs again."""

    TYPE: ClassVar[str] = "SequenceResumed.v1"


class SequenceDeleted(SequenceState):
    """It is being erased: neither definition is here any more, and a tombstone will follow."""

    TYPE: ClassVar[str] = "SequenceDeleted.v1"

    def to_json(self) -> bytes:
        """As any message; neither definition is written, whatever the state holds."""
        return to_json_slowly(self.model_dump(exclude_none=True, exclude={"draft", "published"}))


class VersionPublished(Event):
    """One immutable version, under a key of its own (`sequence_id:version`) until the sequence is deleted."""

    TYPE: ClassVar[str] = "VersionPublished.v1"
    TOPIC: ClassVar[str] = topics.SEQUENCES_VERSIONS

    sequence_id: Id
    version: Count
    definition: JsonObject

    def key(self) -> str:
        """`sequence_id:version`."""
        return f"{self.sequence_id}:{self.version}"


class SequenceErasureCompleted(Event):
    """Every service has erased it; the tombstone on sequences.events follows."""

    TYPE: ClassVar[str] = "SequenceErasureCompleted.v1"
    TOPIC: ClassVar[str] = topics.SEQUENCES_CONTROL
    KEY: ClassVar[str] = "sequence_id"

    sequence_id: Id
    epoch: Count
    rows: dict[str, dict[str, Count]]
