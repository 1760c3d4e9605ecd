"""What the outside sees of one test's sequence and contacts: events on the topics, arrivals at the sink."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson
from chassis.clock import monotonic, sleep
from sluice import Event, EventStream
from sluice_contracts import topics
from sluice_contracts.base import parse_timestamp

POLL_SECONDS: Final = 0.03
WAIT_SECONDS_MAX: Final = 60.0
TOPICS: Final = (
    topics.SEQUENCES_EVENTS,
    topics.ENROLLMENT_EVENTS,
    topics.ENROLLMENT_CONTROL,
    topics.DELIVERY_EVENTS,
    topics.DELIVERY_CONTROL,
)
ENDS: Final = ("MessageSent", "MessageFailed", "MessageExpired", "MessageUnknown")
"""The events that end a message."""

Step = tuple[str, str]
"""A contact and a step."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as the sink got it, on the sink's clock."""

    at: datetime
    channel: str
    to: str
    message_id: str | None
    subject: str | None
    body: str
    accepted: bool
    """It counts as delivered there: taken for the first time, whether or not that was answered."""
    outcome: str


@dataclass(slots=True)
class Outside:
    """Collects what begins with `prefix` (ids), or goes to a number that does with `number`, from one moment on."""

    prefix: str
    number: str
    sink_file: Path
    arrivals: list[Arrival] = field(default_factory=list)
    happened: list[Event] = field(default_factory=list)
    _offset: int = 0
    _watching: "asyncio.Task[None] | None" = None

    def begin(self, stream: EventStream) -> None:
        """From now on; the stream is open already."""
        self._offset = self.sink_file.stat().st_size if self.sink_file.exists() else 0
        self._watching = asyncio.create_task(self._watch(stream))

    async def end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The data of every event of that name so far, each once."""
        return [dict(event.data) for event in self.happened if event.name == name]

    def sent(self) -> Counter[Step]:
        """How often each step of each contact was said to be sent."""
        return Counter((data["contact_id"], data["step_id"]) for data in self.events("MessageSent"))

    def ended(self) -> Counter[str]:
        """How many events ended each message, by message id."""
        return Counter(data["message_id"] for name in ENDS for data in self.events(name))

    def accepted(self, channel: str | None = None) -> list[Arrival]:
        """What the sink took as new, of one channel or of all."""
        return [one for one in self.arrivals if one.accepted and channel in (None, one.channel)]

    async def until(self, what: str, happened: Callable[[], bool], *, seconds_max: float = WAIT_SECONDS_MAX) -> None:
        """Wait for what the outside shows; fails, with what is known, where it does not in time."""
        deadline = monotonic() + seconds_max
        while True:
            self.read_sink()
            if happened():
                return
            if self._watching is not None and self._watching.done():
                self._watching.result()
            if monotonic() > deadline:
                raise AssertionError(f"{what}: not within {seconds_max:.0f} s; {self._summary()}")
            await sleep(POLL_SECONDS)

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
                self._note(orjson.loads(line))

    def _note(self, row: dict[str, Any]) -> None:
        to = row["to"] or ""
        if to.startswith(self.prefix) or to.lstrip("+").startswith(self.number):
            self.arrivals.append(
                Arrival(
                    at=parse_timestamp(row["at"]),
                    channel="email" if row["channel"] == "smtp" else row["channel"],
                    to=to,
                    message_id=row["message_id"],
                    subject=row["subject"],
                    body=row.get("body", ""),
                    accepted=row["accepted"],
                    outcome=row["outcome"],
                )
            )

    async def _watch(self, stream: EventStream) -> None:
        async for event in stream:
            sequence_id = event.data.get("sequence_id")
            if event.key.startswith(self.prefix) or str(sequence_id).startswith(self.prefix):
                self.happened.append(event)

    def _summary(self) -> str:
        events = Counter(event.name for event in self.happened)
        arrivals = Counter(f"{one.channel} {one.outcome}" for one in self.arrivals)
        return f"events: {dict(events)}, arrivals: {dict(arrivals)}"
