"""The two answers. They go to the answers topic of whoever answers, keyed by the command's id."""

from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from sluice_contracts.base import Answer, Part, RejectionCode

_Attribute = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class CommandRef(Part):
    """A command, as CloudEvents knows it: by source and id."""

    source: _Attribute
    id: _Attribute
    type: _Attribute


class Fault(Part):
    """One broken rule: where (`steps[2].message.subject`) and which; never the value."""

    place: str
    rule: str


class CommandAccepted(Answer):
    """The command is done or under way; `result` holds what its type promises."""

    TYPE: ClassVar[str] = "CommandAccepted.v1"

    command: CommandRef
    result: dict[str, Any] = Field(default_factory=dict)

    def key(self) -> str:
        """The command's id, so that an asker reads one partition."""
        return self.command.id


class CommandRejected(Answer):
    """The command changed nothing; `code` is of a closed list, `detail` a sentence for people."""

    TYPE: ClassVar[str] = "CommandRejected.v1"

    command: CommandRef
    code: RejectionCode
    detail: str
    faults: list[Fault] | None = None

    def key(self) -> str:
        """The command's id, so that an asker reads one partition."""
        return self.command.id
