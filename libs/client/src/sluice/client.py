"""The Python SDK: publish commands, wait for what they bring, read what there is, subscribe to what happens."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from pydantic import ValidationError
from sluice_contracts import topics
from sluice_contracts.base import Command
from sluice_contracts.definition import Definition, faults_of
from sluice_contracts.delivery import (
    ContactHalted,
    DeliveryRestored,
    DeliverySuspended,
    ResolveMessage,
    RestoreDelivery,
    SuspendDelivery,
)
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

from sluice import addresses, receipts, state
from sluice.asking import Answered, Asker, Receipt
from sluice.errors import CommandRefused
from sluice.kafka import KafkaTransport
from sluice.results import (
    Deleted,
    Enrolled,
    EnrolledMany,
    Paused,
    Published,
    Removed,
    Resolved,
    Restored,
    Resumed,
    Saved,
    Suspended,
)
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
        """Make the draft the next version; every fault of the definition is named at once.

        Who is inside goes on with it at the next step, or (`in_flight="pin"`) keeps the version that they have. Where
        nothing was saved since, `in_flight="follow"` lets those follow who were pinned.
        """
        command = _build(
            PublishSequence, sequence_id=sequence_id, expected_revision=expected_revision, in_flight=in_flight
        )
        answered = await self._ask(command, command_id, seconds_max)
        return Published(answered.command_id, answered.result["version"], answered.at)

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
        """Stop it. With `wait="stopped"`: until it is proven that nobody enters and nothing leaves any more.

        With `resume_at` it resumes by itself then, unless somebody does before. Pausing what is paused takes over both
        reason and time.
        """
        command = _build(PauseSequence, sequence_id=sequence_id, reason=reason, resume_at=resume_at)
        receipt = receipts.stopped(sequence_id) if wait == "stopped" else None
        answered = await self._ask(command, command_id, seconds_max, receipt)
        found, gone = _state_in(answered)
        return Paused(answered.command_id, answered.result["epoch"], found, gone, answered.at)

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
        """Let it run again. It takes effect once the receipts of the pause are in (`wait="resumed"`).

        What became due meanwhile: `overdue="shift"` (default) keeps what was left of each delay, `"send_now"` sends it
        (of what is later than `max_lateness`, such as `"2h"`, nothing), `"skip"` lets it expire. With
        `admit="qualifying"` those enter who were refused during the pause and qualify still.
        """
        command = _build(
            ResumeSequence, sequence_id=sequence_id, overdue=overdue, max_lateness=max_lateness, admit=admit
        )
        receipt = receipts.resumed(sequence_id) if wait == "resumed" else None
        answered = await self._ask(command, command_id, seconds_max, receipt)
        found, gone = _state_in(answered)
        return Resumed(answered.command_id, answered.result["epoch"], found, gone, answered.at)

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
        receipt = receipts.erased(sequence_id) if wait == "erased" else None
        answered = await self._ask(command, command_id, seconds_max, receipt)
        message = answered.receipt.message() if answered.receipt else None
        erasure = message if isinstance(message, SequenceErasureCompleted) else None
        return Deleted(answered.command_id, answered.result["epoch"], erasure, answered.at)

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
        receipt = receipts.halted(contact_id) if wait == "halted" else None
        answered = await self._ask(command, command_id, seconds_max, receipt)
        message = answered.receipt.message() if answered.receipt else None
        return Removed(
            answered.command_id,
            answered.result["removal_id"],
            tuple(answered.result["removed"]),
            message if isinstance(message, ContactHalted) else None,
        )

    async def suspend(
        self,
        scope: str,
        reason: str | None = None,
        *,
        wait: Literal["accepted", "suspended"] = "accepted",
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Suspended:
        """Send nothing in a scope: `all`, `channel:<name>` or `sender:<name>`.

        With `wait="suspended"`: until it is proven that nothing leaves there any more.
        """
        command = _build(SuspendDelivery, scope=scope, reason=reason)
        receipt = receipts.suspended(scope) if wait == "suspended" else None
        answered = await self._ask(command, command_id, seconds_max, receipt)
        return Suspended(answered.command_id, answered.result["epoch"], _scope_in(answered), answered.at)

    async def restore(
        self,
        scope: str,
        reason: str | None = None,
        *,
        wait: Literal["accepted", "restored"] = "accepted",
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Restored:
        """Send in a scope again. It takes effect once the receipt of the suspension is given (`wait="restored"`)."""
        command = _build(RestoreDelivery, scope=scope, reason=reason)
        receipt = receipts.restored(scope) if wait == "restored" else None
        answered = await self._ask(command, command_id, seconds_max, receipt)
        return Restored(answered.command_id, answered.result["epoch"], _scope_in(answered), answered.at)

    async def resolve(
        self,
        message_id: str,
        outcome: Literal["sent", "retry"],
        *,
        command_id: str | None = None,
        seconds_max: float | None = None,
    ) -> Resolved:
        """Decide a message that is `unknown`: it counts as sent, or is sent again under the same id."""
        command = _build(ResolveMessage, message_id=message_id, outcome=outcome)
        answered = await self._ask(command, command_id, seconds_max)
        return Resolved(answered.command_id, answered.result["outcome"])

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


def _scope_in(answered: Answered) -> DeliverySuspended | DeliveryRestored | None:
    message = answered.receipt.message() if answered.receipt else None
    return message if isinstance(message, DeliverySuspended | DeliveryRestored) else None
