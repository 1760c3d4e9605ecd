"""One transaction of a service: what handlers save through, and what they say."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from chassis.pool import Conn
from sluice_contracts import topics
from sluice_contracts.answers import CommandAccepted, CommandRef, CommandRejected
from sluice_contracts.base import Message as Contract
from sluice_contracts.envelope import HEADERS, Envelope, encode

from messaging import inbox
from messaging.ids import derive
from messaging.model import Cause, Decided, Decision, Message, Refused
from messaging.outbox import Outgoing, pack_headers


@dataclass(slots=True)
class Tx:
    """A transaction that is open: its connection, the database's clock after the locks, and what will be said."""

    conn: Conn
    now: datetime
    source: str
    outgoing: list[Outgoing] = field(default_factory=list)
    answers: dict[str, bytes | None] = field(default_factory=dict)
    """By the command's identity; None = deferred."""
    given: dict[str, bytes] = field(default_factory=dict)
    """Answers that were given before, of commands that are handled again: they stay."""

    def emit(self, decided: Decided[Any]) -> None:
        """Say the messages of every decision, caused by what was decided on; commands are answered."""
        for message, decision in decided.pairs:
            if isinstance(decision, Decision):
                for number, contract in enumerate(decision.messages):
                    self.say(contract, message.cause, number=number)
            if message.topic in topics.COMMAND_TOPICS:
                self._decide(message, decision)

    def say(self, contract: Contract, cause: Cause, *, number: int = 0, topic: str | None = None) -> None:
        """Say one message. Its id follows from cause, type and number, so saying it again repeats it."""
        envelope = Envelope(
            id=derive(self.source, cause.source, cause.id, contract.TYPE, str(number)),
            source=self.source,
            type=contract.TYPE,
            time=self.now,
            actor=cause.actor,
            correlation_id=cause.correlation_id or cause.id,
            causation_id=cause.id,
        )
        headers = None
        if cause.traceparent is not None:
            headers = pack_headers([*HEADERS, ("traceparent", cause.traceparent.encode())])
        key = contract.key().encode()
        self.outgoing.append(Outgoing(topic or contract.TOPIC, key, encode(envelope, contract.to_json()), headers))

    def tombstone(self, topic: str, key: str) -> None:
        """Say that a key of a compacted topic is gone."""
        self.outgoing.append(Outgoing(topic, key.encode(), None))

    async def answer(self, cause: Cause, decision: Decision[Any] | Refused, *, topic: str) -> None:
        """Answer a command of `topic` (where commands come in) that was deferred; one with an answer keeps that."""
        value = self._answer(cause, decision, topic)
        identity = inbox.identity(cause)
        if identity in self.answers:
            self.answers[identity] = value
        elif not await inbox.answer(self.conn, identity, value):
            self.outgoing.pop()

    def refuse(self, cause: Cause, refused: Refused, *, topic: str) -> None:
        """Reject a command that no handler saw."""
        self.answers[inbox.identity(cause)] = self._answer(cause, refused, topic)

    def repeat(self, cause: Cause, value: bytes, *, topic: str) -> None:
        """Give the answer of a command again, as it was given."""
        self.outgoing.append(Outgoing(topics.ANSWERS_OF[topic], cause.id.encode(), value))

    def _decide(self, message: Message[Any], decision: Decision[Any] | Refused) -> None:
        identity = inbox.identity(message.cause)
        if isinstance(decision, Decision) and decision.deferred:
            self.answers[identity] = None
        else:
            self.answers[identity] = self._answer(message.cause, decision, message.topic)

    def _answer(self, cause: Cause, decision: Decision[Any] | Refused, topic: str) -> bytes:
        command = CommandRef(source=cause.source, id=cause.id, type=cause.type)
        given: Contract
        if isinstance(decision, Refused):
            faults = list(decision.faults) or None
            given = CommandRejected(command=command, code=decision.code, detail=decision.detail, faults=faults)
        else:
            given = CommandAccepted(command=command, result=_plain(decision.result))
        self.say(given, replace(cause, correlation_id=cause.id), topic=topics.ANSWERS_OF[topic])
        value = self.outgoing[-1].value
        kept = self.given.get(inbox.identity(cause)) if self.given else None
        if kept is not None:
            self.outgoing[-1] = self.outgoing[-1]._replace(value=kept)
            return kept
        assert value is not None
        return value


def _plain(result: Mapping[str, Any]) -> dict[str, Any]:
    return dict(result)
