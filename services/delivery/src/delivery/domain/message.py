"""What a message is known by, how often it is tried, and what is kept of one that has ended."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from messaging import derive

UNKNOWN_LANE: Final = "unknown:"
"""Where the row of a message that may have arrived waits until that is decided. No sender claims from here."""
UNKNOWN_WAIT_SECONDS: Final = 600.0
"""So long it waits for the provider's report, unless settings say otherwise."""
ENROLLMENT_ENDED: Final = "enrollment_ended"
"""Why a message that may have arrived is unknown, where nobody tries it again."""
ATTEMPTS_MAX: Final = 12
"""After so many a message that cannot be delivered has failed, and one that may have arrived is unknown."""

IDS_KEPT: Final = 4_096
"""A sender asks for a message's id when it sends it, and again when it books it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A message that has ended, as it stands in the history; the fields stand in the order of its columns."""

    message_id: str
    enrollment_id: str
    sequence_id: str
    contact_id: str
    step_id: str
    version: int
    channel: str
    outcome: str
    code: str | None
    attempt: int
    due_at: datetime | None
    ended_at: datetime
    detail: str | None = None
    provider_message_id: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None


@lru_cache(maxsize=IDS_KEPT)
def message_id_of(enrollment_id: str, step_id: str) -> str:
    """A message's id, which is its idempotency key: the same in every attempt."""
    return derive(enrollment_id, step_id)
