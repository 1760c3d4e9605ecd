"""The Python SDK: publish commands, wait for what they bring, read what there is, subscribe to what happens."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from pydantic import ValidationError
from sluice_contracts import topics
from sluice_contracts.base import Command
from sluice_contracts.definition import Definition, faults_of
from sluice_contracts.delivery import ContactHalted
from sluice_contracts.enrollment import EnrollContact, EnrollContacts, RemoveContact
from sluice_contracts.erasure import SequenceErased
from sluice_contracts.sequences import (
    Admit,
    DeleteSequence,
    InFlight,
    Overdue,
    PauseSequence,
    PublishSequence,
    ResumeSequence,
    SaveSequence,
    SequenceErasureCompleted,
    SequenceState,
)

from sluice import addresses, state
from sluice.asking import Answered, Asker, Receipt
from sluice.errors import CommandRefused
from sluice.event import Event
from sluice.kafka import KafkaTransport
from sluice.results import Deleted, Enrolled, EnrolledMany, Paused, Published, Removed, Resumed, Saved
from sluice.stream import EventStream
from sluice.transport import Start, Transport

ANSWER_SECONDS_MAX: Final = 30.0
SOURCE: Final = "sluice-client"

C = TypeVar("C", bound=Command)


class Sluice:
    """One connection to Sluice: `async with Sluice() as sluice: await sluice.pause("welcome", wait="stopped")`.

    `bootstrap_servers`: where Kafka is (default: SLUICE_KAFKA_BOOTSTRAP_SERVERS, else the local stack of the checkout).
    `actor` is who asks, and is carried into all that follows; `source` and a command's id are its identity.
    `seconds_max` bounds every wait for an answer and its receipt; each method takes one of its own.
    `kafka_options` go to every aiokafka client (TLS, SASL).

    Every method that commands takes a `command_id`: the same id again changes nothing and gets the same answer. It
    raises CommandRefused, AnswerTimeout (it may still be carried out), ReceiptTimeout (it is still under way) or
    Unreachable.
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] | None = None,
        *,
        actor: str | None = None,
        source: str = SOURCE,
        seconds_max: float = ANSWER_SECONDS_MAX,
        kafka_options: Mapping[str, Any] | None = None,
        transport: Transport | None = None,
    ) -> None:
        if transport is None:
            servers = addresses.find(bootstrap_servers).servers
            transport = KafkaTransport(servers, options=kafka_options)
        self.transport = transport
        self.source = source
        self.actor = actor
        self._seconds_max = seconds_max
        self._asker = Asker(transport, source=source, actor=actor)
        self._streams: list[EventStream] = []

    async def __aenter__(self) -> Self:
        await self.transport.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams:
            await stream.stop()
        await self._asker.stop()
        await self.transport.stop()

    @property
    def outstanding(self) -> Mapping[str, str]:
        """The commands that are waited for, or whose wait was cancelled: their types by id."""
        return self._asker.outstanding

    async def save(
        self,
        sequence_id: str,
        definition: Mapping[str, Any] | Definition,
        expected_revision: int | None = None,
        *,
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Saved:
        """Keep this as the draft; nothing that runs changes. A stale `expected_revision` is refused (`conflict`)."""
        if isinstance(definition, Definition):
            definition = definition.model_dump(mode="json", by_alias=True, exclude_unset=True)
        command = _build(
            SaveSequence, sequence_id=sequence_id, definition=definition, expected_revision=expected_revision
        )
        answered = await self._ask(command, command_id, seconds_max)
        return Saved(answered.command_id, answered.result["revision"], answered.result["status"])

    async def publish(
        self,
        sequence_id: str,
        expected_revision: int | None = None,
        *,
        in_flight: InFlight | None = None,
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Published:
        """Make the draft the next version; every fault of the definition is named at once."""
        command = _build(
            PublishSequence, sequence_id=sequence_id, expected_revision=expected_revision, in_flight=in_flight
        )
        answered = await self._ask(command, command_id, seconds_max)
        return Published(answered.command_id, answered.result["version"])

    async def pause(
        self,
        sequence_id: str,
        reason: str | None = None,
        *,
        wait: Literal["accepted", "stopped"] = "accepted",
        resume_at: datetime | None = None,
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Paused:
        """Stop it. With `wait="stopped"`: until it is proven that nobody enters and nothing leaves any more."""
        command = _build(PauseSequence, sequence_id=sequence_id, reason=reason, resume_at=resume_at)
        receipt = Receipt("SequenceStopped", topics.SEQUENCES_EVENTS, sequence_id, _has_stopped)
        answered = await self._ask(command, command_id, seconds_max, receipt if wait == "stopped" else None)
        found, gone = _state_in(answered)
        return Paused(answered.command_id, answered.result["epoch"], found, gone)

    async def resume(
        self,
        sequence_id: str,
        *,
        wait: Literal["accepted", "resumed"] = "accepted",
        overdue: Overdue | None = None,
        max_lateness: str | None = None,
        admit: Admit | None = None,
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Resumed:
        """Let it run again. It takes effect once the receipts of the pause are in (`wait="resumed"`)."""
        command = _build(
            ResumeSequence, sequence_id=sequence_id, overdue=overdue, max_lateness=max_lateness, admit=admit
        )
        receipt = Receipt("SequenceResumed", topics.SEQUENCES_EVENTS, sequence_id, _has_resumed, may_precede=True)
        answered = await self._ask(command, command_id, seconds_max, receipt if wait == "resumed" else None)
        found, gone = _state_in(answered)
        return Resumed(answered.command_id, answered.result["epoch"], found, gone)

    async def delete(
        self,
        sequence_id: str,
        *,
        wait: Literal["accepted", "erased"] = "accepted",
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Deleted:
        """Stop it and erase it everywhere, for good. With `wait="erased"`: until no service holds a row of it."""
        command = _build(DeleteSequence, sequence_id=sequence_id)
        receipt = Receipt(
            "SequenceErasureCompleted", topics.SEQUENCES_CONTROL, sequence_id, _is_erased, may_precede=True
        )
        answered = await self._ask(command, command_id, seconds_max, receipt if wait == "erased" else None)
        message = answered.receipt.message() if answered.receipt else None
        erasure = message if isinstance(message, SequenceErasureCompleted) else None
        return Deleted(answered.command_id, answered.result["epoch"], erasure)

    async def enroll(
        self,
        sequence_id: str,
        contact_id: str,
        *,
        wait: Literal["accepted"] = "accepted",
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Enrolled:
        """Let one contact in, or be refused with the reason (`already_enrolled`, `sequence_paused`, …)."""
        command = _build(EnrollContact, sequence_id=sequence_id, contact_id=contact_id)
        answered = await self._ask(command, command_id, seconds_max)
        return Enrolled(answered.command_id, answered.result["enrollment_id"])

    async def enroll_many(
        self,
        sequence_id: str,
        contact_ids: Sequence[str],
        *,
        chunk: str | int = 0,
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> EnrolledMany:
        """Let up to 1,000 contacts in. `chunk` names this part of an import; parts run side by side."""
        command = _build(EnrollContacts, sequence_id=sequence_id, contact_ids=list(contact_ids))
        answered = await self._ask(command, command_id, seconds_max, key=command.key_of(chunk))
        return EnrolledMany(answered.command_id, answered.result["enrolled"], dict(answered.result["refused"]))

    async def remove(
        self,
        contact_id: str,
        sequence: str | None = None,
        campaign: str | None = None,
        *,
        allow_reentry: bool = False,
        wait: Literal["accepted", "halted"] = "accepted",
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Removed:
        """Halt all that is planned for a contact in a sequence, in a campaign or (neither) everywhere, and block it.

        With `wait="halted"`: until it is proven that nothing leaves for them any more.
        """
        command = _build(
            RemoveContact, contact_id=contact_id, sequence_id=sequence, campaign=campaign, allow_reentry=allow_reentry
        )
        receipt = Receipt("ContactHalted", topics.DELIVERY_CONTROL, contact_id, _is_halted)
        answered = await self._ask(command, command_id, seconds_max, receipt if wait == "halted" else None)
        message = answered.receipt.message() if answered.receipt else None
        return Removed(
            answered.command_id,
            answered.result["removal_id"],
            tuple(answered.result["removed"]),
            message if isinstance(message, ContactHalted) else None,
        )

    async def sequences(self) -> dict[str, SequenceState]:
        """Every sequence there is, by id, as `sequences.events` says now."""
        return await state.sequences(self.transport)

    async def sequence(self, sequence_id: str) -> SequenceState | None:
        """One sequence as it is now; None where there is none (any more)."""
        return (await state.sequences(self.transport, sequence_id=sequence_id)).get(sequence_id)

    async def erased_by(self, sequence_id: str) -> dict[str, SequenceErased]:
        """The services that have erased a sequence that is being deleted, each with its receipt."""
        return await state.erased_by(self.transport, sequence_id)

    def events(self, *names: str, start: Start = "latest", group: str | None = None) -> EventStream:
        """The events of these topics (default: `sequences.events`) as they come, each once: `async for event in …`.

        `async with` it first where nothing may be missed from a certain moment on. With a `group` its members share the
        topics and go on where they were.
        """
        stream = EventStream(self.transport, names or (topics.SEQUENCES_EVENTS,), start=start, group=group)
        self._streams.append(stream)
        return stream

    async def _ask(
        self,
        command: Command,
        command_id: str | None,
        seconds_max: float | None,
        receipt: Receipt | None = None,
        *,
        key: str | None = None,
    ) -> Answered:
        return await self._asker.ask(
            command,
            key=command.key() if key is None else key,
            command_id=command_id,
            seconds_max=self._seconds_max if seconds_max is None else seconds_max,
            receipt=receipt,
        )


def _build(model: type[C], **fields: Any) -> C:
    """The command, checked before it is sent: what the contract does not allow is refused here as it would be there."""
    try:
        return model(**{name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        raise CommandRefused("invalid", "the command breaks a rule; it was not sent", faults_of(error)) from error


def _state_in(answered: Answered) -> tuple[SequenceState | None, bool]:
    if answered.receipt is None:
        return None, False
    return state.sequence_state(answered.receipt), answered.receipt.gone


def _epoch(event: Event) -> int:
    found = event.data.get("epoch")
    return found if isinstance(found, int) else -1


def _has_stopped(event: Event, result: Mapping[str, Any]) -> bool:
    """The receipts of this epoch are in, or a higher epoch has replaced it, or the sequence is gone."""
    if event.gone or _epoch(event) > result["epoch"]:
        return True
    return _epoch(event) == result["epoch"] and event.data.get("receipts") is not None


def _has_resumed(event: Event, result: Mapping[str, Any]) -> bool:
    """The coming epoch has come, by this resume or by what replaced it, or the sequence is gone."""
    return event.gone or _epoch(event) >= result["epoch"]


def _is_erased(event: Event, result: Mapping[str, Any]) -> bool:
    return event.type == SequenceErasureCompleted.TYPE and _epoch(event) >= result["epoch"]


def _is_halted(event: Event, result: Mapping[str, Any]) -> bool:
    return event.type == ContactHalted.TYPE and event.data.get("removal_id") == result["removal_id"]
