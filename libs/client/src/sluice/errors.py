"""What can go wrong, each with a sentence that says what to do."""

from collections.abc import Mapping, Sequence
from typing import Any

from sluice_contracts.answers import Fault


class SluiceError(Exception):
    """The base of all of them."""


class CommandRefused(SluiceError):
    """The command changed nothing. `code` is of the contract's closed list, `faults` name places and rules."""

    def __init__(self, code: str, detail: str, faults: Sequence[Fault] = (), *, command_id: str | None = None) -> None:
        self.code = code
        self.detail = detail
        self.faults = tuple(faults)
        self.command_id = command_id
        lines = [f"{code}: {detail}", *(f"{fault.place}: {fault.rule}" for fault in self.faults)]
        super().__init__("\n  ".join(lines))


class NotAnswered(CommandRefused):
    """A question, which changes nothing, has no answer: there is no such thing, or no such question."""


class AnswerTimeout(SluiceError):
    """No answer came in time. The command may still be carried out."""

    def __init__(self, *, command_type: str, command_id: str, written: bool, seconds_max: float) -> None:
        self.command_type = command_type
        self.command_id = command_id
        self.written = written
        self.seconds_max = seconds_max
        where = "was written to Kafka" if written else "was handed to Kafka, which did not confirm it"
        super().__init__(
            f"{command_type} {where}, but no answer came within {seconds_max:g} s. It may still be carried out. "
            f"Its id is {command_id}: try again with the same id, then it is done once, and answered."
        )


class ReceiptTimeout(SluiceError):
    """The command was accepted; what it promises did not come in time, and is still under way."""

    def __init__(
        self, *, command_type: str, command_id: str, receipt: str, result: Mapping[str, Any], seconds_max: float
    ) -> None:
        self.command_type = command_type
        self.command_id = command_id
        self.receipt = receipt
        self.result = dict(result)
        self.seconds_max = seconds_max
        super().__init__(
            f"{command_type} was accepted, but {receipt} did not come within {seconds_max:g} s. It is still under way. "
            f"Its id is {command_id}: try again with the same id to go on waiting."
        )


class Unreachable(SluiceError):
    """Kafka does not answer, or answers that it cannot."""


class TopicMissing(Unreachable):
    """Kafka answers, but the topics of Sluice are not there."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        super().__init__(f"This Kafka has no topic {topic}: provision the topics of Sluice first.")


class NoAddress(SluiceError):
    """Nobody said where Kafka is."""
