"""A history as it would be where everything works, to be broken by tests: one rule of each promise at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import orjson
from messaging import derive
from sluice_contracts import topics
from sluice_contracts.base import format_timestamp
from testkit.checker.history import Arrival, Asked, History, PutBack, Record, Row, Run
from testkit.checker.invariants.books import PLACES

START: Final = datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC)
SEQUENCE: Final = "welcome"
CLIENT: Final = "client"
LATENCY: Final = timedelta(milliseconds=20)
CHANNELS: Final = ("webhook", "email")
CONTROL_PARTITION: Final = 0
PUT_BACK: Final = START + timedelta(seconds=100)
OPENED: Final = PUT_BACK + timedelta(seconds=4)
SERVICES: Final = ("sequences", "enrollment", "delivery")


@dataclass
class Ideal:
    """Writes what a faultless run leaves behind."""

    delays: Sequence[int] = (0, 3, 2)
    contacts: int = 3
    pauses: Sequence[tuple[float, float, bool]] = ((4.0, 2.0, True),)
    """After so many seconds, for so many, and whether the clock stands still meanwhile."""
    records: list[Record] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    clients: list[Asked] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)
    version: int = 0
    epoch: int = 0
    offset_seconds: float = 0.0

    def history(self, **run: Any) -> History:
        """The whole run."""
        self.publish(START)
        self._walk()
        self._pause_all()
        self.remove("gone", at=START + timedelta(seconds=1))
        self.suspend(START + timedelta(seconds=200))
        self.poison(START + timedelta(seconds=220))
        self.erase("erased", START + timedelta(seconds=230))
        self.book()
        self.hold()
        self.records.sort(key=lambda one: (one.topic, one.at))
        ordered = self._renumbered()
        sizes = {"delivery.outbox": (0, 0), "delivery.claim": (0, 0)}
        canaries = {"erased": "canary-of-erased", SEQUENCE: "canary-of-welcome"}
        ended = START + timedelta(seconds=300)
        told = Run("ideal", 1, START, ended, sizes=sizes, canaries=canaries, put_backs=tuple(map(put_back, SERVICES)))
        return History(
            replace(told, **run), tuple(self.clients), tuple(self.arrivals), tuple(ordered), tuple(self.rows)
        )

    # -- what it consists of

    def say(self, topic: str, kind: str, key: str, data: Mapping[str, Any], *, at: datetime, **more: Any) -> None:
        """One record."""
        source = more.pop("source", topic.partition(".")[0])
        envelope = {
            "specversion": "1.0",
            "id": more.pop("id", derive(topic, kind, key, format_timestamp(at), str(len(self.records)))),
            "source": source,
            "type": f"{kind}.v1",
            "time": format_timestamp(at),
            "data": {name: format_timestamp(v) if isinstance(v, datetime) else v for name, v in data.items()},
            **more,
        }
        self.records.append(Record(topic, 0, len(self.records), at, key.encode(), orjson.dumps(envelope)))

    def command(self, kind: str, topic: str, data: Mapping[str, Any], result: Mapping[str, Any], at: datetime) -> str:
        """Asked and answered."""
        number = f"c{len(self.clients)}"
        heard = at + LATENCY
        self.clients.append(Asked(CLIENT, number, f"{kind}.v1", topic, "k", data, at, heard, {"result": result}))
        answer = {"command": {"source": CLIENT, "id": number, "type": f"{kind}.v1"}, "result": result}
        self.say(topics.ANSWERS_OF[topic], "CommandAccepted", number, answer, at=heard, correlationid=number)
        return number

    def publish(self, at: datetime) -> None:
        self.command("PublishSequence", topics.SEQUENCES_COMMANDS, {"sequence_id": SEQUENCE}, {"version": 1}, at)
        self._state("SequencePublished", at)

    def definition(self) -> dict[str, Any]:
        steps = [
            {"step_id": f"s{number}", "after": f"{delay}s", "message": {"channel": self._channel(number)}}
            for number, delay in enumerate(self.delays)
        ]
        return {"name": "Welcome", "steps": steps}

    def _state(self, kind: str, at: datetime, **more: Any) -> None:
        self.version += 1
        state = {
            "sequence_id": SEQUENCE,
            "state_version": self.version,
            "status": "active",
            "epoch": self.epoch,
            "version": 1,
            "published": self.definition(),
            "clock_offset_seconds": self.offset_seconds,
            "updated_at": at,
            **more,
        }
        self.say(topics.SEQUENCES_EVENTS, kind, SEQUENCE, state, at=at)

    def _pause_all(self) -> None:
        for paused_at, resumed_at, shifted in self._stretches():
            self.epoch += 1
            asked = {"sequence_id": SEQUENCE}
            self.command("PauseSequence", topics.SEQUENCES_COMMANDS, asked, {"epoch": self.epoch}, paused_at - LATENCY)
            self._state("SequencePaused", paused_at, status="paused", paused_at=paused_at)
            receipt = {"sequence_id": SEQUENCE, "epoch": self.epoch}
            closed = {**receipt, "closed_at": paused_at}
            halted = {**receipt, "dropped": 0, "in_flight": 0, "halted_at": paused_at}
            self.say(topics.ENROLLMENT_CONTROL, "EntryClosed", SEQUENCE, closed, at=paused_at)
            self.say(topics.DELIVERY_CONTROL, "SequenceHalted", SEQUENCE, halted, at=paused_at)
            receipts = {"entry_closed_at": paused_at, "halted_at": paused_at, "dropped": 0, "in_flight": 0}
            receipts = {name: format_timestamp(v) if isinstance(v, datetime) else v for name, v in receipts.items()}
            stopped_at = paused_at + timedelta(milliseconds=1)
            self._state("SequenceStopped", stopped_at, status="paused", paused_at=paused_at, receipts=receipts)
            self.epoch += 1
            self.offset_seconds += (resumed_at - paused_at).total_seconds() if shifted else 0.0
            self._state("SequenceResumed", resumed_at, paused_at=paused_at, resumed_at=resumed_at)

    def _walk(self) -> None:
        for number in range(self.contacts):
            at = START + timedelta(seconds=0.5, milliseconds=100 * number)
            self._journey(self.enter(f"c{number}", at), f"c{number}", at)

    def enter(self, contact: str, at: datetime) -> str:
        enrollment_id = derive("enrollment", contact, format_timestamp(at))
        asked = {"sequence_id": SEQUENCE, "contact_id": contact}
        told = {"enrollment_id": enrollment_id}
        cause = self.command("EnrollContact", topics.ENROLLMENT_COMMANDS, asked, told, at)
        entry = self._of(enrollment_id, contact, at) | {"via": "command", "contact_offset": 0}
        self.say(topics.ENROLLMENT_EVENTS, "ContactEnrolled", contact, entry, at=at, correlationid=cause)
        return enrollment_id

    def _journey(self, enrollment_id: str, contact: str, entered: datetime) -> None:
        active = entered
        for number, delay in enumerate(self.delays):
            due = self._shifted(self._standing(active), timedelta(seconds=delay))
            came = self._outside(due + LATENCY / 2)
            active = came + LATENCY / 2
            self._sent(enrollment_id, contact, number, due=due, came=came, ended=active)
        data = self._of(enrollment_id, contact, active)
        self.say(topics.DELIVERY_EVENTS, "StepsFinished", contact, data, at=active)
        self.say(topics.ENROLLMENT_EVENTS, "EnrollmentCompleted", contact, data, at=active)
        self._row_of(enrollment_id, "completed")

    def _sent(
        self, enrollment_id: str, contact: str, number: int, *, due: datetime, came: datetime, ended: datetime
    ) -> None:
        step, channel = f"s{number}", self._channel(number)
        message_id = derive(enrollment_id, step)
        about = (SEQUENCE, contact, step)
        self.arrivals.append(Arrival(came, channel, message_id, True, "accepted", contact, about))
        of_message = {"message_id": message_id, "step_id": step, "channel": channel, "attempt": 1}
        data = self._of(enrollment_id, contact, ended) | of_message | {"due_at": due, "sent_at": ended}
        self.say(topics.DELIVERY_EVENTS, "MessageSent", contact, data, at=ended)
        row = {
            "message_id": message_id,
            "enrollment_id": enrollment_id,
            "sequence_id": SEQUENCE,
            "outcome": "sent",
            "resolved_at": None,
        }
        self.rows.append(Row("delivery.message", row | {"ended_at": format_timestamp(ended)}))

    def remove(self, contact: str, *, at: datetime) -> None:
        """Somebody enters and is removed before anything is sent."""
        enrollment_id = self.enter(contact, at - LATENCY)
        removal = {"removal_id": f"removal-{contact}", "contact_id": contact, "enrollment_ids": [enrollment_id]}
        asked = {"contact_id": contact, "sequence_id": SEQUENCE}
        result = {"removal_id": removal["removal_id"], "removed": [enrollment_id]}
        self.command("RemoveContact", topics.ENROLLMENT_REMOVALS, asked, result, at)
        removed = {**removal, "sequence_id": SEQUENCE, "allow_reentry": False, "occurred_at": at}
        self.say(topics.ENROLLMENT_CONTROL, "ContactRemoved", contact, removed, at=at)
        self._row_of(enrollment_id, "removed")
        halted = {**removal, "dropped": 1, "in_flight": 0, "halted_at": at}
        self.say(topics.DELIVERY_CONTROL, "ContactHalted", contact, halted, at=at)

    def _row_of(self, enrollment_id: str, status: str) -> None:
        row = {"enrollment_id": enrollment_id, "sequence_id": SEQUENCE, "status": status}
        self.rows.append(Row("enrollment.enrollment", row))

    def hold(self) -> None:
        """The sequence, and its gate."""
        state = {"state_version": self.version, "status": "active", "epoch": self.epoch}
        self.rows.append(Row("sequences.sequence", {"sequence_id": SEQUENCE} | state))
        self.rows.append(Row("delivery.gate", {"sequence_id": SEQUENCE, "open": True} | state))

    def book(self) -> None:
        """All that was sent, and one that was dropped with a removal."""
        sent = sum(one.table == "delivery.message" for one in self.rows)
        books = {"sequence_id": SEQUENCE, "planned": sent + 1, "sent": sent, "dropped": 1}
        self.rows.append(Row("delivery.books", dict.fromkeys(PLACES, 0) | books))

    def suspend(self, at: datetime) -> None:
        scope, restored = {"scope": "channel:webhook"}, at + timedelta(seconds=2)
        self.command("SuspendDelivery", topics.DELIVERY_COMMANDS, scope, {"epoch": 1}, at - LATENCY)
        suspended = {**scope, "epoch": 1, "in_flight": 0, "halted_at": at}
        self.say(topics.DELIVERY_CONTROL, "DeliverySuspended", scope["scope"], suspended, at=at)
        again = {**scope, "epoch": 2, "restored_at": restored}
        self.say(topics.DELIVERY_CONTROL, "DeliveryRestored", scope["scope"], again, at=restored)

    def poison(self, at: datetime) -> None:
        headers: tuple[tuple[str, bytes | None], ...] = (("content-type", b"\xff"),)
        bad = Record(topics.ENROLLMENT_COMMANDS, 0, 7, at, b"k", b"\xfe{", headers)
        self.clients.append(Asked(CLIENT, "p1", "poison", bad.topic, "k", {}, at, kind="poison", record=bad))
        ours = tuple((f"sluice-quarantine-{name}", value) for name, value in _PLACE)
        self.records.append(replace(bad, topic=topics.ENROLLMENT_QUARANTINE, headers=(*headers, *ours)))
        asked = {"sequence_id": SEQUENCE, "contact_id": "c0"}
        self.command("EnrollContact", topics.ENROLLMENT_COMMANDS, asked, {"enrollment_id": self._first()}, at)
        self.clients[-1] = replace(self.clients[-1], kind="neighbour")
        self._no_poison(replace(bad, topic=topics.ENROLLMENT_EVENTS), "ignored", at)
        self._no_poison(replace(bad, offset=8), "refused", at)
        told = {"command": {"source": CLIENT, "id": "refused", "type": "refused"}, "code": "invalid"}
        self.say(topics.ENROLLMENT_ANSWERS, "CommandRejected", "refused", told, at=at)

    def _no_poison(self, record: Record, kind: Literal["ignored", "refused"], at: datetime) -> None:
        self.clients.append(Asked(CLIENT, kind, kind, record.topic, "k", {}, at, kind=kind, record=record))

    def erase(self, sequence_id: str, at: datetime) -> None:
        asked = {"sequence_id": sequence_id}
        self.command("DeleteSequence", topics.SEQUENCES_COMMANDS, asked, {"epoch": 1}, at - LATENCY)
        state = {
            "sequence_id": sequence_id,
            "state_version": 3,
            "status": "deleted",
            "epoch": 1,
            "updated_at": at,
            "clock_offset_seconds": 0.0,
        }
        self.say(topics.SEQUENCES_EVENTS, "SequenceDeleted", sequence_id, state, at=at)
        receipt = {"sequence_id": sequence_id, "epoch": 1}
        self.say(topics.ENROLLMENT_CONTROL, "EntryClosed", sequence_id, {**receipt, "closed_at": at}, at=at)
        halted = {**receipt, "dropped": 0, "in_flight": 0, "halted_at": at}
        self.say(topics.DELIVERY_CONTROL, "SequenceHalted", sequence_id, halted, at=at)
        done = at + timedelta(seconds=1)
        self.say(topics.SEQUENCES_CONTROL, "SequenceErasureCompleted", sequence_id, {**receipt, "rows": {}}, at=done)
        self.records.append(Record(topics.SEQUENCES_EVENTS, 0, 0, done, sequence_id.encode(), None))

    # -- clocks

    def _stretches(self) -> list[tuple[datetime, datetime, bool]]:
        return [
            (START + timedelta(seconds=begins), START + timedelta(seconds=begins + lasts), shifted)
            for begins, lasts, shifted in self.pauses
        ]

    def _shifted(self, base: datetime, delay: timedelta) -> datetime:
        """When something is due that has so long to go, the shifted pauses before it leaves not counted."""
        due = base + delay
        for begins, ends, shifted in self._stretches():
            if shifted and base <= begins <= due + LATENCY / 2:
                due += ends - begins
        return due

    def _standing(self, moment: datetime) -> datetime:
        """The moment itself, or the beginning of the pause that it falls into."""
        return next((begins for begins, ends, _ in self._stretches() if begins < moment < ends), moment)

    def _outside(self, moment: datetime) -> datetime:
        """The moment itself, or the end of the pause that it falls into."""
        return next((ends for begins, ends, _ in self._stretches() if begins <= moment < ends), moment)

    def _renumbered(self) -> list[Record]:
        """Offsets in the order of each topic."""
        numbered: dict[str, int] = {}
        found = []
        for record in self.records:
            numbered[record.topic] = numbered.get(record.topic, -1) + 1
            found.append(replace(record, offset=numbered[record.topic]))
        return found

    def _of(self, enrollment_id: str, contact: str, at: datetime) -> dict[str, Any]:
        ids = {"enrollment_id": enrollment_id, "contact_id": contact, "sequence_id": SEQUENCE}
        return ids | {"version": 1, "occurred_at": at}

    def _channel(self, number: int) -> str:
        return CHANNELS[number % len(CHANNELS)]

    def _first(self) -> str:
        return derive("enrollment", "c0", format_timestamp(START + timedelta(seconds=0.5)))


def put_back(service: str) -> PutBack:
    """All that was said is lost, noticed and adopted."""
    gone = PUT_BACK + timedelta(seconds=1)
    return PutBack(service, START - timedelta(seconds=1), PUT_BACK, gone, gone + timedelta(seconds=1), OPENED)


_PLACE: Final = (("topic", topics.ENROLLMENT_COMMANDS.encode()), ("partition", b"0"), ("offset", b"7"))
