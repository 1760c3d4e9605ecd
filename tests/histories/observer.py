"""The model as a whole: told of each step, it says at once where the services and the words disagree."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
from delivery.store.booking import Booking
from messaging.outbox import Queued

from tests.histories.delivery_model import DeliveryModel
from tests.histories.delivery_state import SLACK
from tests.histories.enrollment_model import EnrollmentModel
from tests.histories.reference import Option
from tests.histories.sequences_model import SequencesModel
from tests.pump.senders import Attempt
from tests.pump.topics import Record
from tests.pump.world import Held

_ROWS = """
select enrollment_id::text, step_id, version, due_active, token is not null as claimed, lane is null as unplanned
from delivery.pending
"""
_MESSAGES = "select enrollment_id::text, step_id, outcome from delivery.message"
_BOOKS = """
select sequence_id, sum(planned)::int as planned, sum(pending)::int as pending, sum(claimed)::int as claimed,
    sum(sent)::int as sent, sum(failed)::int as failed, sum(dropped)::int as dropped, sum(expired)::int as expired,
    sum(unknown)::int as unknown
from (
    select sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown from delivery.books
    union all
    select sequence_id, planned, pending, claimed, sent, failed, dropped, expired, unknown from delivery.books_delta
) as parts group by sequence_id
"""
_ENROLLMENTS = "select enrollment_id::text, status from enrollment.enrollment"


@dataclass
class Model:
    """An `Observer` of the pump."""

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sequences: SequencesModel = field(default_factory=SequencesModel)
    enrollment: EnrollmentModel = field(default_factory=EnrollmentModel)

    def __post_init__(self) -> None:
        self.delivery = DeliveryModel(self.sequences.known, self.monotonic)

    def heard(self, service: str, records: Sequence[Record]) -> None:
        """Each service knows what it has heard, and no more."""
        self.enrollment.check_step()
        for record in records:
            if service == "sequences":
                self.sequences.hear(record)
            elif service == "enrollment":
                self.enrollment.hear(record, self.now())
            else:
                self.delivery.hear(record)
        for name, version in self.sequences.published:
            self.delivery.publish(name, version)
        self.sequences.published.clear()

    def said(self, service: str, row: Queued) -> None:
        """Nothing is said that does not follow."""
        record = Record(row.topic, 0, 0, row.key, row.value)
        assert not row.topic.endswith(".quarantine"), f"{service} could not handle {record.value!r}"
        if service == "sequences":
            self._sequences(record)
        elif service == "enrollment":
            self.enrollment.said(record, self.now())
        else:
            self.delivery.said(record, self.now())

    def _sequences(self, record: Record) -> None:
        if record.topic == "sequences.events":
            self.sequences.said(record, self.now())
        elif record.topic == "sequences.answers":
            data = record.data
            wanted = self.sequences.answers[data["command"]["id"]]
            code = ("accepted", data["result"]) if record.type == "CommandAccepted" else ("rejected", data["code"])
            assert code == wanted, f"{data['command']} was answered {code}, should be {wanted}"

    def claimed(self, rows: Sequence[Held]) -> None:
        """They were due."""
        for row in rows:
            self.delivery.claim(row, self.now())

    def began(self, row: Held, attempt: Attempt) -> None:
        """It may leave."""
        self.delivery.begin(row, attempt)

    def ended(self, row: Held, attempt: Attempt, *, arrived: bool) -> None:
        """It has arrived once."""
        self.delivery.end(row, attempt, arrived=arrived)

    def booked(self, bookings: Sequence[Booking]) -> None:
        """What a sender has written."""
        for one in bookings:
            self.delivery.book(one.enrollment_id, one.token, str(one.ending), self.now(), in_doubt=one.in_doubt)

    def reported(self, message_id: str, kind: str) -> None:
        """What a provider says."""
        self.delivery.reports.append((message_id, kind))

    def lapsed(self, token: int) -> None:
        """What the reaper has taken."""
        self.delivery.lapse(token, self.now())

    def gave_back(self, tokens: Collection[int], kept: Collection[str]) -> None:
        """What a sender has given back."""
        self.delivery.give_back(tokens, kept)

    async def check_quiet(self, conn: asyncpg.Connection) -> None:
        """All is quiet: the model and the tables agree on who got what, who waits for what, and on the books."""
        self.enrollment.check_step()
        self.sequences.check_quiet(self.now())
        self.enrollment.check_quiet(self.now())
        self.delivery.check_quiet(self.now())
        await self._check_queue(conn)
        await self._check_history(conn)
        await self._check_books(conn)
        statuses = {row[0]: row[1] for row in await conn.fetch(_ENROLLMENTS)}
        assert statuses == {one.enrollment_id: one.status for one in self.enrollment.enrollments.values()}

    async def _check_queue(self, conn: asyncpg.Connection) -> None:
        wanted = {one: row for one, row in self.delivery.rows.items() if row.sequence_id not in self.delivery.deleted}
        found: dict[str, Any] = {row["enrollment_id"]: row for row in await conn.fetch(_ROWS)}
        assert found.keys() == wanted.keys(), f"in the queue are {sorted(found)}, should be {sorted(wanted)}"
        for enrollment_id, row in wanted.items():
            one = found[enrollment_id]
            assert not one["claimed"]
            if one["unplanned"] and row.waits:
                # Who entered while the pause was on its way is planned when it is over.
                assert self.sequences.known[row.sequence_id].status == "paused", f"{row} is not planned"
                continue
            option = Option(one["step_id"], one["version"])
            assert option in row.options, f"{enrollment_id} waits for {option}, should be one of {row.options}"
            self.delivery._pin(row, option)
            if row.unknown_since is not None:
                continue
            if not row.late and not (row.spared and self.delivery.marks[row.sequence_id]):
                low = self.delivery._due(row, row.low, option) - SLACK
                high = self.delivery._due(row, row.high, option) + SLACK
                assert low <= one["due_active"] <= high, f"{row} is due at {one['due_active']}: not in {low}..{high}"

    async def _check_history(self, conn: asyncpg.Connection) -> None:
        delivery = self.delivery
        wanted = {
            (one, step, outcome)
            for (one, step), outcome in delivery.history.items()
            if delivery.of_sequence[one] not in delivery.deleted
        }
        rows = [tuple(row) for row in await conn.fetch(_MESSAGES)]
        assert len(rows) == len(set(rows))
        assert set(rows) == wanted, f"{set(rows) ^ wanted} differ"

    async def _check_books(self, conn: asyncpg.Connection) -> None:
        for row in await conn.fetch(_BOOKS):
            name = row["sequence_id"]
            found = {counter: count for counter, count in dict(row).items() if counter != "sequence_id" and count}
            wanted = self.delivery.wanted_books(name)
            assert found == wanted, f"the books of {name} say {found}, should say {wanted}"
