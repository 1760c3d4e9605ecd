"""Suspensions, restores and what is unknown: asked, proven, and told where it was so already."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sluice import CommandRefused, Sluice
from sluice._clock import new_id
from sluice.transport import Transport
from sluice_contracts import topics
from sluice_contracts.delivery import DeliveryRestored, DeliverySuspended

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
BEFORE, AFTER = NOON - timedelta(hours=1), NOON + timedelta(seconds=1)
Write = Callable[..., bytes]


@pytest.fixture
def scope() -> str:
    return f"sender:s-{new_id()[-8:]}"


def suspended(scope: str, epoch: int, at: datetime = AFTER) -> DeliverySuspended:
    return DeliverySuspended(scope=scope, epoch=epoch, reason="down", in_flight=3, halted_at=at)


def restored(scope: str, epoch: int, at: datetime = AFTER) -> DeliveryRestored:
    return DeliveryRestored(scope=scope, epoch=epoch, restored_at=at)


def says(services: Any, kind: str, scope: str, epoch: int, *events: bytes) -> None:
    """A command is answered at noon with this epoch, and these events follow."""
    services.clock = NOON
    services.results[kind] = lambda _: {"epoch": epoch}
    services.follows[kind] = lambda _: [(topics.DELIVERY_CONTROL, scope, event) for event in events]


async def test_a_suspension_waits_for_the_receipt_of_its_epoch(
    transport: Transport, services: Any, write: Write, scope: str
) -> None:
    says(services, "SuspendDelivery", scope, 3, write(suspended(scope, 1)), write(suspended(scope, 3)))

    async with Sluice(transport=transport) as sluice:
        found = await sluice.suspend(scope, "down", wait="suspended")

    assert (found.holds, found.was_so, found.receipt) == (True, False, suspended(scope, 3))
    assert services.commands[0].data == {"scope": scope, "reason": "down"}


async def test_a_suspension_that_a_restore_has_replaced_does_not_hold(
    transport: Transport, services: Any, write: Write, scope: str
) -> None:
    says(services, "SuspendDelivery", scope, 3, write(restored(scope, 2)), write(restored(scope, 4)))

    async with Sluice(transport=transport) as sluice:
        found = await sluice.suspend(scope, wait="suspended")

    assert not found.holds
    assert found.receipt == restored(scope, 4)


async def test_what_was_suspended_before_is_told_apart(
    transport: Transport, services: Any, write: Write, scope: str
) -> None:
    says(services, "SuspendDelivery", scope, 3, write(suspended(scope, 3, at=BEFORE)))

    async with Sluice(transport=transport) as sluice:
        found = await sluice.suspend(scope, wait="suspended")

    assert (found.holds, found.was_so) == (True, True)


async def test_a_restore_waits_for_the_coming_epoch(
    transport: Transport, services: Any, write: Write, scope: str
) -> None:
    says(services, "RestoreDelivery", scope, 4, write(suspended(scope, 3)), write(restored(scope, 4)))

    async with Sluice(transport=transport) as sluice:
        found = await sluice.restore(scope, wait="restored")

    assert (found.sends, found.was_so, found.epoch) == (True, False, 4)


async def test_a_restore_of_what_was_restored_before_looks_back(
    transport: Transport, services: Any, write: Write, scope: str
) -> None:
    await (await transport.send(topics.DELIVERY_CONTROL, key=scope, value=write(restored(scope, 4, at=BEFORE))))
    says(services, "RestoreDelivery", scope, 4)

    async with Sluice(transport=transport) as sluice:
        found = await sluice.restore(scope, wait="restored")

    assert (found.sends, found.was_so) == (True, True)


async def test_a_restore_of_what_was_never_suspended_waits_for_nothing(
    transport: Transport, services: Any, scope: str
) -> None:
    says(services, "RestoreDelivery", scope, 0)

    async with Sluice(transport=transport) as sluice:
        found = await sluice.restore(scope, wait="restored")

    assert (found.sends, found.was_so) == (True, True)


async def test_a_scope_that_is_none_is_refused_unsent(transport: Transport, services: Any) -> None:
    async with Sluice(transport=transport) as sluice:
        with pytest.raises(CommandRefused) as refused:
            await sluice.suspend("e-mail")

    assert [fault.place for fault in refused.value.faults] == ["scope"]
    assert services.commands == []


async def test_what_is_unknown_is_decided_by_hand(transport: Transport, services: Any) -> None:
    services.results["ResolveMessage"] = lambda event: {"outcome": event.data["outcome"]}

    async with Sluice(transport=transport) as sluice:
        sent, again = await sluice.resolve("m-1", "sent"), await sluice.resolve("m-2", "retry")

    assert (sent.outcome, again.outcome) == ("sent", "retry")
    assert [(command.key, command.data["outcome"]) for command in services.commands] == [
        ("m-1", "sent"),
        ("m-2", "retry"),
    ]
