"""What the methods of the client give back."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sluice_contracts.delivery import ContactHalted, DeliveryRestored, DeliverySuspended
from sluice_contracts.sequences import SequenceErasureCompleted, SequenceState


@dataclass(frozen=True, slots=True)
class Saved:
    """The draft is kept."""

    command_id: str
    revision: int
    status: str


@dataclass(frozen=True, slots=True)
class Published:
    """There is a new version."""

    command_id: str
    version: int
    answered_at: datetime | None = None

    def was_so(self, state: SequenceState | None) -> bool:
        """Whether, as that state tells, there was nothing new to publish."""
        return state is not None and state.version == self.version and _before(state.updated_at, self.answered_at)


@dataclass(frozen=True, slots=True)
class Paused:
    """The pause is under way; with `state` (where waited for) it holds, or something newer has replaced it."""

    command_id: str
    epoch: int
    state: SequenceState | None = None
    gone: bool = False
    answered_at: datetime | None = None

    @property
    def stopped(self) -> bool:
        """The receipts of this pause are in, and nothing newer has replaced it."""
        return self.state is not None and self.state.epoch == self.epoch and self.state.receipts is not None

    def was_so(self, state: SequenceState | None) -> bool:
        """Whether, as that state tells, it was paused before this was asked."""
        return state is not None and state.epoch == self.epoch and _before(state.paused_at, self.answered_at)


@dataclass(frozen=True, slots=True)
class Resumed:
    """The resume is under way, to take effect with `epoch`; with `state` (where waited for) it has, or was replaced."""

    command_id: str
    epoch: int
    state: SequenceState | None = None
    gone: bool = False
    answered_at: datetime | None = None

    @property
    def running(self) -> bool:
        """It runs again."""
        return self.state is not None and self.state.status == "active"

    def was_so(self, state: SequenceState | None) -> bool:
        """Whether, as that state tells, it ran before this was asked."""
        if state is None or state.status != "active" or state.epoch != self.epoch:
            return False
        return state.resumed_at is None or _before(state.resumed_at, self.answered_at)


@dataclass(frozen=True, slots=True)
class Deleted:
    """The deletion is under way; with `erasure` (where waited for) no service holds a row any more."""

    command_id: str
    epoch: int
    erasure: SequenceErasureCompleted | None = None
    answered_at: datetime | None = None

    def was_so(self, state: SequenceState | None) -> bool:
        """Whether, as that state tells, it was being deleted before this was asked."""
        return state is not None and state.epoch == self.epoch and _before(state.updated_at, self.answered_at)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The contact is in."""

    command_id: str
    enrollment_id: str


@dataclass(frozen=True, slots=True)
class EnrolledMany:
    """How many of a chunk are in, and how many are not, by reason."""

    command_id: str
    enrolled: int
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Removed:
    """The removal acts and blocks; with `halted` (where waited for) nothing leaves for that contact any more."""

    command_id: str
    removal_id: str
    removed: tuple[str, ...]
    halted: ContactHalted | None = None


@dataclass(frozen=True, slots=True)
class Suspended:
    """The suspension is under way; with `receipt` (where waited for) it holds, or something newer has replaced it."""

    command_id: str
    epoch: int
    receipt: DeliverySuspended | DeliveryRestored | None = None
    answered_at: datetime | None = None

    @property
    def holds(self) -> bool:
        """Nothing leaves in that scope."""
        return isinstance(self.receipt, DeliverySuspended)

    @property
    def was_so(self) -> bool:
        """It was suspended before this was asked."""
        return isinstance(self.receipt, DeliverySuspended) and _before(self.receipt.halted_at, self.answered_at)


@dataclass(frozen=True, slots=True)
class Restored:
    """The restore is under way; with `receipt` (where waited for) it has taken effect, or was replaced."""

    command_id: str
    epoch: int
    receipt: DeliverySuspended | DeliveryRestored | None = None
    answered_at: datetime | None = None

    @property
    def sends(self) -> bool:
        """Messages leave in that scope again."""
        return self.epoch == 0 or isinstance(self.receipt, DeliveryRestored)

    @property
    def was_so(self) -> bool:
        """It was not suspended when this was asked."""
        restored = self.receipt.restored_at if isinstance(self.receipt, DeliveryRestored) else None
        return self.epoch == 0 or _before(restored, self.answered_at)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What was unknown is decided."""

    command_id: str
    outcome: str


def _before(moment: datetime | None, answered_at: datetime | None) -> bool:
    """Both are of the answering service's clock: what the command itself has brought is not before its answer."""
    return moment is not None and answered_at is not None and moment < answered_at
