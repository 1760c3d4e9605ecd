"""What the console answers, as others read it. Times are RFC 3339 in UTC; a field is added, never changed."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sluice_contracts.base import JsonObject

EnrollmentStatus = Literal["active", "completed", "stopped", "removed", "failed"]
Code = Literal[
    "sent",
    "due",
    "not_yet_due",
    "outside_window",
    "paused",
    "suspended",
    "stop_condition",
    "removed",
    "opted_out",
    "already_in",
    "already_past",
    "refused",
    "refused_by_provider",
    "unknown",
    "edited_away",
    "expired",
    "completed",
    "stopped",
    "failed",
    "deleted",
    "not_enrolled",
]
"""Why a contact got a message or did not."""


class Reply(BaseModel):
    """A piece of an answer: frozen."""

    model_config = ConfigDict(frozen=True)


class Problem(Reply):
    """Why a question was not answered, in one sentence."""

    detail: str


class Books(Reply):
    """The closed books of one sequence, as delivery counted them last."""

    books_version: int
    planned: int
    pending: int
    claimed: int
    sent: int
    failed: int
    dropped: int
    expired: int
    unknown: int
    as_of: datetime
    closed: bool = Field(description="planned = pending + claimed + sent + failed + dropped + expired + unknown")


class SequenceSummary(Reply):
    """One sequence in a list."""

    sequence_id: str
    name: str | None
    campaign: str | None
    status: str
    version: int | None
    revision: int
    epoch: int
    updated_at: datetime
    books: Books | None


class SequencePage(Reply):
    """Sequences by id; `next` is what to ask for `after`."""

    items: list[SequenceSummary]
    next: str | None


class Stop(Reply):
    """The receipts of the last pause or deletion."""

    epoch: int
    entry_closed_at: datetime | None
    halted_at: datetime | None
    dropped: int | None
    in_flight: int | None


class ErasedBy(Reply):
    """One service's receipt for a deleted sequence."""

    service: str
    rows: dict[str, int]
    at: datetime | None


class VersionSummary(Reply):
    """One published version."""

    version: int
    published_at: datetime | None
    steps: list[str]
    definition: JsonObject


class SequenceDetail(Reply):
    """All that is known of one sequence; of a deleted one its receipts alone."""

    sequence_id: str
    name: str | None
    campaign: str | None
    status: str
    epoch: int
    revision: int | None
    version: int | None
    follow_version: int | None
    in_flight: str | None
    reason: str | None
    paused_at: datetime | None
    resumed_at: datetime | None
    resume_at: datetime | None
    overdue: str | None
    max_lateness: str | None
    admit: str | None
    clock_offset_seconds: float
    updated_at: datetime | None
    draft: JsonObject | None
    published: JsonObject | None
    stop: Stop | None
    waits_for: list[str] = Field(description="Whose receipts are missing, while it is being stopped or erased.")
    erased_by: list[ErasedBy]
    erased: bool = Field(description="Every service has erased it.")
    versions: list[VersionSummary]
    books: Books | None
    since: datetime | None = Field(description="Events before this are not known here.")


class Log(Reply):
    """The six numbers of a sequence."""

    sequence_id: str
    enrolled: int = Field(description="Entered, ever.")
    in_progress: int = Field(description="Live, and at least one message sent.")
    completed: int = Field(description="Every step done.")
    dropped: int = Field(description="Removed, opted out, or stopped by a failure condition.")
    success: int = Field(description="A success condition held, or they replied.")
    failed: int = Field(description="A message could not be delivered.")
    since: datetime | None


class FunnelStep(Reply):
    """What became of the messages of one step."""

    step_id: str
    place: int | None = Field(description="Its place in the newest version, from 1; null where it is no longer there.")
    channel: str | None
    planned: int = Field(description="Ended at it, unknown, or waiting for it.")
    waiting: int
    sent: int
    failed: int
    expired: int
    unknown: int
    delivered: int
    read: int
    bounced: int
    complained: int
    replied: int = Field(description="Replies that name a message of this step.")


class Funnel(Reply):
    """The steps of the newest version in order, then those that only older ones had."""

    sequence_id: str
    version: int | None
    steps: list[FunnelStep]
    since: datetime | None


class NextStep(Reply):
    """What a live enrollment waits for."""

    step_id: str
    channel: str
    due_at: datetime | None = Field(description="On the wall clock, if nothing is paused meanwhile; null while paused.")
    leaves_at: datetime | None = Field(
        description="`due_at`, moved to where the window opens; null where it is not time that it waits for."
    )


class ContactStanding(Reply):
    """One enrollment: where it stands, and why nothing leaves right now."""

    contact_id: str
    sequence_id: str
    enrollment_id: str
    version: int | None = Field(description="The version that was entered.")
    effective_version: int | None
    via: str | None
    enrolled_at: datetime | None
    status: EnrollmentStatus
    reason: str | None
    ended_at: datetime | None
    ended_steps: list[str]
    next: NextStep | None
    code: Code
    answer: str


class ContactPage(Reply):
    """Enrollments of a sequence by contact; `next` is what to ask for `after`."""

    items: list[ContactStanding]
    next: str | None


class PlanRequest(Reply):
    """A definition that might be published."""

    definition: JsonObject
    in_flight: Literal["follow", "pin"] = "follow"


class PlanFault(Reply):
    """What would be refused, and where."""

    place: str
    rule: str


class StepChange(Reply):
    """One step, before and after."""

    step_id: str
    changes: list[Literal["added", "removed", "moved", "delay", "channel", "content"]]
    before: str | None = Field(description="Place, channel and delay in the version that runs.")
    after: str | None
    people: int = Field(description="How many live enrollments wait for it now.")


class PlanReply(Reply):
    """What publishing would change."""

    sequence_id: str
    faults: list[PlanFault]
    from_version: int | None
    to_version: int
    in_flight: Literal["follow", "pin"]
    steps: list[StepChange]
    settings: list[str] = Field(description="What else changes: window, stop_when, …")
    inside: int = Field(description="Live enrollments.")
    touched: int = Field(description="Of those, the ones whose next step or its due time changes.")
    due_at_once: int = Field(description="Messages that become due by it at once.")
    finished_at_once: int = Field(description="Enrollments that have no step left by it.")
    since: datetime | None


class TimelineEvent(Reply):
    """One thing that happened to a contact."""

    at: datetime
    kind: str
    what: str
    sequence_id: str | None
    enrollment_id: str | None
    step_id: str | None
    detail: dict[str, Any]


class ContactDetail(Reply):
    """A contact, its enrollments and its timeline, newest first."""

    contact_id: str
    known: bool = Field(description="Whether the account has a contact with this id.")
    timezone: str | None
    state_version: int | None
    opted_out: bool
    opted_out_channels: list[str]
    enrollments: list[ContactStanding]
    timeline: list[TimelineEvent]
    next: str | None = Field(description="What to ask for `after`, for older events.")
    since: datetime | None


class DecisionMade(Reply):
    """One decision about a contact in a sequence, and what caused it."""

    at: datetime
    what: str
    cause: str


class Why(Reply):
    """Why a contact got a message, or did not."""

    contact_id: str
    sequence_id: str
    step_id: str | None
    enrollment_id: str | None
    code: Code
    answer: str
    due_at: datetime | None
    decisions: list[DecisionMade] = Field(description="In the order in which they were made.")
    since: datetime | None


class UnknownMessage(Reply):
    """A message that its provider may or may not have."""

    message_id: str
    contact_id: str
    sequence_id: str
    enrollment_id: str
    step_id: str
    channel: str
    attempt: int
    reason: str
    at: datetime


class UnknownPage(Reply):
    """Messages that are unknown, by contact; `next` is what to ask for `after`."""

    items: list[UnknownMessage]
    next: str | None


class ScopeState(Reply):
    """Everything, a channel or a sender: whether it sends."""

    scope: str
    suspended: bool
    epoch: int
    reason: str | None
    in_flight: int | None = Field(description="How many were on their way when it was suspended.")
    at: datetime


class Scopes(Reply):
    """Every scope that was ever suspended."""

    items: list[ScopeState]


class TopicRead(Reply):
    """How far a topic is read."""

    topic: str
    since: datetime | None = Field(description="The oldest record that was read.")
    caught_up_at: datetime | None


class Rebuild(Reply):
    """Since when the console knows."""

    built_at: datetime
    since: datetime | None
    events: int
    topics: list[TopicRead]
