"""What handlers see: messages in batches, what was decided about them, and what follows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from sluice_contracts.answers import Fault
from sluice_contracts.base import Message as Contract
from sluice_contracts.base import RejectionCode

T = TypeVar("T", bound=Contract)
S = TypeVar("S")


class Refused(Exception):
    """The rules say no: a command is answered with it; `detail` and `faults` name places and rules, never values."""

    def __init__(self, code: RejectionCode, detail: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.code: RejectionCode = code
        self.detail = detail
        self.faults = tuple(faults)


# Neither this nor a message is frozen: one is made for each record, and freezing it costs as much again as making it.
@dataclass(slots=True)
class Cause:
    """What an emitted message follows from: a record, or a timer (then `id` is the row's id and its due epoch)."""

    source: str
    id: str
    type: str = ""
    correlation_id: str | None = None
    actor: str | None = None
    traceparent: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a row that waits with its cause; `Cause(**it)` reads it back."""
        return {
            "source": self.source,
            "id": self.id,
            "type": self.type,
            "correlation_id": self.correlation_id,
            "actor": self.actor,
            "traceparent": self.traceparent,
        }


@dataclass(slots=True)
class Message(Generic[T]):
    """One record that is what it should be."""

    data: T
    cause: Cause
    key: str
    topic: str
    partition: int
    offset: int
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A key of a compacted topic that is gone."""

    key: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Fence:
    """What could be read of a record that must not go unheard; fields that could not be read are None."""

    key: str
    state_version: int | None
    status: str | None
    epoch: int | None
    data: Mapping[str, Any]
    cause: Cause


@dataclass(frozen=True)
class Decision(Generic[S]):
    """What a transition decided: the state to save, the messages that follow, and a command's result.

    `deferred` leaves a command without an answer for now; `Tx.answer` gives it later.
    """

    state: S | None = None
    messages: tuple[Contract, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    deferred: bool = False


class Decided(Generic[S]):
    """The decisions of a batch, each with the message that it is about."""

    def __init__(self, pairs: Sequence[tuple[Message[Any], Decision[S] | Refused]]) -> None:
        self.pairs = pairs

    def states(self) -> list[S]:
        """The states to save, in the order of the messages."""
        return [d.state for _, d in self.pairs if isinstance(d, Decision) and d.state is not None]

    def refusals(self) -> list[tuple[Message[Any], Refused]]:
        """The messages that the rules refused."""
        return [(m, d) for m, d in self.pairs if isinstance(d, Refused)]


class Batch(Sequence[Message[T]], Generic[T]):
    """Messages of one type, no two of the same key."""

    def __init__(self, messages: Sequence[Message[T]]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message[T]]:
        return iter(self._messages)

    def __getitem__(self, index: Any) -> Any:
        return self._messages[index]

    def keys(self) -> list[str]:
        """The records' keys."""
        return [m.key for m in self._messages]

    def decide(self, decide: Callable[[Message[T]], Decision[S]]) -> Decided[S]:
        """Decide each message by itself; `Refused` is that message's decision, any other error is the batch's."""
        pairs: list[tuple[Message[Any], Decision[S] | Refused]] = []
        for message in self._messages:
            try:
                pairs.append((message, decide(message)))
            except Refused as refused:
                pairs.append((message, refused))
        return Decided(pairs)
