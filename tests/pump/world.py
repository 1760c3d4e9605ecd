"""The whole of it: services, senders, topics, one clock; every step is chosen from outside and told to an observer."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import orjson
from chassis.pool import is_transient
from delivery.channels.base import Result
from delivery.domain.report import Kind, Post, Report
from delivery.handlers.reports import on_post
from delivery.store.booking import Booking
from delivery.store.claiming import Claimed
from messaging.offsets import OffsetsMoved
from messaging.outbox import Queued
from sluice_contracts.registry import BY_TYPE

from tests.pump.clock import Clock
from tests.pump.database import Database
from tests.pump.fragile import Fate, Killed
from tests.pump.nodes import HALT_WAIT_SECONDS, Node, nodes
from tests.pump.senders import Attempt, Call, SteppedSender
from tests.pump.topics import Record, Topics

BEGINNING: Final = datetime.fromisoformat("2027-03-26T08:00:00+00:00")
SOURCE: Final = "histories"
SENDERS: Final = 2
STEPS_MAX: Final = 5_000
REAPER: Final = "reaper"
LEASE_OVER: Final = timedelta(seconds=HALT_WAIT_SECONDS + 1)

_HELD_BY: Final = "select enrollment_id::text from pending where token = any($1::bigint[])"

COMMITTED: Final = frozenset({Fate.KILLED_AFTER_COMMIT, Fate.ANSWER_LOST})

_OPEN_CLAIMS: Final = "select token from claim"

_HELD: Final = """
select enrollment_id::text, token, epoch, step_id, version, split_part(lane, ':', 1), attempt
from pending where token > $1 order by token, enrollment_id
"""


@dataclass(frozen=True, slots=True)
class Held:
    """A row of the queue that a claim holds."""

    enrollment_id: str
    token: int
    epoch: int
    step_id: str
    version: int
    channel: str
    attempt: int


class Observer(Protocol):
    """Who is told of each step, in the order of the steps."""

    def heard(self, service: str, records: Sequence[Record]) -> None:
        """A service has handled these records; what it said of them follows."""

    def said(self, service: str, row: Queued) -> None:
        """A service has said this."""

    def claimed(self, rows: Sequence[Held]) -> None:
        """A sender has claimed these."""

    def began(self, row: Held, attempt: Attempt) -> None:
        """The first byte of a message has left."""

    def ended(self, row: Held, attempt: Attempt, *, arrived: bool) -> None:
        """The call has ended, or its sender has died: the sink has the message or not."""

    def booked(self, bookings: Sequence[Booking]) -> None:
        """A sender has booked these."""

    def reported(self, message_id: str, kind: Kind) -> None:
        """A provider says what a message came to."""

    def lapsed(self, token: int) -> None:
        """The lease of a claim was over, and what was left of it was taken from its sender."""

    def gave_back(self, tokens: Collection[int], kept: Collection[str]) -> None:
        """Claims whose answers were lost were given back, but for these enrollments."""


@dataclass(frozen=True)
class Move:
    """A step that can be taken now."""

    name: str
    go: Callable[[], Awaitable[None]]


class World:
    """One history's world: it begins empty."""

    def __init__(self, database: Database, observer: Observer) -> None:
        self.database = database
        self.clock: Clock = database.clock
        self.observer = observer
        self.topics = Topics()
        self.nodes: dict[str, Node] = nodes(database)
        self.senders: list[SteppedSender] = []
        self.made = 0
        self.last_token = 0
        self.lost: set[int] = set()
        self.asked: list[Record] = []

    @property
    def delivery(self) -> Node:
        """The one that senders share a database with."""
        return self.nodes["delivery"]

    async def start(self) -> None:
        """Begin, at the same moment each time."""
        await self.database.empty()
        await self.clock.start_at(BEGINNING)
        self.last_token = await self.database.conn.fetchval("select nextval('delivery.claim_token')")
        for node in self.nodes.values():
            await node.start()
        for _ in range(SENDERS):
            self._new_sender()

    def _new_sender(self) -> SteppedSender:
        self.made += 1
        sender = SteppedSender(self.delivery, self.clock, owner=f"sender-{self.made}")
        self.senders.append(sender)
        return sender

    async def end(self) -> None:
        """Leave no task behind."""
        for sender in self.senders:
            await sender.die()

    # -- what others write

    def ask(self, kind: str, /, *, key: str | None = None, **data: Any) -> Record:
        """Somebody writes a message; commands are asked once, by their number."""
        model = BY_TYPE[f"{kind}.v1"]
        self.made += 1
        if key is None:
            parsed = model.model_validate(data)
            key = parsed.key_of(self.made) if kind == "EnrollContacts" else parsed.key()  # type: ignore[attr-defined]
        envelope = {"specversion": "1.0", "id": f"m{self.made}", "source": SOURCE, "type": model.TYPE, "actor": "ann"}
        record = self.topics.append(model.TOPIC, key.encode(), orjson.dumps({**envelope, "data": data}))
        self.asked.append(record)
        return record

    def ask_again(self, number: int) -> None:
        """Somebody writes once more what was asked before."""
        record = self.asked[number % len(self.asked)]
        self.topics.append(record.topic, record.key, record.value, record.headers)

    def tombstone(self, topic: str, key: str) -> None:
        """Somebody writes that a key is gone."""
        self.topics.append(topic, key.encode(), None)

    async def report(self, message_id: str, kind: Kind) -> None:
        """A provider says what a message came to."""
        post = Post([Report(message_id, kind)])

        async def take() -> None:
            async with self.delivery.begin() as tx:
                await on_post(post, tx, provider="reports")

        self.observer.reported(message_id, kind)
        while not await self._live(self.delivery, take):
            pass  # it was not told that this was taken, and says it again
        self.delivery.restless = set(self.delivery.rounds)
        await self._listen(self.delivery)

    # -- steps

    def moves(self) -> list[Move]:
        """What can go on: relays with something to publish, readers that are behind, loops that are restless."""
        return list(self._moves())

    def _moves(self) -> Iterator[Move]:
        for node in self.nodes.values():
            for relay in node.relays.values():
                if relay.waiting:
                    yield Move(f"{node.name} relays lane {relay.lane}", self._relay(node, relay.lane))
            for place, _ in node.behind(self.topics):
                yield Move(f"{node.name} reads {place[0]}[{place[1]}]", self._read(node, place))
            for name in sorted(node.restless):
                yield Move(f"{node.name} goes round {name}", self._round(node, name))

    def _relay(self, node: Node, lane: int) -> Callable[[], Awaitable[None]]:
        async def go() -> None:
            node.relays[lane].publish(self.topics, 3)

        return go

    def _read(self, node: Node, place: tuple[str, int], count: int = 4) -> Callable[[], Awaitable[None]]:
        async def go() -> None:
            records = node.next(self.topics, place, count)
            before = node.positions[place[0]][place[1]]
            await self._live(node, lambda: node.handle(records))
            read = node.positions[place[0]][place[1]] - before
            node.restless = set(node.rounds)
            self.observer.heard(node.name, records[:read])
            await self._listen(node)

        return go

    def _round(self, node: Node, name: str) -> Callable[[], Awaitable[None]]:
        async def go() -> None:
            more = False

            async def round_() -> None:
                nonlocal more
                more = await node.rounds[name]()

            before = await self._open_claims() if name == REAPER else set()
            node.pool.wrote = False
            alive = await self._live(node, round_)
            if node.pool.wrote:  # or locked rows: a loop that waits does so each time, and has no more to do itself
                node.restless = set(node.rounds)
            if alive and not more:
                node.restless.discard(name)
            if not node.pool.wrote and name not in node.restless:
                return
            for token in sorted(before - (await self._open_claims() if before else set())):
                self.observer.lapsed(token)
            await self._listen(node)

        return go

    async def _open_claims(self) -> set[int]:
        async with self.delivery.pool.acquire() as conn:
            return {row["token"] for row in await conn.fetch(_OPEN_CLAIMS)}

    async def _live(self, node: Node, step: Callable[[], Awaitable[None]]) -> bool:
        """Do it; False where the process was killed over it, and another has taken its place."""
        try:
            await step()
        except Killed:
            node.restart()
            await node.start()
            return False
        except OffsetsMoved:  # the answer of its commit was lost, and it was read again
            node.positions.clear()
            await node.start()
            return False
        except Exception as error:
            if not is_transient(error):
                raise
            return False
        finally:
            node.pool.fate = None
        return True

    async def _listen(self, node: Node) -> None:
        for row in await node.take_outbox():
            self.observer.said(node.name, row)

    def doom(self, service: str, fate: Fate) -> None:
        """The next transaction of that service ends so."""
        self.nodes[service].pool.fate = fate

    async def jump(self, by: timedelta) -> None:
        """Time goes by: loops may find something to do."""
        await self.clock.jump(by)
        for node in self.nodes.values():
            node.restless = set(node.rounds)

    # -- senders

    async def refresh(self, sender: SteppedSender) -> None:
        """Readers of control topics confirm, where they have caught up, and the sender looks: it takes two looks."""
        for _ in range(2):
            await self.delivery.beat(self.topics)
            await sender.look()

    async def claim(self, sender: SteppedSender) -> int:
        """Claim once; how many. A claim whose answer was lost stands, and its sender gives it back before the next."""
        fate = self.delivery.pool.fate
        await self._live_sender(sender, sender.claim)
        async with self.delivery.pool.acquire() as conn:
            held = [Held(*row) for row in await conn.fetch(_HELD, self.last_token)]
            kept = {row[0] for row in await conn.fetch(_HELD_BY, list(self.lost))}
        if self.lost:
            self.observer.gave_back(self.lost, kept)
            self.delivery.restless = set(self.delivery.rounds)
            self.lost &= await self._open_claims()
        self.observer.claimed(held)
        tokens = {row.token for row in held}
        if fate is Fate.ANSWER_LOST:
            self.lost |= tokens
        self.last_token = max(tokens, default=self.last_token)
        return len(held)

    async def begin(self, sender: SteppedSender) -> Call | None:
        """Begin the next send."""
        call = await sender.begin()
        if call is not None:
            self.observer.began(_held(call.row), call.attempt)
        return call

    async def finish(self, sender: SteppedSender, call: Call, result: Result, *, arrived: bool) -> None:
        """The call comes back."""
        self.observer.ended(_held(call.row), call.attempt, arrived=arrived)
        await sender.finish(call, result)

    async def book(self, sender: SteppedSender) -> None:
        """Book what there is to book."""
        bookings = sender.results()
        if not bookings:
            return
        fate = self.delivery.pool.fate
        if await self._live_sender(sender, sender.book) or fate in COMMITTED:
            self.observer.booked(bookings)
            self.delivery.restless = set(self.delivery.rounds)
            await self._listen(self.delivery)

    async def die(self, sender: SteppedSender, *, arrived: bool) -> None:
        """A sender is killed; what was under way has arrived or not. Another takes its place."""
        for call in sender.calls:
            self.observer.ended(_held(call.row), call.attempt, arrived=arrived)
        await sender.die()
        self.senders.remove(sender)
        self._new_sender()
        self.delivery.restless = set(self.delivery.rounds)

    async def _live_sender(self, sender: SteppedSender, step: Callable[[], Awaitable[Any]]) -> bool:
        try:
            await step()
        except Killed:
            await self.die(sender, arrived=True)
            return False
        except Exception as error:
            if not is_transient(error):
                raise
            return False
        finally:
            self.delivery.pool.fate = None
        return True

    # -- until nothing is left to do

    async def settle(self) -> None:
        """Everything goes on until all is quiet: topics read, loops at rest, sent what is due, no claim open."""
        for node in self.nodes.values():
            node.pool.fate = None
        for _ in range(STEPS_MAX):
            if not await self._go_on() and not await self._send_all() and not await self._reap():
                return
        raise AssertionError("it never comes to rest")

    async def hear_all(self) -> None:
        """Every topic is read and every loop at rest; what is claimed stays claimed."""
        for _ in range(STEPS_MAX):
            if not await self._go_on():
                return
        raise AssertionError("it never comes to rest")

    async def _go_on(self) -> bool:
        moves = self.moves()
        for move in moves:
            await move.go()
        return bool(moves)

    async def _send_all(self) -> bool:
        sent = 0
        for sender in list(self.senders):
            if not sender.control.fresh():
                await self.refresh(sender)
            else:
                await sender.look()
            sent += await self.claim(sender)
            sent += not sender.control.fresh()  # the machine is slow: it has not even tried
            while sender.waiting():
                await self.begin(sender)
            for call in list(sender.calls):
                await self.finish(sender, call, Result.sent(), arrived=True)
                sent += 1
            sent += len(sender.results())
            await self.book(sender)
        return sent > 0 or bool(self.moves())

    async def _reap(self) -> bool:
        """Nobody holds a claim any more that is still open: its lease runs out."""
        if not await self._open_claims():
            return False
        self.delivery.restless = set(self.delivery.rounds)
        await self._go_on()  # the reaper has seen it
        await self.jump(LEASE_OVER)
        return True


def _held(row: Claimed) -> Held:
    return Held(row.enrollment_id, row.token, row.epoch, row.step_id, row.version, row.channel, row.attempt)
