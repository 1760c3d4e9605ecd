"""What a message is known by, and how often it is tried."""

from typing import Final

from messaging import derive

ATTEMPTS_MAX: Final = 12
"""After so many a message that cannot be delivered has failed, and one that may have arrived is unknown."""


def message_id_of(enrollment_id: str, step_id: str) -> str:
    """A message's id, which is its idempotency key: the same in every attempt."""
    return derive(enrollment_id, step_id)
