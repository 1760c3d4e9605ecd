"""The gate of a sequence: what a state of it, heard from its topic, opens, closes and owes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, TypeGuard

from campaign.active_clock import NO_OFFSET, ActiveClock, Stretch, stretch_of
from campaign.overdue import Mark, mark_of
from campaign.versions import effective_version, followed_version
from sluice_contracts.base import INTEGER_MAX
from sluice_contracts.definition import Definition, parse_after
from sluice_contracts.sequences import SequenceState

Status = Literal["draft", "active", "paused", "deleted"]
STOPPED = ("paused", "deleted")


@dataclass(frozen=True, slots=True)
class Gate:
    """One sequence, as far as sending looks at it."""

    sequence_id: str
    state_version: int
    status: Status
    open: bool
    epoch: int
    version: int | None = None
    campaign: str | None = None
    clock_offset: timedelta = NO_OFFSET
    paused_at: datetime | None = None
    follow_version: int | None = None
    """The newest version that those inside follow; None: the newest of all."""
    expire_until: datetime | None = None
    """The furthest of its marks, on the active clock: what is due up to it is not sent any more."""

    @property
    def followed(self) -> int | None:
        """The version that everybody runs under who has not entered a later one."""
        return followed_version(self.version, self.follow_version)

    def effective(self, entered_version: int) -> int | None:
        """The version that an enrollment runs under; None where no version is known."""
        return None if self.followed is None else effective_version(entered_version, self.followed)

    def clock(self, past: Sequence["Pause"] = ()) -> ActiveClock:
        """Its active clock."""
        return ActiveClock(self.clock_offset, self.paused_at, tuple(pause.stretch for pause in past))


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that is over: what the active clock showed, and what its end let expire."""

    stretch: Stretch
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a gate becomes, and what follows from that."""

    gate: Gate
    halts: bool = False
    """A receipt is owed for the gate's epoch."""
    erases: bool = False
    resumes: bool = False
    """What the pause had dropped is planned again."""
    replans: bool = False
    """Those inside follow a newer version."""
    pause: Pause | None = None
    definition: Mapping[str, Any] | None = None
    """The newest version's, where it is new here."""


def follow(gate: Gate | None, state: SequenceState) -> Change | None:
    """Take over a sequence's whole state; None where it is not newer than what is known.

    Driven by the state alone, never by the event's type: of a compacted topic any record may be the only one left.
    Raises ValidationError for a definition that no sender of this release could read.
    """
    if gate is not None and (state.state_version <= gate.state_version or gate.status == "deleted"):
        return None
    definition = _new_definition(gate, state)
    pause = _pause(state)
    followed = Gate(
        sequence_id=state.sequence_id,
        state_version=state.state_version,
        status=state.status,
        open=state.status == "active" and state.version is not None,
        epoch=state.epoch,
        version=state.version,
        campaign=_campaign(gate, state),
        clock_offset=timedelta(seconds=state.clock_offset_seconds),
        paused_at=state.paused_at if state.status == "paused" else None,
        follow_version=followed_version(state.version, state.follow_version),
        expire_until=_furthest(gate, pause),
    )
    was_paused = gate is not None and gate.status == "paused"
    return Change(
        gate=followed,
        halts=_halts(gate, state),
        erases=state.status == "deleted",
        resumes=was_paused and state.status == "active",
        replans=_replans(gate, followed),
        pause=pause,
        definition=definition,
    )


def fence(
    gate: Gate | None, *, sequence_id: str, state_version: int | None, status: str | None, epoch: int | None
) -> Change:
    """Close the gate of a record that could not be handled; what it said of a stop holds.

    The gate's version stays below the record's, so that the record itself is still taken when it is repaired, and
    nothing older is.
    """
    known = gate or Gate(sequence_id, state_version=0, status="draft", open=False, epoch=0)
    below = max(known.state_version, (state_version if _is_count(state_version) else 0) - 1)
    closed = replace(known, open=False, state_version=below)
    stops = status in STOPPED and known.status != "deleted"
    if not stops or not _is_count(epoch) or epoch <= known.epoch:
        return Change(closed)
    return Change(replace(closed, status="paused", epoch=epoch), halts=True)


def bury(gate: Gate | None, *, sequence_id: str) -> Change | None:
    """The sequence's key is gone from its topic: whatever is here of it, known or not, is stopped and erased."""
    known = gate or Gate(sequence_id, state_version=0, status="draft", open=False, epoch=0)
    if known.status == "deleted":
        return None
    return Change(replace(known, status="deleted", open=False, epoch=known.epoch + 1), halts=True, erases=True)


def _new_definition(gate: Gate | None, state: SequenceState) -> Mapping[str, Any] | None:
    known = gate is not None and gate.version == state.version
    if state.version is None or state.status == "deleted" or known:
        return None
    Definition.model_validate(state.published)
    return state.published


def _is_count(number: int | None) -> TypeGuard[int]:
    """A record that could not be handled may hold any number."""
    return number is not None and 0 <= number <= INTEGER_MAX


def _halts(gate: Gate | None, state: SequenceState) -> bool:
    if state.status not in STOPPED:
        return False
    if state.status == "deleted":
        return True
    return state.receipts is None and (gate is None or state.epoch > gate.epoch)


def _campaign(gate: Gate | None, state: SequenceState) -> str | None:
    if state.published is not None:
        campaign = state.published.get("campaign")
        return campaign if isinstance(campaign, str) else None
    return gate.campaign if gate is not None and state.status != "deleted" else None


def _replans(gate: Gate | None, followed: Gate) -> bool:
    """A pin leaves everybody where they are; the first version finds nobody who was planned."""
    if gate is None or gate.followed is None or followed.followed is None or followed.status == "deleted":
        return False
    return followed.followed > gate.followed


def _pause(state: SequenceState) -> Pause | None:
    """The last pause, of a sequence that runs again."""
    if state.status != "active" or state.paused_at is None or state.resumed_at is None:
        return None
    offset = timedelta(seconds=state.clock_offset_seconds)
    stretch = stretch_of(
        paused_at=state.paused_at,
        resumed_at=state.resumed_at,
        offset_after=offset,
        shifted=state.overdue in (None, "shift"),
    )
    if stretch is None:
        return None
    mark = mark_of(
        state.overdue or "shift",
        resumed_active=state.resumed_at - offset,
        max_lateness=None if state.max_lateness is None else parse_after(state.max_lateness),
    )
    return Pause(stretch, mark)


def _furthest(gate: Gate | None, pause: Pause | None) -> datetime | None:
    """A mark stays: who is heard of late may be under it, and nothing else can be."""
    known = None if gate is None else gate.expire_until
    if pause is None or pause.mark is None:
        return known
    return pause.mark.until if known is None else max(known, pause.mark.until)
