"""Derived ids: the same cause gives the same id, so a replay repeats it instead of adding to it."""

import re
from hashlib import blake2b
from typing import Final

_HEX: Final = "[0-9a-fA-F]"
_BEGINS_WITH_A_UUID: Final = re.compile(f"(?:^|\0)({_HEX}{{8}}-{_HEX}{{4}})-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}")


def derive(*parts: str) -> str:
    """An id in the form of a UUID (version 8, RFC 9562), from parts that may not hold a NUL character.

    Its first 48 bits are those of the first part that begins with a UUID: what follows from one command stands together
    in an index, in the order of the commands where their ids are in order (version 7). All other bits are a hash.
    """
    whole = "\0".join(parts)
    digest = blake2b(whole.encode(), digest_size=16).hexdigest()
    found = _BEGINS_WITH_A_UUID.search(whole)
    beside = f"{digest[:8]}-{digest[8:12]}" if found is None else found[1].lower()
    return f"{beside}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"
