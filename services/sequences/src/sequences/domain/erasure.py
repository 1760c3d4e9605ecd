"""The end of a deletion: who has erased, and when it is complete."""

from collections.abc import Mapping
from dataclasses import dataclass

from messaging import Cause
from sluice_contracts.erasure import SequenceErased
from sluice_contracts.sequences import SequenceErasureCompleted

SERVICE = "sequences"


@dataclass(frozen=True, slots=True)
class Erasure:
    """A deleted sequence whose own rows are being erased, or were; its cause is the command that deleted it."""

    sequence_id: str
    epoch: int
    cause: Cause
    versions_erased: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A deleted sequence that every service has erased; `rows` by service and table."""

    sequence_id: str
    epoch: int
    cause: Cause
    rows: Mapping[str, Mapping[str, int]]


def own_receipt(erasure: Erasure) -> SequenceErased:
    """The receipt of this service: its versions, and the sequence's own row, which keeps ids and numbers only."""
    rows = {"sequence": 1, "version": erasure.versions_erased}
    return SequenceErased(sequence_id=erasure.sequence_id, service=SERVICE, rows=rows)


def completed(completion: Completion) -> SequenceErasureCompleted:
    """The event that says that no service holds it any more."""
    rows = {service: dict(tables) for service, tables in completion.rows.items()}
    return SequenceErasureCompleted(sequence_id=completion.sequence_id, epoch=completion.epoch, rows=rows)
