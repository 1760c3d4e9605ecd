"""Records that could not be handled are kept byte for byte, with why and where from."""

from typing import Final

from messaging.inbound import Inbound
from messaging.outbox import RECORD_BYTES_MAX, Outgoing, pack_headers, size

PREFIX: Final = "sluice-quarantine-"


def envelop(service: str, inbound: Inbound) -> Outgoing:
    """The record as it came (key, value, headers) for `<service>.quarantine`; what we add are headers of our own.

    A record so large that no topic takes it (it came in compressed) is kept as far as it fits, without its headers, and
    `cut` says how large it was: whole it stands where `topic`, `partition` and `offset` say, while that topic keeps it.
    One with neither key nor value, which our producer would not send, gets an empty value and says so (`null`).
    """
    record = inbound.record
    added = {
        "reason": inbound.broken or "unknown",
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "tries": str(inbound.tries),
    }
    topic, key, value = f"{service}.quarantine", record.key, record.value
    if key is None and value is None:
        value, added["null"] = b"", "key, value"
    headers = pack_headers([*record.headers, *_ours(added)])
    if size(key, value, headers) > RECORD_BYTES_MAX:
        added["cut"] = str(size(key, value, headers))
        headers = pack_headers(_ours(added))
        key = None if key is None else key[: RECORD_BYTES_MAX // 2]
        value = None if value is None else value[: RECORD_BYTES_MAX - size(key, headers)]
    return Outgoing(topic, key, value, headers)


def _ours(added: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(PREFIX + name, text.encode()) for name, text in added.items()]
