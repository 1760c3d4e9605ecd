"""One sender process: claim, check, send, book; as much at once as its channels have room for."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import structlog
from chassis.backoff import delays
from chassis.clock import monotonic, sleep, sleep_unless
from chassis.health import Health
from chassis.pool import Pool, is_transient
from messaging import derive
from prometheus_client import Counter as Metric
from sluice_contracts.delivery import MessageFailed, MessageSent, MessageUnknown, StepsFinished
from sluice_contracts.envelope import Envelope, encode

from delivery.channels.base import Channel, Outcome, Result, SendStopped
from delivery.domain.plan import next_step
from delivery.send import claim as claims
from delivery.send.book import Booking, Ending, book
from delivery.send.claim import Claimed
from delivery.send.contents import Contents, NoContent
from delivery.send.control import Control

log = structlog.get_logger()

SENDS: Final = Metric("sluice_sends", "Messages by channel and how the claim ended.", ["channel", "ending"])

PROBE_SECONDS: Final = 0.05
CLAIM_ROWS_MAX: Final = 500
BOOK_ROWS_MAX: Final = 500
BOOK_WAIT_SECONDS: Final = 0.005
ATTEMPTS_MAX: Final = 12
RETRY_SECONDS_BASE: Final = 1.0
RETRY_SECONDS_MAX: Final = 900.0
STALL_SECONDS_MAX: Final = 60.0


@dataclass(frozen=True, slots=True)
class SendLimits:
    """The bounds of one sender process, in seconds."""

    lease_seconds_max: float
    """From before the claim was asked for; the reaper waits longer than this."""
    send_seconds_max: float
    """No single send takes longer."""
    margin_seconds: float


@dataclass(slots=True)
class Lane:
    """One channel's queue of claimed messages, and how many it takes at once."""

    channel: Channel
    room: int
    waiting: deque["Work"] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    held: int = 0
    """Claimed and not yet ended."""


@dataclass(slots=True)
class Work:
    """One claimed message on its way."""

    row: Claimed
    start_before: float
    """On the monotonic clock: later, the lease might end before the send does."""


class Sender:
    """Sends what is due until stopped; then it gives back what it has not started and finishes what it has."""

    def __init__(
        self,
        pool: Pool,
        *,
        source: str,
        owner: str,
        channels: Mapping[str, Channel],
        rooms: Mapping[str, int],
        control: Control,
        limits: SendLimits,
        health: Health,
    ) -> None:
        self._pool = pool
        self._source = source
        self._owner = owner
        self._control = control
        self._limits = limits
        self._health = health
        self._contents = Contents(pool)
        self._lanes = {f"{name}:": Lane(channel, rooms[name]) for name, channel in channels.items()}
        self._open: dict[int, int] = {}
        self._bookings: list[Booking] = []
        self._booking_woken = asyncio.Event()
        self._room_woken = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Claim, send and book until stopped."""
        sent = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            booker = group.create_task(self._book_until(sent))
            workers = [group.create_task(self._work(lane)) for lane in self._lanes.values() for _ in range(lane.room)]
            for channel in {id(lane.channel): lane.channel for lane in self._lanes.values()}.values():
                await channel.open()
            await self._claim_until(stop)
            await self._drain()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            sent.set()
            self._booking_woken.set()
            await booker
            for channel in {id(lane.channel): lane.channel for lane in self._lanes.values()}.values():
                await channel.close()

    # -- claiming

    async def _claim_until(self, stop: asyncio.Event) -> None:
        due: list[tuple[str, str]] = []
        waits = delays(0.05, 5.0)
        while not stop.is_set():
            self._health.beat("claims", every_seconds_max=STALL_SECONDS_MAX)
            self._room_woken.clear()
            rooms = self._rooms()
            if not rooms or not self._control.fresh():
                await self._pause(PROBE_SECONDS)
                continue
            try:
                due = [place for place in due if place[1] in rooms] or await self._probe(rooms)
                if not due:
                    await sleep_unless(stop, PROBE_SECONDS)
                    continue
                due = await self._claim(due, rooms)
                waits = delays(0.05, 5.0)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("claim_retried", error=type(error).__name__)
                await sleep_unless(stop, next(waits))

    def _rooms(self) -> dict[str, int]:
        """How much each lane takes now. A lane with little room waits for more, so that claims stay worth their price."""
        free = {name: min(lane.room - lane.held, CLAIM_ROWS_MAX) for name, lane in self._lanes.items()}
        return {name: room for name, room in free.items() if room >= max(1, self._lanes[name].room // 4)}

    async def _probe(self, rooms: Mapping[str, int]) -> list[tuple[str, str]]:
        async with self._pool.acquire() as conn:
            due = await claims.probe(conn, list(rooms))
        random.shuffle(due)
        return due

    async def _claim(self, due: Sequence[tuple[str, str]], rooms: Mapping[str, int]) -> list[tuple[str, str]]:
        """Claim once, round robin over what is due; what is still due comes back, those not asked first."""
        asked: dict[tuple[str, str], int] = {}
        for lane, room in rooms.items():
            places = [place for place in due if place[1] == lane]
            share = -(-room // len(places)) if places else 0
            for place in places[: -(-room // share) if share else 0]:
                asked[place] = share
        lease_from = monotonic()
        async with self._pool.acquire() as conn:
            rows = await claims.claim(conn, asked, owner=self._owner)
        await self._take(rows, lease_from)
        got: dict[tuple[str, str], int] = {}
        for row in rows:
            got[row.sequence_id, row.lane] = got.get((row.sequence_id, row.lane), 0) + 1
        return [place for place in due if place not in asked] + [p for p in asked if got.get(p, 0) >= asked[p]]

    async def _take(self, rows: Sequence[Claimed], lease_from: float) -> None:
        if not rows:
            return
        limits = self._limits
        start_before = lease_from + limits.lease_seconds_max - limits.send_seconds_max - limits.margin_seconds
        self._open[rows[0].token] = len(rows)
        for row in rows:
            self._lanes[row.lane].held += 1
        try:
            await self._contents.load(rows)
        except Exception as error:
            log.warning("definitions_not_loaded", error=type(error).__name__)
            for row in rows:
                self._end(row, Ending.RELEASED)
            return
        for row in rows:
            lane = self._lanes[row.lane]
            lane.waiting.append(Work(row, start_before))
            lane.woken.set()

    async def _pause(self, seconds: float) -> None:
        """Until there is room, or a moment is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._room_woken.wait()
        except TimeoutError:
            return

    async def _drain(self) -> None:
        """Give back what was not started; wait for what was."""
        for lane in self._lanes.values():
            while lane.waiting:
                self._end(lane.waiting.popleft().row, Ending.RELEASED)
        while any(lane.held for lane in self._lanes.values()):
            self._room_woken.clear()
            await self._pause(0.1)

    # -- sending

    async def _work(self, lane: Lane) -> None:
        while True:
            while not lane.waiting:
                lane.woken.clear()
                await lane.woken.wait()
            await self._send(lane, lane.waiting.popleft())

    async def _send(self, lane: Lane, work: Work) -> None:
        row = work.row
        if row.attempt == 1 and row.version != row.newest:
            self._end(row, Ending.RELEASED)  # outdated by an edit: it is planned again, not sent
            return
        if row.attributes is None or row.gone:
            self._end(row, Ending.RETRY, Result.retry("contact_not_heard", "the contact is not known here yet"))
            return
        message_id = derive(row.enrollment_id, row.step_id)

        def check() -> None:
            if monotonic() > work.start_before or not self._control.may_send(row.sequence_id, row.epoch):
                raise SendStopped

        try:
            check()
            outgoing = self._contents.outgoing(row, message_id)
            result = await lane.channel.send(outgoing, before_first_byte=check)
        except SendStopped:
            self._end(row, Ending.RELEASED)
        except NoContent as fault:
            self._end(row, Ending.FAILED, Result.refused(fault.code, fault.detail))
        except Exception as error:
            log.exception("send_crashed", channel=row.channel)
            self._end(row, Ending.UNKNOWN, Result.unknown("internal", type(error).__name__))
        else:
            self._end(row, _ENDINGS[result.outcome], result)

    # -- booking

    def _end(self, row: Claimed, ending: Ending, result: Result | None = None) -> None:
        """Note how a claim ended; the booker writes it with others."""
        if ending is Ending.RETRY and row.attempt >= ATTEMPTS_MAX:
            ending = Ending.FAILED
        SENDS.labels(row.channel, ending).inc()
        self._bookings.append(self._booking(row, ending, result))
        lane = self._lanes[row.lane]
        lane.held -= 1
        self._room_woken.set()
        self._booking_woken.set()

    def _booking(self, row: Claimed, ending: Ending, result: Result | None) -> Booking:
        message_id = derive(row.enrollment_id, row.step_id)
        booking = Booking(row.enrollment_id, row.token, str(ending), message_id, row.channel, row.due_at)
        if result is not None:
            booking.code, booking.detail = result.code, result.detail
            booking.provider_message_id = result.provider_message_id
        if ending is Ending.RETRY:
            booking.retry_after = _retry_after(row.attempt, result)
        elif ending is not Ending.RELEASED:
            now = self._control.now()
            booking.key = row.contact_id.encode()
            booking.event = self._event(row, ending, message_id, result, now)
            if ending is not Ending.FAILED:
                self._plan(row, booking, now)
        return booking

    def _plan(self, row: Claimed, booking: Booking, now: datetime) -> None:
        """What comes after this step in the newest version that the claim saw."""
        newest = self._contents.steps(row.sequence_id, row.newest)
        previous = self._contents.steps(row.sequence_id, row.version)
        booking.planned_under = row.newest
        step = next_step(
            newest, after_step=row.step_id, step_id=None, ended=(*row.ended, row.step_id), previous=previous
        )
        if step is not None:
            booking.next_step, booking.next_lane, booking.next_after = step.step_id, step.lane, step.after
        else:
            finished = StepsFinished(
                enrollment_id=row.enrollment_id,
                contact_id=row.contact_id,
                sequence_id=row.sequence_id,
                version=row.newest,
                occurred_at=now,
            )
            booking.finished = self._encode(finished, row.enrollment_id, now)

    def _event(self, row: Claimed, ending: Ending, message_id: str, result: Result | None, now: datetime) -> bytes:
        fields = {
            "enrollment_id": row.enrollment_id,
            "contact_id": row.contact_id,
            "sequence_id": row.sequence_id,
            "version": row.version,
            "occurred_at": now,
            "message_id": message_id,
            "step_id": row.step_id,
            "channel": row.channel,
            "attempt": row.attempt,
        }
        code = (result.code if result is not None else None) or "unknown"
        event: MessageSent | MessageFailed | MessageUnknown
        if ending is Ending.SENT:
            provider = result.provider_message_id if result is not None else None
            event = MessageSent(**fields, due_at=row.due_at, sent_at=now, provider_message_id=provider)
        elif ending is Ending.FAILED:
            detail = (result.detail if result is not None else None) or "refused"
            event = MessageFailed(**fields, code=code, detail=detail)
        else:
            event = MessageUnknown(**fields, reason=code)
        return self._encode(event, message_id, now)

    def _encode(
        self, event: MessageSent | MessageFailed | MessageUnknown | StepsFinished, row_id: str, now: datetime
    ) -> bytes:
        """The event, its id derived from the row and its type: a row ends once, so an event is said once."""
        envelope = Envelope(
            id=derive(self._source, row_id, event.TYPE),
            source=self._source,
            type=event.TYPE,
            time=now,
            correlation_id=event.enrollment_id,
            causation_id=row_id,
        )
        return encode(envelope, event.to_json())

    async def _book_until(self, sent: asyncio.Event) -> None:
        """Write endings in batches; while the database is away they wait in memory."""
        waits = delays(0.05, 5.0)
        while True:
            self._health.beat("bookings", every_seconds_max=STALL_SECONDS_MAX)
            if not self._bookings:
                if sent.is_set():
                    return
                await self._until_booking()
                continue
            if len(self._bookings) < BOOK_ROWS_MAX and any(lane.held for lane in self._lanes.values()):
                await sleep(BOOK_WAIT_SECONDS)
            batch = self._bookings[:BOOK_ROWS_MAX]
            try:
                await self._book(batch)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("booking_retried", error=type(error).__name__)
                await sleep(next(waits))
            else:
                waits = delays(0.05, 5.0)

    async def _until_booking(self) -> None:
        self._booking_woken.clear()
        try:
            async with asyncio.timeout(1.0):
                await self._booking_woken.wait()
        except TimeoutError:
            return

    async def _book(self, batch: Sequence[Booking]) -> None:
        ended = Counter(booking.token for booking in batch)
        finished = [token for token, count in ended.items() if self._open[token] == count]
        async with self._pool.acquire() as conn:
            booked = await book(conn, batch, finished_claims=finished)
        if booked < len(batch):
            log.error("bookings_too_late", count=len(batch) - booked)
        del self._bookings[: len(batch)]
        for token, count in ended.items():
            self._open[token] -= count
        for token in finished:
            del self._open[token]


_ENDINGS: Final = {
    Outcome.SENT: Ending.SENT,
    Outcome.REFUSED: Ending.FAILED,
    Outcome.RETRY: Ending.RETRY,
    Outcome.UNKNOWN: Ending.UNKNOWN,
}


def _retry_after(attempt: int, result: Result | None) -> timedelta:
    """As the provider asks, else doubling, capped and jittered."""
    asked = result.retry_after_seconds if result is not None else None
    if asked is not None:
        return timedelta(seconds=asked)
    capped = min(RETRY_SECONDS_MAX, RETRY_SECONDS_BASE * 2 ** (attempt - 1))
    return timedelta(seconds=capped * random.uniform(0.5, 1.0))
