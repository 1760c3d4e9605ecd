"""delivery.commands: what is suspended and restored."""

from collections.abc import Mapping, Sequence
from typing import Any

from messaging import Batch, Fence, Message, Tx
from sluice_contracts.delivery import RestoreDelivery, ScopeCommand, SuspendDelivery

from delivery.domain import scope as rules
from delivery.handlers.suspensions import give_scopes
from delivery.store import control, locks, scopes


async def hold_gates(messages: Sequence[Message[Any]], tx: Tx) -> None:
    """Claims that rely on an open scope are over before it closes; what closes none goes along with them."""
    if any(isinstance(message.data, ScopeCommand) for message in messages):
        await locks.hold_gates(tx.conn)
    else:
        await locks.share_gates(tx.conn)


async def suspend_delivery(commands: Batch[SuspendDelivery], tx: Tx) -> None:
    """Close scopes; what can be receipted at once is."""
    known = await scopes.lock(tx.conn, commands.keys())
    held = await scopes.held(tx.conn)
    decided = commands.decide(
        lambda m: rules.suspend(known.get(m.key), m.data, in_flight=in_flight(held, m.key), cause=m.cause, now=tx.now)
    )
    await scopes.save(tx.conn, decided.states())
    tx.emit(decided)
    await give_scopes(tx)


async def restore_delivery(commands: Batch[RestoreDelivery], tx: Tx) -> None:
    """Let scopes send again, now or once their receipts are given."""
    known = await scopes.lock(tx.conn, commands.keys())
    decided = commands.decide(lambda m: rules.restore(known.get(m.key), m.data, cause=m.cause, now=tx.now))
    await scopes.save(tx.conn, decided.states())
    tx.emit(decided)


async def fence_scopes(fences: Sequence[Fence], tx: Tx) -> None:
    """Close the scopes of suspensions that could not be handled: who asked is told `internal`, and nothing leaves."""
    await locks.hold_gates(tx.conn)
    stops = {fence.key: fence.cause for fence in fences if fence.cause.type == SuspendDelivery.TYPE}
    known = await scopes.lock(tx.conn, list(stops))
    held = await scopes.held(tx.conn)
    tx.now = await control.now(tx.conn)
    closed = [
        rules.fence(known.get(name), name, in_flight=in_flight(held, name), cause=cause, now=tx.now)
        for name, cause in stops.items()
    ]
    await scopes.save(tx.conn, closed)


def in_flight(held: Mapping[str, int], scope: str) -> int:
    """How many of the messages that are claimed lie in that scope."""
    return sum(count for lane, count in held.items() if scope in rules.scopes_of(lane))
