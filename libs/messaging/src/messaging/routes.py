"""One table per service: what it reads, and which function handles it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice_contracts import topics
from sluice_contracts.base import Message as Contract

from messaging.model import Batch, Fence, Tombstone
from messaging.tx import Tx

Handler = Callable[[Batch[Any], Tx], Awaitable[None]]
TombstoneHandler = Callable[[Sequence[Tombstone], Tx], Awaitable[None]]
Locker = Callable[[Sequence[Any], Tx], Awaitable[None]]
"""Takes messages; of a compacted topic tombstones too."""
Fencer = Callable[[Sequence[Fence], Tx], Awaitable[None]]

WEIGHT_MAX = 1_000


@dataclass(slots=True)
class TopicRoutes:
    """How one topic is read."""

    topic: str
    models: dict[str, type[Contract]] = field(default_factory=dict)
    handlers: dict[str, Handler] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    together: Handler | None = None
    tombstones: TombstoneHandler | None = None
    lock: Locker | None = None
    fence: Fencer | None = None
    weigh: dict[str, Callable[[Any], int]] = field(default_factory=dict)
    inbox: bool = True
    heartbeat: bool = False

    @property
    def commands(self) -> bool:
        """Whether its records are answered."""
        return self.topic in topics.COMMAND_TOPICS


class Routes:
    """The routing table of a service. `source` is how it names itself in what it emits."""

    def __init__(self, service: str, *, source: str | None = None) -> None:
        self.service = service
        self.source = source or service
        self.topics: dict[str, TopicRoutes] = {}

    def on(self, model: type[Contract], handler: Handler) -> None:
        """Handle messages of this type in batches, no two of the same key in one."""
        routes = self._of(model.TOPIC)
        routes.models[model.TYPE] = model
        routes.handlers[model.TYPE] = handler

    def on_all(self, topic: str, handler: Handler, *models: type[Contract]) -> None:
        """Hand all messages of a transaction to one handler at once, in their order, whatever their types and keys.

        For readers to whom the records of a topic are facts, each by itself.
        """
        routes = self._of(topic)
        routes.models |= {model.TYPE: model for model in models}
        routes.together = handler

    def on_tombstone(self, topic: str, handler: TombstoneHandler) -> None:
        """Handle keys that are gone from a compacted topic."""
        self._of(topic).tombstones = handler

    def ignore(self, topic: str, *models: type[Contract]) -> None:
        """Types that are known and not this service's business."""
        routes = self._of(topic)
        routes.known |= {model.TYPE for model in models}

    def lock(self, topic: str, locker: Locker) -> None:
        """Take all locks of a transaction before its first handler, sorted."""
        self._of(topic).lock = locker

    def fence(self, topic: str, fencer: Fencer) -> None:
        """Close what a record that could not be handled may have closed."""
        self._of(topic).fence = fencer

    def weigh(self, model: type[Contract], weight: Callable[[Any], int]) -> None:
        """How much of a transaction's bound (1,000) a message's data takes; 1 by default."""
        self._of(model.TOPIC).weigh[model.TYPE] = weight

    def heartbeat(self, topic: str) -> None:
        """Confirm in the database, several times a second, that this topic's reader has caught up."""
        self._of(topic).heartbeat = True

    def without_inbox(self, topic: str) -> None:
        """For compacted topics: `state_version` and offset say what is old."""
        self._of(topic).inbox = False

    def _of(self, topic: str) -> TopicRoutes:
        if topic not in topics.ALL_TOPICS:
            raise ValueError(f"{topic!r} is not a topic of the contract")
        return self.topics.setdefault(topic, TopicRoutes(topic))
