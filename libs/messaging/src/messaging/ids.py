"""Derived ids: the same cause gives the same id, so a replay repeats it instead of adding to it."""

from hashlib import blake2b


def derive(*parts: str) -> str:
    """An id in the form of a UUID (version 8, RFC 9562), from parts that may not hold a NUL character."""
    digest = blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"
