"""The Python SDK and the command line of Sluice.

A name is loaded when it is first asked for: the command line answers Ctrl-C before all of it is there.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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

_HOMES: Final = ("client", "errors", "event", "results", "stream")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            found = getattr(importlib.import_module(f"sluice.{home}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
