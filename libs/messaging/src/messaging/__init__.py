"""Consume, inbox, transaction, outbox, relay, quarantine: the messaging core of every Sluice service."""

from pathlib import Path
from typing import Final

from messaging.ids import derive
from messaging.model import Batch, Cause, Decided, Decision, Fence, Message, Refused, Tombstone
from messaging.routes import Routes
from messaging.service import Service
from messaging.tx import Tx

MIGRATIONS: Final = Path(__file__).parent / "migrations"
"""What messaging needs in a service's schema; applied before the service's own."""

__all__ = [
    "MIGRATIONS",
    "Batch",
    "Cause",
    "Decided",
    "Decision",
    "Fence",
    "Message",
    "Refused",
    "Routes",
    "Service",
    "Tombstone",
    "Tx",
    "derive",
]
