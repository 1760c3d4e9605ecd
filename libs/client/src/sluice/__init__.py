"""The Python SDK and the command line of Sluice."""

from sluice.client import Sluice
from sluice.errors import (
    AnswerTimeout,
    CommandRefused,
    NoAddress,
    ReceiptTimeout,
    SluiceError,
    TopicMissing,
    Unreachable,
)
from sluice.event import Event
from sluice.results import (
    Deleted,
    Enrolled,
    EnrolledMany,
    Paused,
    Published,
    Removed,
    Resolved,
    Restored,
    Resumed,
    Saved,
    Suspended,
)
from sluice.stream import EventStream

__all__ = [
    "AnswerTimeout",
    "CommandRefused",
    "Deleted",
    "Enrolled",
    "EnrolledMany",
    "Event",
    "EventStream",
    "NoAddress",
    "Paused",
    "Published",
    "ReceiptTimeout",
    "Removed",
    "Resolved",
    "Restored",
    "Resumed",
    "Saved",
    "Sluice",
    "SluiceError",
    "Suspended",
    "TopicMissing",
    "Unreachable",
]
