"""What the outside sees of each contact and sequence: the events, in the order of their times."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from chassis.clock import monotonic, sleep
from sluice import Event, EventStream
from sluice_contracts import topics
from sluice_contracts.base import parse_timestamp

TOPICS: Final = (
    topics.SEQUENCES_EVENTS,
    topics.ENROLLMENT_EVENTS,
    topics.ENROLLMENT_CONTROL,
    topics.DELIVERY_EVENTS,
    topics.DELIVERY_CONTROL,
    topics.ERASURE_RECEIPTS,
)
POLL_SECONDS: Final = 0.02
WAIT_SECONDS_MAX: Final = 60.0
TO_MINUTES: Final = 5

Pair = tuple[str, str]
"""A sequence and a contact."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One event of a contact in a sequence, as a line shows it."""

    at: datetime
    text: str


@dataclass(slots=True)
class Seen:
    """All events since the run began."""

    sequences: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    contacts: dict[Pair, list[Moment]] = field(default_factory=lambda: defaultdict(list))
    messages: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    control: list[Event] = field(default_factory=list)
    _watching: "asyncio.Task[None] | None" = None

    def begin(self, stream: EventStream) -> None:
        """From now on; the stream is open already."""
        self._watching = asyncio.create_task(self._watch(stream))

    async def end(self) -> None:
        """No more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def until(self, what: str, happened: Callable[[], bool]) -> None:
        """Wait for an event; AssertionError where it does not come."""
        deadline = monotonic() + WAIT_SECONDS_MAX
        while not happened():
            if monotonic() > deadline:
                raise AssertionError(f"{what}: not within {WAIT_SECONDS_MAX:.0f} s")
            await sleep(POLL_SECONDS)

    def line(self, sequence_id: str, contact_id: str, *, start: datetime) -> str:
        """What happened to a contact in a sequence, with the time since `start`."""
        moments = sorted(self.contacts[sequence_id, contact_id], key=lambda moment: moment.at)
        return " · ".join(f"{one.text} {since(one.at - start)}" for one in moments) or "nothing"

    async def _watch(self, stream: EventStream) -> None:
        async for event in stream:
            if event.topic == topics.SEQUENCES_EVENTS:
                self.sequences[event.key].append(event)
                continue
            if event.topic in (topics.DELIVERY_CONTROL, topics.ERASURE_RECEIPTS):
                self.control.append(event)
                continue
            self._note(event)

    def _note(self, event: Event) -> None:
        data = event.data
        if event.topic == topics.DELIVERY_EVENTS and "message_id" in data:
            self.messages[data["message_id"]] = data
        if event.name == "ContactRemoved":
            self._removed(event)
            return
        text = _text(event)
        if text is not None:
            at = parse_timestamp(data.get("sent_at") or data["occurred_at"])
            self.contacts[data["sequence_id"], data["contact_id"]].append(Moment(at, text))

    def _removed(self, event: Event) -> None:
        """A removal names enrollments, not their sequences: it shows in every sequence that knows the contact."""
        at = parse_timestamp(event.data["occurred_at"])
        for sequence_id, contact_id in list(self.contacts):
            named = event.data.get("sequence_id")
            if contact_id == event.data["contact_id"] and named in (None, sequence_id):
                self.contacts[sequence_id, contact_id].append(Moment(at, "removed"))


def since(passed: timedelta) -> str:
    """`0`, `2h`, `1d3h`, `45m`: to five minutes, for the clock goes on while the services work."""
    minutes = TO_MINUTES * round(passed / timedelta(minutes=TO_MINUTES))
    sign, minutes = ("-", -minutes) if minutes < 0 else ("", minutes)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{days}d" if days else "", f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    return sign + ("".join(parts) or "0")


def _text(event: Event) -> str | None:
    data = event.data
    match event.name:
        case "ContactEnrolled":
            return None if data["via"] in ("command", "import") else f"entered by {data['via']}"
        case "EnrollmentRefused":
            return f"refused: {data['code']}"
        case "EnrollmentCompleted":
            return "completed"
        case "EnrollmentFailed":
            return "failed"
        case "EnrollmentStopped":
            return f"stopped: {data['reason']}"
        case "MessageSent":
            return f"{data['step_id']}"
        case "MessageFailed":
            return f"{data['step_id']} refused"
        case "MessageExpired":
            return f"{data['step_id']} expired ({data['reason']})"
        case "MessageUnknown":
            return f"{data['step_id']} unknown"
        case "MessageResolved":
            return f"{data['step_id']} resolved: {data['outcome']} by {data['by']}"
        case "StopConditionMet":
            return f"kept back: {data['condition']}"
        case _:
            return None
