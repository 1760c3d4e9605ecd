"""What the methods of the client give back."""

from collections.abc import Mapping
from dataclasses import dataclass

from sluice_contracts.delivery import ContactHalted
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


@dataclass(frozen=True, slots=True)
class Paused:
    """The pause is under way; with `state` (where waited for) it holds, or something newer has replaced it."""

    command_id: str
    epoch: int
    state: SequenceState | None = None
    gone: bool = False

    @property
    def stopped(self) -> bool:
        """The receipts of this pause are in, and nothing newer has replaced it."""
        return self.state is not None and self.state.epoch == self.epoch and self.state.receipts is not None


@dataclass(frozen=True, slots=True)
class Resumed:
    """The resume is under way, to take effect with `epoch`; with `state` (where waited for) it has, or was replaced."""

    command_id: str
    epoch: int
    state: SequenceState | None = None
    gone: bool = False

    @property
    def running(self) -> bool:
        """It runs again."""
        return self.state is not None and self.state.status == "active"


@dataclass(frozen=True, slots=True)
class Deleted:
    """The deletion is under way; with `erasure` (where waited for) no service holds a row any more."""

    command_id: str
    epoch: int
    erasure: SequenceErasureCompleted | None = None


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
