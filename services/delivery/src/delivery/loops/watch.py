"""How long something has been seen, by this process's own monotonic clock alone."""

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Watch(Generic[K]):
    """Since when each of some things has been there. A new process counts anew: it waits longer, never less."""

    def __init__(self, seconds: float, *, monotonic: Callable[[], float]) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._since: dict[K, float] = {}

    def lapsed(self, present: Iterable[K]) -> list[K]:
        """Those of what is there now that have been there for the whole time; what is there no more is forgotten."""
        now = self._monotonic()
        self._since = {key: self._since.get(key, now) for key in present}
        return [key for key, since in self._since.items() if now - since > self._seconds]
