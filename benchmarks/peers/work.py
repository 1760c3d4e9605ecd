"""The work that every peer is given: one message to one contact, as large as what Sluice holds of one."""

from typing import Final

import orjson
from messaging import derive

from benchmarks import workload

SEQUENCE: Final = "bench-peers"


def messages(contacts: list[str]) -> list[bytes]:
    """One JSON object of about 300 bytes for each contact."""
    return [_message(contact_id, number) for number, contact_id in enumerate(contacts, start=1)]


def _message(contact_id: str, number: int) -> bytes:
    enrollment_id = derive(SEQUENCE, contact_id)
    return orjson.dumps(
        {
            "message_id": derive(enrollment_id, workload.FIRST_STEP),
            "enrollment_id": enrollment_id,
            "sequence_id": SEQUENCE,
            "step_id": workload.FIRST_STEP,
            "contact_id": contact_id,
            "attributes": {"first_name": f"Name {number}", "status": "New"},
            "addresses": {"email": f"{contact_id}@example.com"},
        }
    )
