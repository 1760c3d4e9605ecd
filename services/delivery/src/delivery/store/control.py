"""What a sender holds in memory: which gates are open, and whether stops are being heard."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from chassis.pool import Conn
from sluice_contracts import topics

CONTROL_TOPICS: Final = (topics.SEQUENCES_EVENTS, topics.ENROLLMENT_CONTROL, topics.DELIVERY_COMMANDS)
"""What stops travel on: senders send only while the readers of these have caught up."""
GATE_CHANNEL: Final = "delivery.gate"
"""Notified with every commit that changes a gate or a scope."""
HALT_CHANNEL: Final = "delivery.halt"
"""Notified with every commit that owes removals their receipts, or ends what a receipt may wait for."""

_GATES: Final = "select sequence_id, epoch, open, change from gate where change > $1 order by change"

_BEATS: Final = """
select topic, partition, beat, partitions from consumer_offset where topic = any($1::text[])
"""

_NOW: Final = "select clock_timestamp()"


class GateChange(NamedTuple):
    """A gate that has changed since it was looked at."""

    sequence_id: str
    epoch: int
    open: bool
    change: int


class Beat(NamedTuple):
    """The heartbeat of one control partition's reader; `partitions` is how many its topic has."""

    topic: str
    partition: int
    beat: int
    partitions: int


async def gates(conn: Conn, *, after: int) -> list[GateChange]:
    """The gates that changed after that change, in that order."""
    return [GateChange(*row) for row in await conn.fetch(_GATES, after)]


async def beats(conn: Conn, topics: Sequence[str] = CONTROL_TOPICS) -> list[Beat]:
    """The heartbeats of the control readers."""
    return [Beat(*row) for row in await conn.fetch(_BEATS, topics)]


async def now(conn: Conn) -> datetime:
    """The database's clock."""
    moment: datetime = await conn.fetchval(_NOW)
    return moment
