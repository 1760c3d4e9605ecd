"""Records that could not be handled are kept byte for byte, with why and where from."""

from messaging.inbound import Inbound
from messaging.outbox import Outgoing, pack_headers

PREFIX = "sluice-quarantine-"


def envelop(service: str, inbound: Inbound) -> Outgoing:
    """The record as it came (key, value, headers) for `<service>.quarantine`; what we add are headers of our own."""
    record = inbound.record
    added = {
        "reason": inbound.broken or "unknown",
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "tries": str(inbound.tries),
    }
    headers = [
        *((name, value if value is not None else b"") for name, value in record.headers),
        *((PREFIX + name, text.encode()) for name, text in added.items()),
    ]
    return Outgoing(f"{service}.quarantine", record.key, record.value, pack_headers(headers))
