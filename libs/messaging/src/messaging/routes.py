"""One table per service: what it reads, and which function handles it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from chassis.pool import Conn
from sluice_contracts import topics
from sluice_contracts.base import Message as Contract

from messaging.model import Batch, Fence, Message, Tombstone
from messaging.tx import Tx

Handler = Callable[[Batch[Any], Tx], Awaitable[None]]
TombstoneHandler = Callable[[Sequence[Tombstone], Tx], Awaitable[None]]
Locker = Callable[[Sequence[Any], Tx], Awaitable[None]]
"""Takes messages; of a compacted topic tombstones too."""
Fencer = Callable[[Sequence[Fence], Tx], Awaitable[None]]

Adopter = Callable[[Sequence[Any], Tx], Awaitable[None]]
"""Takes messages, and of a compacted topic tombstones, that this service has said: in the order of each key."""
Undone = Callable[[Conn, Mapping[str, tuple[Message[Any], Mapping[str, Any]]]], Awaitable[Set[str]]]
"""Of commands with the results that were answered, by identity: those whose effect is not in the database."""

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
    undone: Undone | None = None
    inbox: bool = True
    heartbeat: bool = False
    acts: bool = False

    @property
    def waits(self) -> bool:
        """Whether it is read only once all else is heard up to where it ended, after a put-back."""
        return self.acts or self.commands

    @property
    def commands(self) -> bool:
        """Whether its records are answered."""
        return self.topic in topics.COMMAND_TOPICS


@dataclass(frozen=True, slots=True)
class Adoption:
    """What is made of what this service has said on a topic, where its database has lost it."""

    topic: str
    models: dict[str, type[Contract]]
    adopt: Adopter | None


class Routes:
    """The routing table of a service. `source` is how it names itself in what it emits."""

    def __init__(self, service: str, *, source: str | None = None) -> None:
        self.service = service
        self.source = source or service
        self.topics: dict[str, TopicRoutes] = {}
        self.adoptions: list[Adoption] = []
        self.finish_adoption: Callable[[Tx], Awaitable[None]] | None = None

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

    def adopt(self, topic: str, adopter: Adopter | None = None, *models: type[Contract]) -> None:
        """Look for what this service has said here, and, where its database was put back, hand it to `adopter`.

        Topics are adopted in the order in which they are named. Where nothing is, the service looks for nothing.
        """
        self._of_contract(topic)
        self.adoptions.append(Adoption(topic, {model.TYPE: model for model in models}, adopter))

    def after_adoption(self, finish: Callable[[Tx], Awaitable[None]]) -> None:
        """What is to be done when all was adopted, answers too."""
        self.finish_adoption = finish

    def undone(self, topic: str, undone: Undone) -> None:
        """Tell which commands of a topic must be handled again, although their answers were adopted."""
        self._of(topic).undone = undone

    def acts(self, topic: str) -> None:
        """What is read here makes the service act by itself: after a put-back it waits with the commands."""
        self._of(topic).acts = True

    def without_inbox(self, topic: str) -> None:
        """For compacted topics: `state_version` and offset say what is old."""
        self._of(topic).inbox = False

    def _of(self, topic: str) -> TopicRoutes:
        self._of_contract(topic)
        return self.topics.setdefault(topic, TopicRoutes(topic))

    @staticmethod
    def _of_contract(topic: str) -> None:
        if topic not in topics.ALL_TOPICS:
            raise ValueError(f"{topic!r} is not a topic of the contract")
