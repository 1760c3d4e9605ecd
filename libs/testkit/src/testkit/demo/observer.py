"""What the outside saw: arrivals at the sink, events on the topics. Nothing here asks a service."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from chassis.clock import monotonic, sleep
from sluice import Sluice, Unreachable
from sluice_contracts import topics
from sluice_contracts.base import parse_timestamp

POLL_SECONDS: Final = 0.05
REOPEN_SECONDS: Final = 0.5


class TooLate(Exception):
    """What was waited for did not happen in time."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as the sink got it, on the sink's clock."""

    at: datetime
    channel: str
    to: str
    """The recipient, of a webhook its name."""
    message_id: str
    duplicate: bool
    """The receiver knew its idempotency key already, and did nothing."""
    outcome: str


@dataclass(slots=True)
class Observer:
    """Reads the sink's file and the delivery and enrollment events as they come."""

    sink_file: Path
    arrivals: list[Arrival] = field(default_factory=list)
    by_channel: Counter[str] = field(default_factory=Counter)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    """MessageSent by message id."""
    failed: dict[str, dict[str, Any]] = field(default_factory=dict)
    unknown: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_contact: dict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    """MessageSent by contact and step."""
    terminal: Counter[str] = field(default_factory=Counter)
    """Events that end a message, by message id, after de-duplication."""
    enrolled: set[str] = field(default_factory=set)
    completed: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    books: dict[str, dict[str, Any]] = field(default_factory=dict)
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _offset: int = 0

    async def watch(self, sluice: Sluice) -> None:
        """Follow the topics until cancelled; where Kafka was away, from the beginning, each event once."""
        names = (topics.DELIVERY_EVENTS, topics.ENROLLMENT_EVENTS, topics.DELIVERY_BOOKS)
        while True:
            try:
                async with sluice.events(*names, start="earliest") as stream:
                    async for event in stream:
                        if not event.gone and (event.source, event.id) not in self._seen:
                            self._seen.add((event.source, event.id))
                            self._note(event.name, dict(event.data))
            except Unreachable:
                await sleep(REOPEN_SECONDS)

    def read_sink(self) -> None:
        """Take in what the sink has written since the last look."""
        if not self.sink_file.exists():
            return
        with self.sink_file.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                row = orjson.loads(line)
                arrival = Arrival(
                    at=parse_timestamp(row["at"]),
                    channel="email" if row["channel"] == "smtp" else row["channel"],
                    to=row["to"],
                    message_id=row["message_id"],
                    duplicate=row["duplicate"],
                    outcome=row["outcome"],
                )
                self.arrivals.append(arrival)
                self.by_channel[arrival.channel] += 1

    async def until(
        self,
        what: str,
        happened: Callable[[], bool],
        *,
        seconds_max: float = 90.0,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Wait for what the outside shows; TooLate says what did not."""
        started = monotonic()
        while True:
            self.read_sink()
            if happened():
                return
            if monotonic() - started > seconds_max:
                raise TooLate(f"{what}: not within {seconds_max:.0f} s")
            meanwhile()
            await sleep(POLL_SECONDS)

    def _note(self, name: str, data: dict[str, Any]) -> None:
        match name:
            case "MessageSent":
                self.sent[data["message_id"]] = data
                self.by_contact[data["contact_id"]][data["step_id"]] = data
                self.terminal[data["message_id"]] += 1
            case "MessageFailed":
                self.failed[data["message_id"]] = data
                self.terminal[data["message_id"]] += 1
            case "MessageUnknown":
                self.unknown[data["message_id"]] = data
                self.by_contact[data["contact_id"]].setdefault(data["step_id"], data)
                self.terminal[data["message_id"]] += 1
            case "ContactEnrolled":
                self.enrolled.add(data["enrollment_id"])
            case "EnrollmentCompleted":
                self.completed.add(data["enrollment_id"])
            case "EnrollmentRefused":
                self.refused[data["code"]] += 1
            case "MessagesCounted":
                self.books[data["sequence_id"]] = data
            case _:
                pass


def after(arrivals: list[Arrival], moment: datetime, *, of: Collection[str] | None = None) -> int:
    """Arrivals later than a moment, of these messages or of all."""
    return sum(1 for a in arrivals if a.at > moment and (of is None or a.message_id in of))


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait until it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
