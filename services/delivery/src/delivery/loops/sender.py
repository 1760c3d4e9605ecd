"""One sender process: claim, check, send; as much at once as its channels have room for."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from campaign.definition import Step
from chassis.backoff import delays
from chassis.clock import monotonic, sleep_unless
from chassis.health import Health
from chassis.pool import Pool, is_transient

from delivery.channels.base import Channel, Content, Outcome, Outgoing, Result, SendStopped
from delivery.domain.message import UNKNOWN_WAIT_SECONDS
from delivery.domain.rate import Rate
from delivery.loops.booker import Booker
from delivery.loops.claimer import Claimer
from delivery.loops.contents import Contents, NoContent, Version
from delivery.loops.control import Control
from delivery.loops.lane import Lane, Work, lane_of
from delivery.loops.outcomes import Outcomes, ending_of
from delivery.loops.pace import Pace
from delivery.loops.tally import Tally
from delivery.store.claiming import Claimed

log = structlog.get_logger()

REST_SECONDS: Final = 0.05
CLAIM_ROWS_MAX: Final = 500
BOOKINGS_WAITING_MAX: Final = 2_000
STALL_SECONDS_MAX: Final = 60.0
OUTAGE_DELAY_SECONDS_MAX: Final = 5.0


@dataclass(frozen=True, slots=True)
class SendLimits:
    """The bounds of one sender process, in seconds."""

    lease_seconds_max: float
    """From before the claim was asked for; the reaper waits longer than this."""
    send_seconds_max: float
    """No single send takes longer."""
    margin_seconds: float
    unknown_wait_seconds: float = UNKNOWN_WAIT_SECONDS
    """So long an unknown message waits for the provider's report."""

    @property
    def start_seconds_max(self) -> float:
        """Later after the claim no send starts, for the lease might end before it does."""
        return self.lease_seconds_max - self.send_seconds_max - self.margin_seconds


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
        rates: Mapping[str, Rate] | None = None,
        monotonic: Callable[[], float] = monotonic,
    ) -> None:
        self._pool = pool
        self._monotonic = monotonic
        self._control = control
        self._limits = limits
        self._health = health
        self._contents = Contents(pool)
        self._outcomes = Outcomes(source, timedelta(seconds=limits.unknown_wait_seconds))
        self._booker = Booker(pool, health=health)
        self._lanes = {lane_of(name): Lane(channel, rooms[name]) for name, channel in channels.items()}
        by_lane = {lane_of(name): rate for name, rate in (rates or {}).items()}
        self._pace = Pace(by_lane, on_trial=control.on_trial, monotonic=monotonic)
        self._claimer = Claimer(
            pool,
            owner=owner,
            lanes=list(self._lanes),
            tell_clock=control.tell,
            pace=self._pace,
            monotonic=monotonic,
        )
        self._tally = Tally(pool, owner=owner, lanes=list(self._lanes), health=health)
        self._under_way: Counter[tuple[str, int]] = Counter()
        """Claimed and not yet ended, by sequence and epoch."""
        self._room_woken = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Claim, send and book until stopped."""
        sent = asyncio.Event()
        async with AsyncExitStack() as channels, asyncio.TaskGroup() as group:
            booker = group.create_task(self._booker.run(sent, more_comes=self._is_sending))
            group.create_task(self._tally.run(sent))
            for lane in self._lanes.values():
                await lane.channel.open()
                channels.push_async_callback(lane.channel.close)
            workers = [group.create_task(self._work(lane)) for lane in self._lanes.values() for _ in range(lane.room)]
            await self._claim_until(stop)
            await self._drain()
            for worker in workers:
                worker.cancel()
            sent.set()
            self._booker.wake()
            await booker

    def _is_sending(self) -> bool:
        return any(lane.held for lane in self._lanes.values())

    # -- claiming

    async def _claim_until(self, stop: asyncio.Event) -> None:
        waits = delays(0.05, OUTAGE_DELAY_SECONDS_MAX)
        while not stop.is_set():
            self._health.beat("claims", every_seconds_max=STALL_SECONDS_MAX)
            self._room_woken.clear()
            try:
                claimed = await self.claim()
                waits = delays(0.05, OUTAGE_DELAY_SECONDS_MAX)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("claim_retried", error=type(error).__name__)
                await sleep_unless(stop, next(waits))
                continue
            if not claimed:
                # Of several lanes one may be full, and nothing due in the others: who ends there makes room.
                rest = REST_SECONDS if claimed is None else min(REST_SECONDS, self._claimer.rest)
                await sleep_unless(self._room_woken, rest)
        self._health.forget("claims")

    async def claim(self) -> int | None:
        """Claim once, as much as there is room for; None where there is none, or where stops are not heard."""
        rooms = self._rooms()
        if not rooms or not self._control.fresh():
            return None
        lease_from = self._monotonic()
        rows = await self._claimer.claim(rooms)
        await self._take(rows, lease_from)
        return len(rows)

    def _rooms(self) -> dict[str, int]:
        """How much each lane takes now. One with little room waits for more, so that a claim is worth its price."""
        if self._booker.waiting >= BOOKINGS_WAITING_MAX:
            return {}
        now = self._monotonic()
        for lane in self._lanes.values():
            lane.count(now)
        free = {name: room for name, lane in self._lanes.items() if (room := lane.free(CLAIM_ROWS_MAX))}
        return self._pace.rooms(free, held={name: lane.held for name, lane in self._lanes.items()})

    async def _take(self, rows: Sequence[Claimed], lease_from: float) -> None:
        if not rows:
            return
        self._booker.expect(rows[0].token, len(rows))
        for row in rows:
            self._lanes[row.lane].held += 1
            self._under_way[row.sequence_id, row.epoch] += 1
        try:
            versions = await self._contents.load(rows)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("definitions_not_loaded", error=type(error).__name__)
            for row in rows:
                self._release(row)
            return
        start_before = lease_from + self._limits.start_seconds_max
        for row in rows:
            version = versions.get((row.sequence_id, row.version))
            effective = version if row.effective == row.version else versions.get((row.sequence_id, row.effective))
            self._lanes[row.lane].waiting.append(Work(row, version, effective, lease_from, start_before))
        for lane in self._lanes.values():
            if lane.waiting:
                lane.call()

    async def _drain(self) -> None:
        """Give back what was not started; wait for what was. What cannot be given back now is left to the reaper."""
        try:
            await self._claimer.give_back()
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("claim_not_given_back", error=type(error).__name__)
        for lane in self._lanes.values():
            while lane.waiting:
                self._release(lane.waiting.popleft().row)
        while self._is_sending():
            self._room_woken.clear()
            await sleep_unless(self._room_woken, REST_SECONDS)

    # -- sending

    async def _work(self, lane: Lane) -> None:
        while True:
            await self._send(lane, await lane.next())

    async def _send(self, lane: Lane, work: Work) -> None:
        row = work.row
        if row.attempt == 1 and row.version != row.effective:  # an edit: it is planned again, not sent
            self._release(row)
            return
        if row.attributes is None or work.version is None or work.effective is None:
            # Its contact, as it was enrolled, is not known here yet, or is gone; or its version cannot be read here.
            self._postpone(row)
            return
        if (row.opted_out_of or work.effective.is_conditional) and self._hold(row, work.effective):
            return

        def check() -> None:
            if not (
                self._monotonic() <= work.start_before
                and self._may_send(row)
                and not self._control.outlived(work.claimed_at)
            ):
                raise SendStopped

        made: Outgoing | Result | None = None
        try:
            check()
            made = self._make(row, work.version)
            result = made if isinstance(made, Result) else await lane.channel.send(made, before_first_byte=check)
        except SendStopped:
            self._release(row)
            return
        except Exception as error:
            log.exception("send_crashed", channel=row.channel)
            result = Result.unknown("internal", type(error).__name__)
        content = made.content if isinstance(made, Outgoing) else None
        is_sent = result.outcome is Outcome.SENT
        following = work.effective.next_step(row, planned_in=work.version) if is_sent else None
        self._end(lane, row, result, content, following)

    def _may_send(self, row: Claimed) -> bool:
        return self._control.may_send(row.sequence_id, row.epoch) and self._control.lane_open(row.lane)

    def _end(self, lane: Lane, row: Claimed, result: Result, content: Content | None, following: Step | None) -> None:
        """Note how a claim ended; the booker writes it with others."""
        self._tally.note(row.lane, result, content)
        ending = ending_of(row, result, idempotent=lane.channel.idempotent)
        booking = self._outcomes.booking(row, ending, result, following=following, now=self._control.now())
        self._booker.take(booking)
        self._leave(row, tried=True)

    def _make(self, row: Claimed, version: Version) -> Outgoing | Result:
        """The message, or why there is none. A crash here is ours, and nothing has left: it is tried again."""
        try:
            return version.outgoing(row)
        except NoContent as fault:
            return Result.refused(fault.code, fault.detail)
        except Exception as error:
            log.exception("message_not_made", channel=row.channel)
            return Result.retry("internal", type(error).__name__)

    def _release(self, row: Claimed) -> None:
        self._booker.take(self._outcomes.released(row, now=self._control.now()))
        self._leave(row)

    def _postpone(self, row: Claimed) -> None:
        self._booker.take(self._outcomes.postponed(row, now=self._control.now()))
        self._leave(row)

    def _hold(self, row: Claimed, version: Version) -> bool:
        """Keep back what a condition speaks against, and what is outside its window; whether it was."""
        condition = version.condition_met(row)
        if condition is not None:
            self._booker.take(self._outcomes.withheld(row, condition, now=self._control.now()))
        elif (opens_at := version.opens_at(row, now=self._control.now)) is not None:
            self._booker.take(self._outcomes.held(row, opens_at, now=self._control.now()))
        else:
            return False
        self._leave(row)
        return True

    def _leave(self, row: Claimed, *, tried: bool = False) -> None:
        if not tried:
            self._pace.credit(row.lane)
        lane = self._lanes[row.lane]
        lane.held -= 1
        lane.ended += 1
        claimed_in = row.sequence_id, row.epoch
        self._under_way[claimed_in] -= 1
        if not self._under_way[claimed_in]:
            del self._under_way[claimed_in]
        # A receipt waits for the last of what was stopped: to write those before it by themselves would only delay it.
        if not self._may_send(row) and (claimed_in not in self._under_way or not lane.held):
            self._booker.hurry()
        self._room_woken.set()
