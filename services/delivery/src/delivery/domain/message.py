"""What a message is known by, and how often it is tried."""

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


def message_id_of(enrollment_id: str, step_id: str) -> str:
    """A message's id, which is its idempotency key: the same in every attempt."""
    return derive(enrollment_id, step_id)
