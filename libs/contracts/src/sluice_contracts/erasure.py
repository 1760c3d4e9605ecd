"""The receipts of erasure, written by every service that held data, outsiders too."""

from typing import ClassVar

from sluice_contracts import topics
from sluice_contracts.base import Count, Event, Id, Name


class SequenceErased(Event):
    """That service holds no row of the sequence any more."""

    TYPE: ClassVar[str] = "SequenceErased.v1"
    TOPIC: ClassVar[str] = topics.ERASURE_RECEIPTS
    KEY: ClassVar[str] = "sequence_id"

    sequence_id: Id
    service: Name
    rows: dict[str, Count]


class ContactErased(Event):
    """That service holds no row of the contact any more."""

    TYPE: ClassVar[str] = "ContactErased.v1"
    TOPIC: ClassVar[str] = topics.ERASURE_RECEIPTS
    KEY: ClassVar[str] = "contact_id"

    contact_id: Id
    service: Name
    rows: dict[str, Count]
