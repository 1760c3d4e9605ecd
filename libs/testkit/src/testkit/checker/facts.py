"""A history as the invariants look at it: events in order, who was inside when, what each message is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from messaging import derive
from sluice_contracts import envelope, topics
from sluice_contracts.base import parse_after, parse_timestamp

from testkit.checker.history import Arrival, Asked, History, PutBack, Record

ENDS: Final = frozenset({"MessageSent", "MessageFailed", "MessageExpired"})
"""Events after which nothing becomes of a message any more."""
UNTOLD: Final = timedelta(seconds=2)
"""So long it may take until a send is told of: booked, and published behind other bulk."""
ENDED: Final[Mapping[str, Callable[[Mapping[str, Any]], list[str]]]] = {
    "EnrollmentCompleted": lambda data: [data["enrollment_id"]],
    "EnrollmentFailed": lambda data: [data["enrollment_id"]],
    "EnrollmentStopped": lambda data: [data["enrollment_id"]],
    "ContactRemoved": lambda data: data["enrollment_ids"],
}
"""The enrollments that each event ends."""
STATES: Final = frozenset({topics.SEQUENCES_EVENTS, topics.SEQUENCES_VERSIONS})
"""Topics of which whoever is new reads the last record of each key."""
OWNERS: Final = frozenset({"sequences", "enrollment", "delivery"})


@dataclass(frozen=True, slots=True)
class Event:
    """One event or answer, as it first stands on its topic."""

    topic: str
    partition: int
    offset: int
    at: datetime
    key: str
    name: str
    source: str
    id: str
    correlation_id: str | None
    data: Mapping[str, Any]

    @property
    def says(self) -> tuple[str, Mapping[str, Any]]:
        """What it tells, wherever and whenever it stands."""
        return self.name, self.data

    def time(self, name: str) -> datetime:
        """A time among its data."""
        return parse_timestamp(self.data[name])


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that is over; what the active clock was behind before and after it."""

    paused_at: datetime
    resumed_at: datetime
    shifted: timedelta


@dataclass(slots=True)
class Life:
    """One sequence."""

    states: list[Event] = field(default_factory=list)
    versions: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    published_at: dict[int, datetime] = field(default_factory=dict)
    gone: bool = False

    @property
    def status(self) -> str:
        """As it was left."""
        return "deleted" if self.gone or not self.states else str(self.states[-1].data["status"])

    def opened_after(self, epoch: int) -> datetime | None:
        """When it ran again after a stop of that epoch; None where it never did."""
        return min((parse_timestamp(one.data["resumed_at"]) for one in self._open_after(epoch)), default=None)

    def state_after(self, epoch: int) -> Event | None:
        """The first state in which it runs again after a stop of that epoch."""
        return next(self._open_after(epoch), None)

    def _open_after(self, epoch: int) -> Iterator[Event]:
        return (
            one
            for one in self.states
            if one.data["status"] == "active" and one.data["epoch"] > epoch and one.data.get("resumed_at")
        )

    def pauses(self) -> list[Pause]:
        """In their order."""
        found: list[Pause] = []
        offset = 0.0
        for state in self.states:
            data = state.data
            resumed = data.get("resumed_at")
            if data["status"] == "active" and resumed is not None:
                at, now = parse_timestamp(resumed), float(data["clock_offset_seconds"])
                if not found or found[-1].resumed_at != at:
                    found.append(Pause(parse_timestamp(data["paused_at"]), at, timedelta(seconds=now - offset)))
                offset = now
        return found

    def steps_since(self, version: int, until: datetime) -> list[dict[str, Mapping[str, Any]]]:
        """The steps of each version that somebody who entered `version` may have run under up to a moment."""
        return [
            {step["step_id"]: step for step in definition.get("steps", ())}
            for number, definition in sorted(self.versions.items())
            if number >= version and (number == version or self.published_at[number] <= until)
        ]


@dataclass(slots=True)
class Entry:
    """One enrollment."""

    event: Event
    ended_at: datetime | None = None
    how: str | None = None

    @property
    def id(self) -> str:
        return str(self.event.data["enrollment_id"])

    @property
    def sequence_id(self) -> str:
        return str(self.event.data["sequence_id"])

    @property
    def contact_id(self) -> str:
        return str(self.event.data["contact_id"])

    @property
    def version(self) -> int:
        return int(self.event.data["version"])

    @property
    def at(self) -> datetime:
        return self.event.time("occurred_at")

    def __str__(self) -> str:
        return f"enrollment {self.id} ({self.contact_id} in {self.sequence_id})"


@dataclass(frozen=True, slots=True)
class Told:
    """How often each was told of one message."""

    ended: int
    unknown: int
    resolved: int
    retried: int
    """Resolved to be tried again."""

    @property
    def ends(self) -> int:
        """How often nothing was to become of it any more."""
        return self.ended + self.unknown - self.retried


class Facts:
    """Everything is computed once, when it is first asked for."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.run = history.run

    @cached_property
    def events(self) -> list[Event]:
        """Every event and answer, each (source, id) once where it first stands; by partition in its order."""
        return [said[0] for said in self._said.values()]

    @cached_property
    def said_otherwise(self) -> list[tuple[Event, Event]]:
        """Where a (source, id) stands again on its topic with other data: as it first stood, and as it stands then."""
        return [(first, one) for first, *more in self._said.values() for one in more if one.says != first.says]

    @cached_property
    def _said(self) -> dict[tuple[str, str, str], list[Event]]:
        found: dict[tuple[str, str, str], list[Event]] = {}
        for record in sorted(self.history.records, key=lambda one: (one.topic, one.partition, one.offset)):
            if record.topic in topics.QUARANTINES:
                continue
            event = event_of(record)
            if event is not None and _is_its_own(event):
                found.setdefault((record.topic, event.source, event.id), []).append(event)
        return found

    @cached_property
    def states(self) -> dict[tuple[str, str], list[tuple[Record, Event | None]]]:
        """Every record of each topic and key of STATES in its order, repetitions too; None for a tombstone."""
        found: dict[tuple[str, str], list[tuple[Record, Event | None]]] = defaultdict(list)
        for record in sorted(self.history.records, key=lambda one: (one.topic, one.partition, one.offset)):
            if record.topic in STATES:
                event = event_of(record)
                key = (record.topic, (record.key or b"").decode(errors="replace"))
                if record.value is None or (event is not None and _is_its_own(event)):
                    found[key].append((record, event))
        return {key: told for key, told in found.items() if any(event is not None for _, event in told)}

    @cached_property
    def named(self) -> Mapping[str, list[Event]]:
        """By their name, without the version."""
        found: dict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            found[event.name].append(event)
        return found

    @cached_property
    def lives(self) -> dict[str, Life]:
        """Of every sequence that is told of."""
        found: dict[str, Life] = defaultdict(Life)
        for event in self.events:
            if event.topic == topics.SEQUENCES_EVENTS:
                found[event.key].states.append(event)
        for record in self.history.records:
            if record.topic == topics.SEQUENCES_EVENTS and record.value is None and record.key is not None:
                found[record.key.decode(errors="replace")].gone = True
        for life in found.values():
            life.states.sort(key=lambda one: one.data["state_version"])
            for state in life.states:
                version, definition = state.data.get("version"), state.data.get("published")
                if version is not None and definition is not None and version not in life.versions:
                    life.versions[version] = definition
                    life.published_at[version] = parse_timestamp(state.data["updated_at"])
        return dict(found)

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Of every enrollment, by its id."""
        found = {event.data["enrollment_id"]: Entry(event) for event in self.named.get("ContactEnrolled", ())}
        for event, enrollment_id in self.ends:
            _end(found.get(enrollment_id), event, event.name)
        return found

    @cached_property
    def ends(self) -> list[tuple[Event, str]]:
        """Every end of an enrollment that was told of, as the records came."""
        ended = [event for name in ENDED for event in self.named.get(name, ())]
        return [
            (event, one) for event in sorted(ended, key=lambda one: one.at) for one in ENDED[event.name](event.data)
        ]

    @cached_property
    def of_message(self) -> dict[str, tuple[Entry, str]]:
        """The enrollment and step that a message id is derived from."""
        found: dict[str, tuple[Entry, str]] = {}
        for entry in self.entries.values():
            life = self.lives.get(entry.sequence_id)
            steps = {step["step_id"] for one in (life.versions.values() if life else ()) for step in one["steps"]}
            for step_id in steps:
                found[derive(entry.id, step_id)] = (entry, step_id)
        return found

    @cached_property
    def messages(self) -> dict[str, list[Event]]:
        """What was told of each message, in its order."""
        found: dict[str, list[Event]] = defaultdict(list)
        for event in self.events:
            if event.topic == topics.DELIVERY_EVENTS and "message_id" in event.data:
                found[event.data["message_id"]].append(event)
        return dict(found)

    @cached_property
    def accepted(self) -> dict[str, list[Arrival]]:
        """What sinks took, by message id, in order of their clocks."""
        found: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in sorted(self.history.arrivals, key=lambda one: one.at):
            if arrival.accepted and arrival.message_id is not None:
                found[arrival.message_id].append(arrival)
        return dict(found)

    @cached_property
    def came(self) -> dict[str, list[Arrival]]:
        """Everything that came, whether or not the sink took it, by message id."""
        found: dict[str, list[Arrival]] = defaultdict(list)
        for arrival in sorted(self.history.arrivals, key=lambda one: one.at):
            if arrival.message_id is not None:
                found[arrival.message_id].append(arrival)
        return dict(found)

    @cached_property
    def rows(self) -> Mapping[str, list[Mapping[str, Any]]]:
        """By table."""
        found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self.history.rows:
            found[row.table].append(row.row)
        return found

    @cached_property
    def ended(self) -> dict[str, list[Mapping[str, Any]]]:
        """The history that delivery keeps, by message id; what was erased is not there."""
        found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in self.rows.get("delivery.message", ()):
            found[row["message_id"]].append(row)
        return dict(found)

    @cached_property
    def courses(self) -> dict[str, list[tuple[datetime, Mapping[str, Any]]]]:
        """The same by enrollment, with when each ended, in that order."""
        found: dict[str, list[tuple[datetime, Mapping[str, Any]]]] = defaultdict(list)
        for row in self.rows.get("delivery.message", ()):
            found[row["enrollment_id"]].append((parse_timestamp(row["ended_at"]), row))
        for course in found.values():
            course.sort(key=lambda one: one[0])
        return dict(found)

    @cached_property
    def answers(self) -> dict[tuple[str, str], list[Event]]:
        """By source and id of the command, repeats left out."""
        found: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in self.events:
            if event.topic in topics.ANSWER_TOPICS:
                found[event.data["command"]["source"], event.data["command"]["id"]].append(event)
        return dict(found)

    @cached_property
    def commands(self) -> list[Asked]:
        """All that are to be answered."""
        return [one for one in self.history.clients if one.kind not in ("poison", "ignored")]

    def name_of(self, message_id: str) -> str:
        """A message as sentences name it."""
        known = self.of_message.get(message_id)
        return f"message {message_id}" + (f" (step {known[1]} of {known[0]})" if known else "")

    def forgotten(self, message_id: str) -> list[PutBack]:
        """Each time that delivery's database was put back when a message had come and nothing was told of it."""
        told = [event.at for event in self.messages.get(message_id, ())]
        return [
            one
            for one in self.run.put_backs
            if one.service == "delivery"
            and any(one.since - UNTOLD < arrival.at < one.until for arrival in self.came.get(message_id, ()))
            and not any(at < one.until for at in told)
        ]

    def remembered(self, message_id: str, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Without those that are forgotten."""
        since = max((one.until for one in self.forgotten(message_id)), default=None)
        return [one for one in arrivals if since is None or since < one.at]

    def told_of(self, message_id: str) -> Told:
        """What was told to become of a message, counted."""
        told = self.messages.get(message_id, [])
        resolved = [one for one in told if one.name == "MessageResolved"]
        return Told(
            ended=sum(one.name in ENDS for one in told),
            unknown=sum(one.name == "MessageUnknown" for one in told),
            resolved=len(resolved),
            retried=sum(one.data["outcome"] == "retry" for one in resolved),
        )


def event_of(record: Record) -> Event | None:
    """The event in a record; None for a tombstone, and for what is no valid envelope."""
    if record.value is None:
        return None
    try:
        found = envelope.decode(record.value, record.headers)
    except envelope.InvalidEnvelope:
        return None
    return Event(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        at=record.at,
        key=(record.key or b"").decode(errors="replace"),
        name=found.type.partition(".")[0],
        source=found.source,
        id=found.id,
        correlation_id=found.correlation_id,
        data=found.data,
    )


def _is_its_own(event: Event) -> bool:
    """Whether it is of the service whose topic it stands on: what others write there is a test's poison."""
    owner = event.topic.partition(".")[0]
    return owner not in OWNERS or event.topic in topics.COMMAND_TOPICS or event.source == owner


def standing(moment: datetime, pauses: Sequence[Pause]) -> datetime:
    """The active clock stands still in a pause: what ended in one counts from its beginning."""
    return next((one.paused_at for one in pauses if one.paused_at < moment < one.resumed_at), moment)


def delay_of(step: Mapping[str, Any]) -> timedelta:
    """The delay of a step of a definition."""
    return parse_after(step["after"])


def places(versions: Sequence[Mapping[str, Any]]) -> set[str]:
    """The steps that all versions have."""
    sets = [set(steps) for steps in versions]
    return set.intersection(*sets) if sets else set()


def _end(entry: Entry | None, event: Event, how: str) -> None:
    at = event.time("occurred_at")
    if entry is not None and (entry.ended_at is None or at < entry.ended_at):
        entry.ended_at, entry.how = at, how
