"""Ask with a command, wait for its answer and, where wanted, for the receipt of what it promises."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka.errors import KafkaError
from sluice_contracts import envelope, topics
from sluice_contracts.answers import CommandAccepted, CommandRejected
from sluice_contracts.base import Command

from sluice._clock import new_id, utc_now
from sluice.errors import AnswerTimeout, CommandRefused, ReceiptTimeout, Unreachable
from sluice.event import Event, event_of
from sluice.listener import Listener, Watch
from sluice.transport import Record, Transport, partition_of


@dataclass(frozen=True, slots=True)
class Receipt:
    """What to wait for after the answer: the first event of `key` on `topic` that is `done`, given the result."""

    name: str
    topic: str
    key: str
    done: Callable[[Event, Mapping[str, Any]], bool]
    may_precede: bool = False
    """It may have been said before the command was sent: what it asks for can be so already."""
    needless: Callable[[Mapping[str, Any]], bool] = lambda _: False
    """Whether, given the result, nothing will be said, nor ever was."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A command that was accepted."""

    command_id: str
    result: Mapping[str, Any]
    receipt: Event | None = None
    at: datetime | None = None
    """When, by the clock of who answered."""


class Asker:
    """Sends commands of one source and waits for what they bring."""

    def __init__(self, transport: Transport, *, source: str, actor: str | None) -> None:
        self._transport = transport
        self._listener = Listener(transport)
        self._source = source
        self._actor = actor
        self.outstanding: dict[str, str] = {}
        """The commands that are waited for, or whose wait was cancelled: their types by id."""

    async def stop(self) -> None:
        await self._listener.stop()

    async def ask(
        self,
        command: Command,
        *,
        key: str,
        command_id: str | None,
        seconds_max: float,
        receipt: Receipt | None = None,
    ) -> Answered:
        """What was accepted, with the receipt if one is wanted, or one of this client's errors.

        With a `command_id` it may be a repetition, so the receipt is also looked for among what is written already;
        likewise where it may precede the command.
        """
        waiting = _Waiting(self, command, command_id or new_id())
        try:
            async with asyncio.timeout(seconds_max):
                return await waiting.run(key=key, receipt=receipt, may_repeat=command_id is not None)
        except TimeoutError as error:
            raise waiting.late(receipt, seconds_max) from error

    async def send(self, command: Command, *, key: str, command_id: str) -> None:
        """Write the command; done when Kafka has it."""
        document = envelope.Envelope(
            id=command_id, source=self._source, type=command.TYPE, subject=key, time=utc_now(), actor=self._actor
        )
        written = await self._transport.send(command.TOPIC, key=key, value=envelope.encode(document, command.to_json()))
        await acknowledged(written)

    def answers(self, event: Event, command_id: str) -> bool:
        """Whether that is the answer to our command: another asker may have chosen the same id."""
        command = event.data.get("command")
        return (
            event.correlation_id == command_id and isinstance(command, dict) and command.get("source") == self._source
        )

    async def past(self, receipt: Receipt, result: Mapping[str, Any]) -> Event | None:
        """The receipt, where it is on its topic already; the newest, as compaction would leave it."""
        partition = partition_of(receipt.key, await self._transport.partitions(receipt.topic))
        key, found = receipt.key.encode(), None
        async with aclosing(self._transport.read_to_end(receipt.topic, partition=partition)) as batches:
            async for batch in batches:
                for record in batch:
                    event = event_of(record) if record.key == key else None
                    if event is not None and receipt.done(event, result):
                        found = event
        return found

    def watch(self, command: Command, command_id: str, receipt: Receipt | None) -> Any:
        wanted = [(topics.ANSWERS_OF[command.TOPIC], command_id)]
        return self._listener.watch([*wanted, *([(receipt.topic, receipt.key)] if receipt else [])])


class _Waiting:
    """How far one command has come."""

    def __init__(self, asker: Asker, command: Command, command_id: str) -> None:
        self._asker = asker
        self._command = command
        self._id = command_id
        self._written = False
        self._result: Mapping[str, Any] | None = None
        self._answered_at: datetime | None = None
        self._seen: list[Event] = []

    async def run(self, *, key: str, receipt: Receipt | None, may_repeat: bool) -> Answered:
        async with self._asker.watch(self._command, self._id, receipt) as watch:
            self._asker.outstanding[self._id] = self._command.TYPE
            await self._asker.send(self._command, key=key, command_id=self._id)
            self._written = True
            result = await self._answer(watch)
            del self._asker.outstanding[self._id]
            if receipt is None or receipt.needless(result):
                return Answered(self._id, result, at=self._answered_at)
            look_back = may_repeat or receipt.may_precede
            past = await self._asker.past(receipt, result) if look_back else None
            return Answered(self._id, result, past or await self._receipt(watch, receipt, result), self._answered_at)

    async def _answer(self, watch: Watch) -> Mapping[str, Any]:
        while self._result is None:
            event = event_of(await watch.next())
            if event is None:
                continue
            if not self._asker.answers(event, self._id):
                self._seen.append(event)
                continue
            answer = event.message()
            if isinstance(answer, CommandRejected):
                self._asker.outstanding.pop(self._id, None)
                raise CommandRefused(answer.code, answer.detail, answer.faults or (), command_id=self._id)
            if isinstance(answer, CommandAccepted):
                self._result, self._answered_at = answer.result, event.time
        return self._result

    async def _receipt(self, watch: Watch, receipt: Receipt, result: Mapping[str, Any]) -> Event:
        for seen in self._seen:
            if receipt.done(seen, result):
                return seen
        while True:
            event = self._about(await watch.next(), receipt)
            if event is not None and receipt.done(event, result):
                return event

    @staticmethod
    def _about(record: Record, receipt: Receipt) -> Event | None:
        return event_of(record) if record.topic == receipt.topic else None

    def late(self, receipt: Receipt | None, seconds_max: float) -> AnswerTimeout | ReceiptTimeout | Unreachable:
        """What to tell the asker, who then knows: the command is no longer among the outstanding ones."""
        if self._result is None and self._asker.outstanding.pop(self._id, None) is None:
            return Unreachable(f"Kafka did not answer within {seconds_max:g} s; {self._command.TYPE} was not sent.")
        if self._result is None or receipt is None:
            return AnswerTimeout(
                command_type=self._command.TYPE, command_id=self._id, written=self._written, seconds_max=seconds_max
            )
        return ReceiptTimeout(
            command_type=self._command.TYPE,
            command_id=self._id,
            receipt=receipt.name,
            result=self._result,
            seconds_max=seconds_max,
        )


async def acknowledged(written: "asyncio.Future[object]") -> None:
    """Wait until Kafka has it; Unreachable where Kafka refused it."""
    try:
        await written
    except KafkaError as error:
        raise Unreachable(f"Kafka did not take the record: {type(error).__name__}.") from error
